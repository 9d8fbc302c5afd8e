//! Answers that are lost, late or never come: money moves once, and what is in doubt is undone by its key.

use std::sync::Arc;
use std::time::Duration;

use reactors::payment_provider::{
    ChargeOutcome, HttpProviderSettings, Patience, Patient, PaymentProvider, RefundOutcome,
    Unavailable,
};
use testing::{Payment, until};
use tokio::task::JoinSet;

use crate::payment_provider::{charge, charged, http, refund_of, refunded, rig, settings};

const DEADLINE: Duration = Duration::from_secs(20);

/// For calls that are to end without an answer.
const SHORT: Patience = Patience {
    call: Duration::from_secs(5),
    attempt: Duration::from_secs(2),
    pause: Duration::from_millis(10),
};

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let rig = rig();
    for token in ["tok_lost", "tok_cut"] {
        let charge = charge(token);
        assert_eq!(rig.client.charge(&charge).await, Ok(charged(&charge)));
        assert_eq!(rig.requests(&charge), 2, "{token}");
        assert_eq!(rig.performed(&charge), [Payment::Charged]);
    }
    let charge = charge("tok_refundlost");
    rig.client.charge(&charge).await.unwrap();
    let outcome = rig.client.refund(&refund_of(&charge)).await;
    assert_eq!(outcome, Ok(refunded(&charge)));
    let both = [Payment::Charged, Payment::Refunded];
    assert_eq!(rig.performed(&charge), both);
}

#[tokio::test]
async fn answers_lost_for_good_leave_a_charge_that_the_key_undoes() {
    let rig = rig();
    let charge = charge("tok_lost_9");
    let failed = rig.client.charge(&charge).await;
    assert!(matches!(failed, Err(Unavailable::Failed(_))), "{failed:?}");
    let outcome = rig.client.refund(&refund_of(&charge)).await;
    assert_eq!(outcome, Ok(refunded(&charge)));
    let both = [Payment::Charged, Payment::Refunded];
    assert_eq!(rig.performed(&charge), both);
}

#[tokio::test]
async fn a_silent_provider_is_waited_for_twice_and_no_longer() {
    let rig = rig();
    let client = Patient::with_patience(http(&settings(&rig.process)), SHORT);
    let charge = charge("tok_timeout");
    let silent = client.charge(&charge).await;
    assert!(matches!(silent, Err(Unavailable::Silent(_))), "{silent:?}");
    // A request may still be read when its client has gone.
    until("both requests are seen", DEADLINE, async || {
        rig.requests(&charge) == 2
    })
    .await;
    let outcome = rig.client.refund(&refund_of(&charge)).await;
    assert_eq!(outcome, Ok(RefundOutcome::NothingCharged));
    assert_eq!(rig.requests(&charge), 3);
}

#[tokio::test]
async fn a_charge_whose_answer_is_too_slow_is_undone_by_its_key() {
    let rig = rig();
    let client = Patient::with_patience(http(&settings(&rig.process)), SHORT);
    let charge = charge("tok_slow_60000");
    let silent = client.charge(&charge).await;
    assert!(matches!(silent, Err(Unavailable::Silent(_))), "{silent:?}");
    until("it is charged", DEADLINE, async || {
        rig.performed(&charge) == [Payment::Charged]
    })
    .await;
    let outcome = rig.client.refund(&refund_of(&charge)).await;
    assert_eq!(outcome, Ok(refunded(&charge)));
    let both = [Payment::Charged, Payment::Refunded];
    assert_eq!(rig.performed(&charge), both);
}

#[tokio::test]
async fn a_charge_that_is_later_than_its_refund_is_declined() {
    let rig = rig();
    // Long enough for the refund to overtake it on a busy machine, short enough for one attempt of it.
    let charge = charge("tok_late_3000");
    let (late, undone) = tokio::join!(rig.client.charge(&charge), async {
        until("the charge is on its way", DEADLINE, async || {
            rig.requests(&charge) == 1
        })
        .await;
        rig.client.refund(&refund_of(&charge)).await
    });
    assert_eq!(undone, Ok(RefundOutcome::NothingCharged));
    assert!(
        matches!(late, Ok(ChargeOutcome::Declined { .. })),
        "{late:?}"
    );
    assert_eq!(rig.performed(&charge), [Payment::Voided]);
}

#[tokio::test]
async fn calls_at_once_under_one_key_charge_once() {
    let rig = rig();
    let client = Arc::new(Patient::new(http(&settings(&rig.process))));
    let charge = charge("tok_ok");
    let mut calls = JoinSet::new();
    for _ in 0..16 {
        let (client, charge) = (Arc::clone(&client), charge.clone());
        calls.spawn(async move { client.charge(&charge).await });
    }
    for outcome in calls.join_all().await {
        assert_eq!(outcome, Ok(charged(&charge)));
    }
    assert_eq!(rig.performed(&charge), [Payment::Charged]);
    assert_eq!(rig.requests(&charge), 16);
}

#[tokio::test]
async fn a_provider_that_was_killed_knows_what_it_did() {
    let mut rig = rig();
    let charge = charge("tok_ok");
    let voided = crate::payment_provider::charge("tok_ok");
    rig.client.charge(&charge).await.unwrap();
    rig.client.refund(&refund_of(&voided)).await.unwrap();

    rig.process.kill();
    let down = rig.client.charge(&charge).await;
    assert!(matches!(down, Err(Unavailable::NotReached(_))), "{down:?}");

    rig.process.restart();
    assert_eq!(rig.client.charge(&charge).await, Ok(charged(&charge)));
    let late = rig.client.charge(&voided).await;
    assert!(
        matches!(late, Ok(ChargeOutcome::Declined { .. })),
        "{late:?}"
    );
    assert_eq!(rig.performed(&charge), [Payment::Charged]);
    assert_eq!(rig.performed(&voided), [Payment::Voided]);
}

#[tokio::test]
async fn an_error_does_not_repeat_the_address() {
    let mut rig = rig();
    rig.process.kill();
    let secret = HttpProviderSettings {
        url: format!("{}/s3cret", rig.process.url()),
        ..settings(&rig.process)
    };
    let error = http(&secret).charge(&charge("tok_ok")).await.unwrap_err();
    assert!(!error.to_string().contains("s3cret"), "{error}");
}
