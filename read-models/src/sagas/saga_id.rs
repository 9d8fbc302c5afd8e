//! What operators call a saga.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::Kind;

/// Names a saga: `fulfilment-<order id>` or `return-<order id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SagaId {
    pub kind: Kind,
    pub order_id: Uuid,
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind.as_str(), self.order_id)
    }
}

/// A text that names no saga.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no saga's id: fulfilment-<order id> or return-<order id>")]
pub struct NoSagaId(String);

impl FromStr for SagaId {
    type Err = NoSagaId;

    fn from_str(text: &str) -> Result<Self, NoSagaId> {
        let parse = || {
            let (kind, order_id) = text.split_once('-')?;
            let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
            let order_id = Uuid::try_parse(order_id).ok()?;
            let id = Self { kind, order_id };
            // One name a saga: upper case, braces and the like would be others.
            (id.to_string() == text).then_some(id)
        };
        parse().ok_or_else(|| NoSagaId(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saga_has_one_name() {
        let order_id: Uuid = "0198c0de-0000-7000-8000-00000000000a".parse().unwrap();
        for kind in Kind::ALL {
            let id = SagaId { kind, order_id };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for wrong in [
            "0198c0de-0000-7000-8000-00000000000a",
            "return-0198C0DE-0000-7000-8000-00000000000A",
            "return-0198c0de00007000800000000000000a",
            "payment-0198c0de-0000-7000-8000-00000000000a",
            "return-",
            "",
        ] {
            let error = wrong.parse::<SagaId>().unwrap_err().to_string();
            assert!(error.contains("fulfilment-<order id>"), "{error}");
        }
    }
}
