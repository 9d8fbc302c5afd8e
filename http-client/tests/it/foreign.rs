//! Somebody else's server.

use http::StatusCode;
use http_client::{
    Afterwards, AnswerError, Call, CallError, CallOptions, CertificateAuthority, Upstream,
};
use serde_json::{Value, json};
use testing::{PaymentProviderProcess, UpstreamBehaviour};

use crate::fixture::*;

fn foreign(process: &Process, afterwards: Afterwards) -> Upstream {
    let url = process.process.url().parse().unwrap();
    Upstream::foreign("web-hook", url, None, afterwards).unwrap()
}

#[tokio::test]
async fn it_is_asked_once_whatever_comes_of_it_and_never_held_back() {
    let one = start(&UpstreamBehaviour::reset());
    let upstream = foreign(&one, Afterwards::Kept);
    let safe = CallOptions::safe(LONG);
    for _ in 0..10 {
        let told = status(&upstream, get(), safe.clone()).await;
        assert!(is_unknown(&told), "{told:?}");
    }
    let requests = one.process.requests();
    assert_eq!(requests.len(), 10);
    let agent = requests[0].values("user-agent");
    assert!(agent[0].starts_with("nakku/"), "{agent:?}");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let elsewhere = UpstreamBehaviour::answer(307).header("Location", "/elsewhere");
    let one = start(&elsewhere);
    let upstream = foreign(&one, Afterwards::Closed);
    let call = Call::post("/").json(&json!({}));
    let answer = upstream
        .send(call, CallOptions::once(LONG), 0)
        .await
        .unwrap();
    assert_eq!(answer.status, 307);
    assert_eq!(one.process.requests().len(), 1);
}

#[tokio::test]
async fn connections_are_kept_or_closed_as_asked() {
    for (afterwards, connections) in [(Afterwards::Kept, 1), (Afterwards::Closed, 3)] {
        let one = start(&ok());
        let upstream = foreign(&one, afterwards);
        for _ in 0..3 {
            let call = Call::get("/");
            upstream
                .send(call, CallOptions::once(LONG), 100)
                .await
                .unwrap();
        }
        assert_eq!(one.process.connections().len(), connections);
    }
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound_and_judged_by_its_status() {
    let one = start(&UpstreamBehaviour::answer(200).body("{\"status\":\"charged\"}"));
    let upstream = foreign(&one, Afterwards::Kept);
    let send = async |bytes_max| {
        let call = Call::get("/");
        upstream
            .send(call, CallOptions::once(LONG), bytes_max)
            .await
    };
    let answer = send(100).await.unwrap().expect(&[StatusCode::OK]).unwrap();
    assert_eq!(answer.json::<Value>(), Ok(json!({"status": "charged"})));
    let number = answer.json::<u32>();
    assert!(matches!(number, Err(AnswerError::Unreadable(_))));
    let cut = send(10).await.unwrap();
    assert_eq!(cut.json::<Value>(), Err(AnswerError::TooLong(10)));
    let unwanted = send(100).await.unwrap().expect(&[StatusCode::CREATED]);
    let CallError::Answered { status, body } = unwanted.unwrap_err() else {
        panic!("an answer is an answer");
    };
    assert_eq!((status, body.len()), (StatusCode::OK, 20));
}

#[tokio::test]
async fn an_answer_that_does_not_come_to_its_end_is_no_answer() {
    let one = start(&UpstreamBehaviour::reset_midway(1000));
    let upstream = foreign(&one, Afterwards::Kept);
    let told = upstream
        .send(Call::get("/"), CallOptions::once(LONG), 2000)
        .await;
    assert!(matches!(told, Err(CallError::Unknown { .. })), "{told:?}");
}

#[tokio::test]
async fn a_request_that_cannot_be_built_is_not_sent() {
    let one = start(&ok());
    let upstream = foreign(&one, Afterwards::Kept);
    let call = Call::get("/").header(http::header::ACCEPT, "a\nb");
    let told = upstream.send(call, CallOptions::once(LONG), 0).await;
    assert!(matches!(told, Err(CallError::NotSent { .. })), "{told:?}");
    assert_eq!(one.process.connections().len(), 0);
}

#[tokio::test]
async fn a_certificate_counts_by_whom_it_is_issued_and_its_refusal_names_no_host() {
    let dir = tempfile::tempdir().unwrap();
    let provider = PaymentProviderProcess::start_with_tls(dir.path());
    let authority = CertificateAuthority::new(provider.authority()).unwrap();
    let upstream = |authority| {
        let url = provider.url().parse().unwrap();
        Upstream::foreign("payment-provider", url, authority, Afterwards::Kept)
    };
    let trusting = upstream(Some(authority)).unwrap();
    let answer = trusting
        .send(Call::get("/"), CallOptions::once(LONG), 0)
        .await;
    assert!(answer.is_ok(), "{answer:?}");
    // Where the system has no certificates at all, there is nobody to distrust it.
    if let Ok(distrusting) = upstream(None) {
        let told = distrusting
            .send(Call::get("/"), CallOptions::once(LONG), 0)
            .await;
        let error = told.unwrap_err();
        assert!(matches!(error, CallError::NotSent { .. }), "{error}");
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}
