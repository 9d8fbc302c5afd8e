//! What own services are told, and nobody else.

use http_client::{Call, CallOptions, Retry, Upstream, UpstreamSettings, headers};
use testing::UpstreamBehaviour;

use crate::fixture::*;

fn forged() -> http::Request<http_client::Body> {
    let mut request = get();
    for name in [headers::SERVICE_TOKEN, headers::TIMEOUT_MS, headers::HOPS] {
        request.headers_mut().insert(name, "7".parse().unwrap());
    }
    let host = "elsewhere.example".parse().unwrap();
    request.headers_mut().insert("host", host);
    request
}

#[tokio::test]
async fn an_own_service_is_told_who_calls_how_long_and_by_how_many_hops() {
    let one = start(&UpstreamBehaviour::echo());
    let settings = UpstreamSettings {
        service_token: Some("the-token".into()),
        ..UpstreamSettings::default()
    };
    let upstream = client_with(&[&one], settings);
    let options = CallOptions {
        hops: 2,
        ..CallOptions::safe(LONG)
    };
    let stream = CallOptions {
        idle: Some(LONG),
        ..options.clone()
    };
    assert_eq!(status(&upstream, forged(), options.clone()).await, Ok(200));
    assert_eq!(status(&upstream, forged(), stream).await, Ok(200));
    let requests = one.process.requests();
    for request in &requests {
        assert_eq!(request.values("nakku-service-token"), ["the-token"]);
        assert_eq!(request.values("nakku-hops"), ["3"]);
        let host = format!("127.0.0.1:{}", one.process.port());
        assert_eq!(request.values("host"), [host.as_str()]);
    }
    let attempt = options.attempt.as_millis().to_string();
    assert_eq!(requests[0].values("nakku-timeout-ms"), [attempt.as_str()]);
    assert!(requests[1].values("nakku-timeout-ms").is_empty());
}

#[tokio::test]
async fn a_server_without_the_token_is_told_none_of_it() {
    let one = start(&UpstreamBehaviour::echo());
    let upstream = client(&[&one]);
    assert_eq!(
        status(&upstream, forged(), options(Retry::Safe)).await,
        Ok(200)
    );
    let request = &one.process.requests()[0];
    for (name, _) in &request.headers {
        assert!(!name.to_lowercase().starts_with("nakku-"), "{name}");
    }
}

#[tokio::test]
async fn a_path_prefix_stands_before_every_path() {
    let one = start(&UpstreamBehaviour::echo());
    let url = format!("{}/v1/", one.process.url()).parse().unwrap();
    let upstream = Upstream::new("prefixed", &[url], UpstreamSettings::default()).unwrap();
    let call = Call::get("/charges").query(&[("sku", "a b"), ("sku", "c&d")]);
    upstream
        .send(call, CallOptions::once(LONG), 10_000)
        .await
        .unwrap();
    assert_eq!(
        one.process.requests()[0].target,
        "/v1/charges?sku=a+b&sku=c%26d"
    );
}
