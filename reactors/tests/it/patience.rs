//! The deadline and the one retry, whatever the provider.

use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use reactors::payment_provider::{
    BuiltInProvider, Charge, ChargeOutcome, Patience, Patient, PaymentProvider, Refund,
    RefundOutcome, Unavailable,
};

use crate::payment_provider::{charge, charged, refund_of};

/// Answers one call after the other with these; none left: never.
struct Scripted(Mutex<Vec<Unavailable>>);

#[async_trait]
impl PaymentProvider for Scripted {
    async fn charge(&self, charge: &Charge) -> Result<ChargeOutcome, Unavailable> {
        match self.next() {
            Some(error) => Err(error),
            None => Ok(charged(charge)),
        }
    }

    async fn refund(&self, _: &Refund) -> Result<RefundOutcome, Unavailable> {
        match self.next() {
            Some(error) => Err(error),
            None => pending().await,
        }
    }
}

impl Scripted {
    fn next(&self) -> Option<Unavailable> {
        self.0.lock().unwrap().pop()
    }
}

fn patient(errors: &[Unavailable]) -> Patient<Scripted> {
    let reversed = errors.iter().rev().cloned().collect();
    let patience = Patience {
        call: Duration::from_secs(60),
        attempt: Duration::from_millis(50),
        pause: Duration::from_millis(1),
    };
    Patient::with_patience(Scripted(Mutex::new(reversed)), patience)
}

fn failed(text: &str) -> Unavailable {
    Unavailable::Failed(text.to_owned())
}

#[test]
fn a_call_has_ten_seconds() {
    assert_eq!(Patience::default().call, Duration::from_secs(10));
}

#[tokio::test]
async fn one_error_is_forgiven_and_two_are_not() {
    let charge = charge("tok_ok");
    let reached = Unavailable::NotReached("refused".to_owned());
    for errors in [vec![], vec![failed("one")], vec![reached]] {
        let outcome = patient(&errors).charge(&charge).await;
        assert_eq!(outcome, Ok(charged(&charge)), "{errors:?}");
    }
    let outcome = patient(&[failed("one"), failed("two")])
        .charge(&charge)
        .await;
    assert_eq!(outcome, Err(failed("two")));
}

#[tokio::test]
async fn what_is_not_understood_is_not_repeated() {
    let error = Unavailable::NotUnderstood("403".to_owned());
    let outcome = patient(std::slice::from_ref(&error))
        .charge(&charge("tok_ok"))
        .await;
    assert_eq!(outcome, Err(error));
}

#[tokio::test]
async fn silence_ends_with_the_attempt() {
    let refund = refund_of(&charge("tok_ok"));
    let outcome = patient(&[failed("one")]).refund(&refund).await;
    assert_eq!(outcome, Err(Unavailable::Silent(Duration::from_millis(50))));
}

#[tokio::test]
async fn a_call_ends_with_its_deadline_whatever_an_attempt_may_take() {
    let patience = Patience {
        call: Duration::from_millis(50),
        attempt: Duration::from_secs(60),
        pause: Duration::from_millis(1),
    };
    let provider = Patient::with_patience(BuiltInProvider, patience);
    let silent = provider.charge(&charge("tok_timeout")).await;
    assert!(matches!(silent, Err(Unavailable::Silent(_))), "{silent:?}");
}
