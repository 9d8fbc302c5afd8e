//! Bearer tokens that do not hold, and what is somebody else's.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{TimeDelta, Utc};
use http_server::token::generate_key;
use http_server::{Role, Signer};
use reqwest::Method;
use serde_json::{Value, json};

use super::{NO_ID, Refusal, Shop};

/// Those of a foreign key, of a forger, and of yesterday.
fn wrong_tokens(shop: &Shop) -> Vec<(&'static str, String)> {
    let now = Utc::now();
    let good = shop.admin.token().unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let [head, claims, signature] = parts[..] else {
        panic!("a token has three parts");
    };
    let read = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let written = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let kid = read(head)["kid"].as_str().unwrap().to_owned();
    let keys = std::fs::read_to_string(shop.directory.path().join("keys.json")).unwrap();
    let ours = Signer::new(kid.clone(), &signing_key(&keys)).unwrap();
    let hour = Duration::from_secs(3_600);
    let signed = |signer: &Signer, at| signer.sign(NO_ID, Role::Admin, hour, at);
    let mut none = read(head);
    none["alg"] = json!("none");
    let mut hs256 = read(head);
    hs256["alg"] = json!("HS256");
    let mut without_kid = read(head);
    without_kid.as_object_mut().unwrap().remove("kid");
    let mut other_audience = read(claims);
    other_audience["aud"] = json!("another-api");
    vec![
        (
            "another key under our name",
            signed(&Signer::new(kid, &generate_key()).unwrap(), now),
        ),
        (
            "a key that we do not know",
            signed(&Signer::new("k9", &generate_key()).unwrap(), now),
        ),
        ("expired", signed(&ours, now - TimeDelta::hours(2))),
        ("alg none", format!("{}.{claims}.", written(&none))),
        (
            "alg none, signed",
            format!("{}.{claims}.{signature}", written(&none)),
        ),
        (
            "alg HS256",
            format!("{}.{claims}.{signature}", written(&hs256)),
        ),
        (
            "no kid",
            format!("{}.{claims}.{signature}", written(&without_kid)),
        ),
        (
            "changed claims",
            format!("{head}.{}.{signature}", written(&other_audience)),
        ),
        ("no signature", format!("{head}.{claims}.")),
        ("two parts", format!("{head}.{claims}")),
        ("nothing", String::new()),
        ("rubbish", "....".to_owned()),
        ("too long", "a".repeat(5_000)),
    ]
}

/// PKCS#8 of the installation's key.
fn signing_key(keys_file: &str) -> Vec<u8> {
    let keys: Value = serde_json::from_str(keys_file).unwrap();
    let text = keys["signing"].as_str().unwrap();
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap()
}

pub(super) async fn only_tokens_that_hold_are_accepted(shop: &Shop) {
    for (what, token) in wrong_tokens(shop) {
        for (method, path) in [
            (Method::GET, "/api/v1/users/me"),
            (Method::GET, "/api/v1/admin/outbox"),
            (Method::POST, "/api/v1/products"),
        ] {
            let url = format!("{}{path}", shop.url);
            let request = shop.client.request(method, url).bearer_auth(&token);
            let request = request.json(&json!({"sku": "NK-1"}));
            let refusal = Refusal::of(format!("{what}: {path}"), request).await;
            refusal.is(401, "unauthenticated");
        }
    }
    let url = format!("{}/api/v1/users/me", shop.url);
    let plain = || shop.client.get(&url);
    for wrong in ["Basic dTE6cGFzc3dvcmQ=", "Bearer", "bearer  ", "ä"] {
        let request = plain().header("authorization", wrong);
        Refusal::of(format!("authorization: {wrong}"), request)
            .await
            .is(401, "unauthenticated");
    }
    Refusal::of("nobody", plain())
        .await
        .is(401, "unauthenticated");
    let token = shop.admin.token().unwrap();
    let twice = plain().bearer_auth(token).bearer_auth(token);
    Refusal::of("two tokens", twice)
        .await
        .is(401, "unauthenticated");
}

pub(super) async fn what_belongs_to_others_is_not_there(shop: &Shop) {
    let customer = |method: Method, path: &str| {
        let request = shop
            .client
            .request(method, format!("{}/api/v1{path}", shop.url));
        request.bearer_auth(shop.customer.token().unwrap())
    };
    Refusal::of(
        "another user",
        customer(Method::GET, &format!("/users/{NO_ID}")),
    )
    .await
    .is(404, "not-found");
    for (path, body) in [
        ("update-profile", json!({"name": "Mallory"})),
        (
            "change-password",
            json!({"current_password": "x", "new_password": "correct horse"}),
        ),
        ("deactivate", json!({})),
    ] {
        let path = format!("/users/{NO_ID}/{path}");
        Refusal::of(&path, customer(Method::POST, &path).json(&body))
            .await
            .is(404, "not-found");
    }
    for (path, body) in [
        (
            "/products",
            json!({"sku": "NK-1", "name": "Ale", "price": {"amount_minor": 1, "currency": "EUR"}}),
        ),
        ("/inventory/store-1/NK-1/receive", json!({"quantity": 1})),
        (
            &format!("/users/{}/assign-role", shop.user),
            json!({"role": "admin"}),
        ),
        ("/admin/projections/search/replay", json!({})),
    ] {
        let request = customer(Method::POST, path).header("idempotency-key", "wrong-4");
        Refusal::of(path, request.json(&body))
            .await
            .is(403, "forbidden");
    }
    for (email, password) in [
        ("ada@example.org", "wrong"),
        ("nobody@example.org", "wrong"),
    ] {
        let url = format!("{}/api/v1/users/login", shop.url);
        let request = shop.client.post(url);
        let request = request.json(&json!({"email": email, "password": password}));
        Refusal::of(email, request)
            .await
            .is(401, "invalid-credentials");
    }
}
