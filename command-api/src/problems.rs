//! The codes that this API adds to the shared ones.

use axum::http::{HeaderValue, StatusCode, header};
use eventstore::{SealError, StatesError};
use http_server::{Kind, Problem};

macro_rules! kinds {
    ($($name:ident $status:ident $code:literal $title:literal)*) => {
        $(#[doc = concat!("`", $code, "`: ", $title)]
        pub const $name: Kind = Kind::new(StatusCode::$status, $code, $title);)*
        /// Every kind of this table.
        pub const ALL: &[Kind] = &[$($name),*];
    };
}

kinds! {
    EMAIL_TAKEN           CONFLICT     "email-taken"           "the e-mail address belongs to another user"
    USER_EXISTS           CONFLICT     "user-exists"           "the user is registered already"
    USER_DEACTIVATED      CONFLICT     "user-deactivated"      "the user is deactivated"
    USER_ERASED           CONFLICT     "user-erased"           "the user is erased"
    USER_CHANGED          CONFLICT     "user-changed"          "the user was changed meanwhile"
    TOO_MANY_ADDRESSES    CONFLICT     "too-many-addresses"    "the user has as many addresses as are kept"
    INVALID_CREDENTIALS   UNAUTHORIZED "invalid-credentials"   "the credentials are wrong"
    SKU_TAKEN             CONFLICT     "sku-taken"             "the SKU belongs to another product"
    PRODUCT_EXISTS        CONFLICT     "product-exists"        "the product exists already"
    PRODUCT_DISCONTINUED  CONFLICT     "product-discontinued"  "the product is discontinued"
    INSUFFICIENT_STOCK    CONFLICT     "insufficient-stock"    "fewer pieces are there than asked for"
    STOCK_NOT_RESERVED    CONFLICT     "stock-not-reserved"    "fewer pieces are reserved than asked for"
    STOCK_LIMIT_EXCEEDED  CONFLICT     "stock-limit-exceeded"  "more pieces than a store can have"
    ORDER_EXISTS          CONFLICT     "order-exists"          "the order exists already"
    ORDER_ENDED           CONFLICT     "order-ended"           "the order has ended"
    ORDER_IN_PROGRESS     CONFLICT     "order-in-progress"     "the order has not ended yet"
    CUSTOMER_NOT_ACTIVE   UNPROCESSABLE_ENTITY "customer-not-active" "the customer cannot order"
    UNKNOWN_ITEMS         UNPROCESSABLE_ENTITY "unknown-items" "not every item is a product on sale"
    MIXED_CURRENCIES      UNPROCESSABLE_ENTITY "mixed-currencies" "the items are priced in several currencies"
    TOTAL_TOO_LARGE       UNPROCESSABLE_ENTITY "total-too-large" "the total is more than can be charged"
    PAYMENT_NOT_COMPLETED CONFLICT     "payment-not-completed" "no money was taken that could be given back"
    DELIVERY_OUT_OF_TURN  CONFLICT     "delivery-out-of-turn"  "the delivery is not where this can be done"
    DELIVERY_TAKEN        CONFLICT     "delivery-taken"        "another courier has the delivery"
    COURIER_NOT_ACTIVE    UNPROCESSABLE_ENTITY "courier-not-active" "the user is no courier who could bring it"
}

/// `service-unreachable`, which is a shared one.
pub const SERVICE_UNREACHABLE: Kind = Kind::SERVICE_UNREACHABLE;

/// 401 for a wrong log-in, told apart from a missing token by its code.
pub(crate) fn invalid_credentials(detail: &str) -> Problem {
    Problem::from(INVALID_CREDENTIALS)
        .detail(detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// A database that cannot be asked now is an overload; anything else is our failure.
pub(crate) fn of_database(error: sqlx::Error) -> Problem {
    match error {
        sqlx::Error::PoolTimedOut => Problem::overloaded(),
        error => Problem::internal(format!("the database did not answer: {error}")),
    }
}

/// As [`of_database`], where data keys are read.
pub(crate) fn of_sealing(error: SealError) -> Problem {
    match error {
        SealError::Database(error) => of_database(error),
        error @ SealError::OtherMasterKey { .. } => Problem::internal(error),
    }
}

/// As [`of_database`], where states are read.
pub(crate) fn of_states(error: StatesError) -> Problem {
    match error {
        StatesError::Database(error) => of_database(error),
        error @ StatesError::Corrupt(_) => Problem::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_used_twice() {
        let mut codes: Vec<_> = ALL
            .iter()
            .chain(Kind::SHARED)
            .map(|kind| kind.code)
            .collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }
}
