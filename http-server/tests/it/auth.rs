//! Role guards with tokens of every kind.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{TimeDelta, Utc};
use http_server::token::{AUDIENCE, ISSUER, TOKEN_LIFETIME, generate_key};
use http_server::{Admin, Caller, Courier, Ctx, EdgeConfig, OptionalCaller, Role, Staff};
use http_server::{Signer, Verifier};
use serde_json::json;

use crate::{Running, problem};

fn router() -> Router {
    Router::new()
        .route(
            "/open",
            get(async |OptionalCaller(caller): OptionalCaller| name(caller)),
        )
        .route("/context", get(async |context: Ctx| name(context.caller)))
        .route("/customer", get(async |caller: Caller| caller.user_id))
        .route(
            "/courier",
            get(async |Courier(caller): Courier| caller.user_id),
        )
        .route("/staff", get(async |Staff(caller): Staff| caller.user_id))
        .route("/admin", get(async |Admin(caller): Admin| caller.user_id))
        .route("/unguarded", get(async || "public"))
}

fn name(caller: Option<Caller>) -> String {
    caller.map_or_else(|| "nobody".to_owned(), |caller| caller.user_id)
}

fn signer() -> Signer {
    Signer::new("k1", &generate_key()).unwrap()
}

async fn start(signer: &Signer) -> Running {
    let verifier = Some(Verifier::new([signer.public_key().clone()]));
    Running::start(
        router(),
        EdgeConfig {
            verifier,
            ..EdgeConfig::default()
        },
    )
    .await
}

async fn ask(server: &Running, path: &str, authorization: &str) -> reqwest::Response {
    let request = reqwest::Client::new().get(server.url(path));
    request
        .header("authorization", authorization)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn each_role_passes_its_own_guard_and_those_below() {
    let signer = signer();
    let server = start(&signer).await;
    let guards = [
        (Role::Customer, "/customer"),
        (Role::Courier, "/courier"),
        (Role::Staff, "/staff"),
        (Role::Admin, "/admin"),
    ];
    for (role, _) in guards {
        let token = signer.sign("u1", role, TOKEN_LIFETIME, Utc::now());
        for (needed, path) in guards {
            let answer = ask(&server, path, &format!("Bearer {token}")).await;
            if role.may(needed) {
                assert_eq!(answer.text().await.unwrap(), "u1", "{role} on {path}");
            } else {
                problem(answer, 403, "forbidden").await;
            }
        }
    }
}

#[tokio::test]
async fn strangers_pass_open_doors_only() {
    let server = start(&signer()).await;
    for path in ["/customer", "/courier", "/staff", "/admin"] {
        let answer = server.get(path).await;
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        problem(answer, 401, "unauthenticated").await;
    }
    assert_eq!(server.get("/open").await.text().await.unwrap(), "nobody");
    assert_eq!(server.get("/context").await.text().await.unwrap(), "nobody");
}

#[tokio::test]
async fn tokens_that_do_not_hold_are_refused_wherever_a_caller_matters() {
    let ours = signer();
    let server = start(&ours).await;
    let now = Utc::now();
    let sign = |signer: &Signer| signer.sign("u1", Role::Admin, TOKEN_LIFETIME, now);
    let same_kid = signer();
    let foreign_kid = Signer::new("k2", &generate_key()).unwrap();
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = |exp: serde_json::Value| {
        part(
            json!({"sub": "u1", "role": "admin", "iss": ISSUER, "aud": AUDIENCE,
            "exp": exp, "iat": now.timestamp()}),
        )
    };
    let good = sign(&ours);
    let (head_and_claims, signature) = good.rsplit_once('.').unwrap();
    let head = head_and_claims.split('.').next().unwrap();
    let none = part(json!({"alg": "none", "typ": "at+jwt", "kid": "k1"}));
    let later = now.timestamp() + 60;
    let long_ago = now - TimeDelta::hours(1);
    for (what, authorization) in [
        ("wrong key", format!("Bearer {}", sign(&same_kid))),
        ("foreign kid", format!("Bearer {}", sign(&foreign_kid))),
        (
            "alg none",
            format!("Bearer {none}.{}.", claims(json!(later))),
        ),
        (
            "string exp",
            format!(
                "Bearer {head}.{}.{signature}",
                claims(json!(later.to_string()))
            ),
        ),
        (
            "changed claims",
            format!("Bearer {head}.{}.{signature}", claims(json!(later))),
        ),
        (
            "expired",
            format!(
                "Bearer {}",
                ours.sign("u1", Role::Admin, Duration::from_secs(60), long_ago)
            ),
        ),
        ("no signature", format!("Bearer {head_and_claims}.")),
        ("not a token", "Bearer x".to_owned()),
        ("another scheme", "Basic dTE6cGFzc3dvcmQ=".to_owned()),
        ("no scheme", good.clone()),
    ] {
        for path in ["/admin", "/customer", "/open", "/context"] {
            let answer = ask(&server, path, &authorization).await;
            assert_eq!(answer.status(), 401, "{what} on {path}");
            let challenge = &answer.headers()["www-authenticate"];
            assert_eq!(challenge, "Bearer error=\"invalid_token\"");
            problem(answer, 401, "unauthenticated").await;
        }
        assert_eq!(
            ask(&server, "/unguarded", &authorization).await.status(),
            200,
            "{what}"
        );
    }
    assert_eq!(
        ask(&server, "/admin", &format!("bearer {good}"))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn without_a_verifier_no_token_is_accepted() {
    let server = Running::start(router(), EdgeConfig::default()).await;
    let token = signer().sign("u1", Role::Admin, TOKEN_LIFETIME, Utc::now());
    problem(
        ask(&server, "/admin", &format!("Bearer {token}")).await,
        401,
        "unauthenticated",
    )
    .await;
}
