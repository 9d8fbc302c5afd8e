//! A provider for trying things out: it moves no money, and the customer's token says what becomes of a charge.

use std::future::pending;

use async_trait::async_trait;

use super::{Charge, ChargeOutcome, PaymentProvider, Refund, RefundOutcome, Unavailable};

/// How often a charge of `tok_flaky` fails before it works.
const FLAKY_FAILURES: u32 = 2;

/// Answers by the token alone and keeps nothing, so a restart changes nothing.
///
/// | token | charge |
/// |---|---|
/// | `tok_ok` | is performed |
/// | `tok_declined` | is declined |
/// | `tok_timeout` | is never answered: the caller's deadline ends it |
/// | `tok_flaky` | fails in the attempts 1 and 2, is performed in the third |
/// | any other | is declined |
///
/// A refund gives back what its caller knows to be charged. It has no record of charges to leave a tombstone in: the
/// payment's own stream is what refuses a charge after its refund.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuiltInProvider;

#[async_trait]
impl PaymentProvider for BuiltInProvider {
    async fn charge(&self, charge: &Charge) -> Result<ChargeOutcome, Unavailable> {
        let declined = |reason: &str| {
            Ok(ChargeOutcome::Declined {
                reason: reason.to_owned(),
            })
        };
        match charge.token.as_str() {
            "tok_ok" => {}
            "tok_declined" => return declined("card declined"),
            "tok_timeout" => return pending().await,
            "tok_flaky" if charge.attempt <= FLAKY_FAILURES => {
                return Err(Unavailable::Failed("try again later".to_owned()));
            }
            "tok_flaky" => {}
            _ => return declined("unknown payment token"),
        }
        Ok(ChargeOutcome::Charged {
            reference: format!("pay_{}", charge.payment_id),
        })
    }

    async fn refund(&self, refund: &Refund) -> Result<RefundOutcome, Unavailable> {
        Ok(match refund.charged {
            Some(_) => RefundOutcome::Refunded {
                reference: format!("ref_{}", refund.payment_id),
            },
            None => RefundOutcome::NothingCharged,
        })
    }
}
