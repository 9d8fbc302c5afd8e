//! Ids that are drawn, not chosen: UUIDv7, written with hyphens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Invalid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an id that was drawn outside, in time order (UUIDv7).
            #[must_use]
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The bare id.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(raw: &str) -> Result<Self, Invalid> {
                Uuid::parse_str(raw).map(Self).map_err(|_| Invalid::new($what, "must be a UUID"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

id! {
    /// A product; also the id of its stream.
    ProductId, "product id"
}
id! {
    /// A user; also the id of its stream and the subject its personal fields are sealed for.
    UserId, "user id"
}
id! {
    /// An order; also the id of the streams of its reservation and of its sagas.
    OrderId, "order id"
}
id! {
    /// A payment; also the id of its stream and the key by which the provider knows it.
    PaymentId, "payment id"
}
id! {
    /// A delivery; also the id of its stream.
    DeliveryId, "delivery id"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_with_hyphens() {
        let text = "0198f000-0000-7000-8000-000000000001";
        let id: ProductId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
        assert!("4711".parse::<ProductId>().is_err());
    }
}
