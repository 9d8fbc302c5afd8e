//! Amounts of money and prices.

use std::fmt;

use iso_currency::Currency;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Invalid;

/// An amount in minor units (cents) of an ISO 4217 currency; may be negative, as a refund's balance.
/// Serialises as `{"amount_minor":1299,"currency":"EUR"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// In the currency's minor unit: cents for EUR, yen for JPY.
    pub amount_minor: i64,
    /// Its three-letter code in JSON.
    #[serde(serialize_with = "write_code", deserialize_with = "read_code")]
    pub currency: Currency,
}

impl Money {
    /// An amount in minor units.
    #[must_use]
    pub const fn new(amount_minor: i64, currency: Currency) -> Self {
        Self {
            amount_minor,
            currency,
        }
    }

    /// The sum; `None` where the currencies differ or the sum leaves `i64`.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let amount_minor = self.amount_minor.checked_add(other.amount_minor)?;
        (self.currency == other.currency).then_some(Self {
            amount_minor,
            ..self
        })
    }

    /// The difference; `None` where the currencies differ or it leaves `i64`.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        let amount_minor = self.amount_minor.checked_sub(other.amount_minor)?;
        (self.currency == other.currency).then_some(Self {
            amount_minor,
            ..self
        })
    }

    /// The multiple; `None` where it leaves `i64`.
    #[must_use]
    pub fn checked_mul(self, factor: i64) -> Option<Self> {
        let amount_minor = self.amount_minor.checked_mul(factor)?;
        Some(Self {
            amount_minor,
            ..self
        })
    }
}

/// As `1299 EUR`, in minor units: for logs and refusals, not for people.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount_minor, self.currency.code())
    }
}

fn write_code<S: Serializer>(currency: &Currency, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(currency.code())
}

/// Not the derived reading: its refusal would list every currency there is.
fn read_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
    let code = String::deserialize(deserializer)?;
    Currency::from_code(&code).ok_or_else(|| {
        serde::de::Error::custom(Invalid::new(
            "currency",
            "must be an ISO 4217 code like EUR",
        ))
    })
}

/// What one piece costs: 0 to 10^12 minor units. Serialises as [`Money`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Money")]
pub struct Price(Money);

impl Price {
    /// High enough for any currency's groceries, low enough that the largest quantity of the dearest product fits `i64`.
    pub const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000;

    /// # Errors
    /// [`Invalid`] for negative amounts and for those above [`Price::AMOUNT_MINOR_MAX`].
    pub fn new(amount_minor: i64, currency: Currency) -> Result<Self, Invalid> {
        Self::try_from(Money::new(amount_minor, currency))
    }

    /// The price as an amount, to calculate with.
    #[must_use]
    pub const fn money(self) -> Money {
        self.0
    }

    /// In the currency's minor unit.
    #[must_use]
    pub const fn amount_minor(self) -> i64 {
        self.0.amount_minor
    }

    /// The currency it is in.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.0.currency
    }
}

impl TryFrom<Money> for Price {
    type Error = Invalid;

    fn try_from(money: Money) -> Result<Self, Invalid> {
        if (0..=Self::AMOUNT_MINOR_MAX).contains(&money.amount_minor) {
            return Ok(Self(money));
        }
        Err(Invalid::new(
            "price",
            format!("must be from 0 to {} minor units", Self::AMOUNT_MINOR_MAX),
        ))
    }
}

impl From<Price> for Money {
    fn from(price: Price) -> Self {
        price.0
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quantity;

    #[test]
    fn money_is_minor_units_and_a_code() {
        let json = r#"{"amount_minor":1299,"currency":"EUR"}"#;
        let money: Money = serde_json::from_str(json).unwrap();
        assert_eq!(money, Money::new(1299, Currency::EUR));
        assert_eq!(serde_json::to_string(&money).unwrap(), json);
        assert_eq!(money.to_string(), "1299 EUR");
    }

    #[test]
    fn an_unknown_currency_is_refused_in_one_line() {
        let refusal =
            serde_json::from_str::<Money>(r#"{"amount_minor":1,"currency":"eur"}"#).unwrap_err();
        assert!(
            refusal
                .to_string()
                .starts_with("currency must be an ISO 4217 code like EUR"),
            "{refusal}"
        );
    }

    #[test]
    fn arithmetic_is_checked() {
        let euros = |amount| Money::new(amount, Currency::EUR);
        assert_eq!(euros(5).checked_add(euros(3)), Some(euros(8)));
        assert_eq!(euros(3).checked_sub(euros(5)), Some(euros(-2)));
        assert_eq!(euros(3).checked_mul(5), Some(euros(15)));
        assert_eq!(euros(5).checked_add(Money::new(3, Currency::USD)), None);
        assert_eq!(euros(5).checked_sub(Money::new(3, Currency::USD)), None);
        assert_eq!(euros(i64::MAX).checked_add(euros(1)), None);
        assert_eq!(euros(i64::MAX).checked_mul(2), None);
    }

    #[test]
    fn a_price_is_never_negative_and_any_quantity_of_it_is_an_amount() {
        assert!(Price::new(-1, Currency::EUR).is_err());
        assert!(Price::new(Price::AMOUNT_MINOR_MAX + 1, Currency::EUR).is_err());
        let dearest = Price::new(Price::AMOUNT_MINOR_MAX, Currency::EUR).unwrap();
        assert!(
            dearest
                .money()
                .checked_mul(i64::from(Quantity::MAX))
                .is_some()
        );
        assert!(serde_json::from_str::<Price>(r#"{"amount_minor":-1,"currency":"EUR"}"#).is_err());
    }
}
