//! Values of a few words, stored and answered as text.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// An enum whose values are stored, and answered as JSON, in kebab case.
macro_rules! stored_as_text {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident => $text:literal,)+ }) => {
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
        )]
        $(#[$meta])*
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let found = Self::ALL.iter().find(|value| value.as_str() == text);
                found
                    .copied()
                    .ok_or_else(|| format!("unknown {} `{text}`", stringify!($name)))
            }
        }
    };
}

pub(crate) use stored_as_text;

/// A value that is stored as text.
pub(crate) fn value<T: TryFrom<String, Error = String>>(
    row: &PgRow,
    column: &str,
) -> sqlx::Result<T> {
    let text: String = row.try_get(column)?;
    T::try_from(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

#[cfg(test)]
mod tests {
    use crate::{deliveries, notifications, orders, payments};

    #[test]
    fn values_are_stored_as_they_are_answered() {
        macro_rules! check {
            ($($of:ty),+) => {$(
                for value in <$of>::ALL {
                    assert_eq!(serde_json::to_value(value).unwrap(), value.as_str());
                    assert_eq!(<$of>::try_from(value.as_str().to_owned()), Ok(*value));
                }
                assert!(<$of>::try_from("lost".to_owned()).is_err());
            )+};
        }
        check!(
            orders::Status,
            payments::Status,
            deliveries::Status,
            notifications::Status
        );
    }
}
