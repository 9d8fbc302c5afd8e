//! The HTTP provider's protocol, row by row.

use domain::{Currency, Money, PaymentId};
use reactors::CertificateAuthority;
use reactors::payment_provider::{
    BuiltInProvider, Charge, ChargeOutcome, HttpProvider, HttpProviderSettings, Patient,
    PaymentProvider, Refund, RefundOutcome, Unavailable,
};
use tempfile::TempDir;
use testing::{Payment, PaymentProviderProcess};
use uuid::Uuid;

/// A provider in another process, and its client as in production.
pub struct Rig {
    pub process: PaymentProviderProcess,
    pub client: Patient<HttpProvider>,
    _dir: TempDir,
}

pub fn rig() -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let process = PaymentProviderProcess::start(dir.path());
    let client = Patient::new(http(&settings(&process)));
    Rig {
        process,
        client,
        _dir: dir,
    }
}

pub fn settings(process: &PaymentProviderProcess) -> HttpProviderSettings {
    HttpProviderSettings {
        url: process.url(),
        bearer: None,
        authority: None,
    }
}

pub fn http(settings: &HttpProviderSettings) -> HttpProvider {
    HttpProvider::new(settings).unwrap()
}

pub fn charge(token: &str) -> Charge {
    Charge {
        payment_id: PaymentId::new(Uuid::now_v7()),
        amount: Money::new(1299, Currency::EUR),
        token: token.parse().unwrap(),
        attempt: 1,
    }
}

/// Gives back all of it, as who does not know whether it was taken.
pub fn refund_of(charge: &Charge) -> Refund {
    Refund {
        payment_id: charge.payment_id,
        amount: charge.amount,
        charged: None,
        attempt: 1,
    }
}

pub fn charged(charge: &Charge) -> ChargeOutcome {
    ChargeOutcome::Charged {
        reference: format!("pay_{}", charge.payment_id),
    }
}

pub fn refunded(charge: &Charge) -> RefundOutcome {
    RefundOutcome::Refunded {
        reference: format!("ref_{}", charge.payment_id),
    }
}

fn declined(reason: &str) -> ChargeOutcome {
    ChargeOutcome::Declined {
        reason: reason.to_owned(),
    }
}

impl Rig {
    /// What the provider did under a charge's key, in order.
    pub fn performed(&self, charge: &Charge) -> Vec<Payment> {
        let key = charge.payment_id.to_string();
        let record = self.process.record().into_iter();
        record
            .filter(|line| line.key == key)
            .map(|line| line.payment)
            .collect()
    }

    /// How often it was asked under a charge's key.
    pub fn requests(&self, charge: &Charge) -> usize {
        let key = charge.payment_id.to_string();
        let requests = self.process.requests().into_iter();
        requests
            .filter(|request| request.key.as_deref() == Some(key.as_str()))
            .count()
    }
}

#[tokio::test]
async fn a_charge_is_performed_once_and_answered_again() {
    let rig = rig();
    let charge = charge("tok_ok");
    for _ in 0..3 {
        assert_eq!(rig.client.charge(&charge).await, Ok(charged(&charge)));
    }
    let record = rig.process.record();
    let [line] = record.as_slice() else {
        panic!("{record:?}");
    };
    assert_eq!(line.payment, Payment::Charged);
    assert_eq!(line.key, charge.payment_id.to_string());
    assert_eq!((line.amount_minor, line.currency.as_str()), (1299, "EUR"));
    assert_eq!(line.token.as_deref(), Some("tok_ok"));
}

#[tokio::test]
async fn a_declined_charge_says_why_in_one_line_and_is_not_asked_again() {
    let rig = rig();
    for (token, reason) in [
        ("tok_declined", "insufficient funds"),
        ("tok_of_nobody", "unknown token"),
    ] {
        let charge = charge(token);
        assert_eq!(rig.client.charge(&charge).await, Ok(declined(reason)));
        assert_eq!(rig.requests(&charge), 1, "{token}");
    }
    assert_eq!(rig.process.record(), []);
}

#[tokio::test]
async fn a_failure_is_asked_again_exactly_once() {
    let rig = rig();
    for token in ["tok_flaky_1", "tok_busy"] {
        let charge = charge(token);
        assert_eq!(rig.client.charge(&charge).await, Ok(charged(&charge)));
        assert_eq!(rig.requests(&charge), 2, "{token}");
        assert_eq!(rig.performed(&charge), [Payment::Charged]);
    }
    let charge = charge("tok_flaky_9");
    let failed = rig.client.charge(&charge).await;
    assert!(matches!(failed, Err(Unavailable::Failed(_))), "{failed:?}");
    assert_eq!(rig.requests(&charge), 2);
    assert_eq!(rig.performed(&charge), []);
}

#[tokio::test]
async fn what_the_two_do_not_agree_on_is_not_asked_again() {
    let rig = rig();
    for (token, said) in [
        ("tok_forbidden", "it answered 403 Forbidden"),
        ("tok_garbled", "its answer 200 OK is unreadable"),
        ("tok_huge", "its answer 200 OK is longer than 65536 bytes"),
        (
            "tok_wrong",
            "its reference is not 1 to 200 printable characters",
        ),
    ] {
        let charge = charge(token);
        let error = rig.client.charge(&charge).await.unwrap_err();
        let Unavailable::NotUnderstood(text) = &error else {
            panic!("{token}: {error:?}");
        };
        assert!(text.starts_with(said), "{token}: {text}");
        assert_eq!(rig.requests(&charge), 1, "{token}");
    }
}

#[tokio::test]
async fn one_key_is_for_one_charge() {
    let rig = rig();
    let first = charge("tok_ok");
    rig.client.charge(&first).await.unwrap();
    let dearer = Charge {
        amount: Money::new(1300, Currency::EUR),
        ..first.clone()
    };
    let error = rig.client.charge(&dearer).await.unwrap_err();
    assert!(matches!(error, Unavailable::NotUnderstood(_)), "{error:?}");
    assert_eq!(rig.performed(&first), [Payment::Charged]);
}

#[tokio::test]
async fn a_refund_is_performed_once_with_the_reference_known_or_not() {
    let rig = rig();
    let charge = charge("tok_ok");
    rig.client.charge(&charge).await.unwrap();
    let unknowing = refund_of(&charge);
    let knowing = Refund {
        charged: Some(format!("pay_{}", charge.payment_id)),
        ..unknowing.clone()
    };
    for refund in [&unknowing, &knowing, &unknowing] {
        assert_eq!(rig.client.refund(refund).await, Ok(refunded(&charge)));
    }
    let both = [Payment::Charged, Payment::Refunded];
    assert_eq!(rig.performed(&charge), both);
    // The charge stays what it was.
    assert_eq!(rig.client.charge(&charge).await, Ok(charged(&charge)));
    assert_eq!(rig.performed(&charge), both);
}

#[tokio::test]
async fn a_refund_that_fails_is_asked_again_exactly_once() {
    let rig = rig();
    let charge = charge("tok_refundfails_3");
    rig.client.charge(&charge).await.unwrap();
    let failed = rig.client.refund(&refund_of(&charge)).await;
    assert!(matches!(failed, Err(Unavailable::Failed(_))), "{failed:?}");
    assert_eq!(rig.requests(&charge), 3);
    let outcome = rig.client.refund(&refund_of(&charge)).await;
    assert_eq!(outcome, Ok(refunded(&charge)));
    assert_eq!(rig.requests(&charge), 5);
}

#[tokio::test]
async fn a_refund_before_its_charge_leaves_a_tombstone() {
    let rig = rig();
    let charge = charge("tok_ok");
    for _ in 0..2 {
        let outcome = rig.client.refund(&refund_of(&charge)).await;
        assert_eq!(outcome, Ok(RefundOutcome::NothingCharged));
    }
    for _ in 0..2 {
        let outcome = rig.client.charge(&charge).await;
        assert_eq!(outcome, Ok(declined("refunded before it was charged")));
    }
    assert_eq!(rig.performed(&charge), [Payment::Voided]);
}

#[tokio::test]
async fn a_bearer_token_lets_in() {
    let dir = tempfile::tempdir().unwrap();
    let process = PaymentProviderProcess::start_with_bearer(dir.path(), "let-me-in");
    let with = |bearer: &str| HttpProviderSettings {
        bearer: Some(bearer.into()),
        ..settings(&process)
    };
    let charge = charge("tok_ok");
    let outcome = http(&with("let-me-in")).charge(&charge).await;
    assert_eq!(outcome, Ok(charged(&charge)));
    for stranger in [with("open-sesame"), settings(&process)] {
        let error = http(&stranger).charge(&charge).await.unwrap_err();
        assert!(matches!(error, Unavailable::NotUnderstood(_)), "{error:?}");
        assert!(!error.to_string().contains("sesame"), "{error}");
    }
    let error = HttpProvider::new(&with("two\nlines")).unwrap_err();
    assert!(!error.to_string().contains("two"), "{error}");
}

#[tokio::test]
async fn tls_is_spoken_with_whom_is_trusted_only() {
    let dir = tempfile::tempdir().unwrap();
    let process = PaymentProviderProcess::start_with_tls(dir.path());
    let charge = charge("tok_ok");

    let stranger = http(&settings(&process));
    let error = stranger.charge(&charge).await.unwrap_err();
    assert!(matches!(error, Unavailable::NotReached(_)), "{error:?}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert_eq!(process.requests(), []);

    let trusting = http(&HttpProviderSettings {
        authority: Some(CertificateAuthority::new(process.authority()).unwrap()),
        ..settings(&process)
    });
    assert_eq!(trusting.charge(&charge).await, Ok(charged(&charge)));
}

#[tokio::test]
async fn an_address_may_have_a_path_and_must_be_one() {
    let rig = rig();
    let below = HttpProviderSettings {
        url: format!("{}/v1/", rig.process.url()),
        ..settings(&rig.process)
    };
    // The stand-in knows nothing there; what counts is where it was asked.
    http(&below).charge(&charge("tok_ok")).await.unwrap_err();
    assert_eq!(rig.process.requests()[0].path, "/v1/charges");

    for url in ["", "pay.example.org", "smtp://pay.example.org"] {
        let wrong = HttpProviderSettings {
            url: url.to_owned(),
            ..settings(&rig.process)
        };
        let error = HttpProvider::new(&wrong).unwrap_err().to_string();
        assert!(
            error.starts_with("must be an address like https"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_built_in_provider_does_as_the_token_says() {
    let provider = BuiltInProvider;
    for (token, attempt, outcome) in [
        ("tok_ok", 1, None),
        ("tok_flaky", 3, None),
        ("tok_declined", 1, Some("card declined")),
        ("tok_stolen", 1, Some("unknown payment token")),
    ] {
        let charge = Charge {
            attempt,
            ..charge(token)
        };
        let expected = outcome.map_or_else(|| charged(&charge), declined);
        assert_eq!(provider.charge(&charge).await, Ok(expected), "{token}");
    }
    for attempt in [1, 2] {
        let charge = Charge {
            attempt,
            ..charge("tok_flaky")
        };
        let failed = provider.charge(&charge).await;
        assert!(matches!(failed, Err(Unavailable::Failed(_))), "{failed:?}");
    }
}

#[tokio::test]
async fn the_built_in_provider_gives_back_what_is_known_to_be_charged() {
    let charge = charge("tok_ok");
    let unknowing = refund_of(&charge);
    let outcome = BuiltInProvider.refund(&unknowing).await;
    assert_eq!(outcome, Ok(RefundOutcome::NothingCharged));
    let knowing = Refund {
        charged: Some(format!("pay_{}", charge.payment_id)),
        ..unknowing
    };
    let outcome = BuiltInProvider.refund(&knowing).await;
    assert_eq!(outcome, Ok(refunded(&charge)));
}
