//! Tokens at the door, by the keys that the user service publishes.

use gateway::keys;
use http_server::token::{Jwks, generate_key};
use http_server::{Signer, Verifier};
use testing::UpstreamBehaviour;

use crate::door::Door;

fn publishing(signer: &Signer) -> UpstreamBehaviour {
    let document = serde_json::to_string(&Jwks::new([signer.public_key()])).unwrap();
    UpstreamBehaviour::answer(200)
        .header("Content-Type", "application/json")
        .body(&document)
}

fn fetched(users: http_client::Upstream) -> Verifier {
    Verifier::fetched(move || {
        let users = users.clone();
        async move { keys::fetch(&users).await }
    })
}

fn fetches(door: &Door) -> usize {
    let requests = door.upstream.requests();
    let is_fetch = |target: &str| target == "/.well-known/jwks.json";
    requests
        .iter()
        .filter(|request| is_fetch(&request.target))
        .count()
}

async fn status(door: &Door, token: &str) -> u16 {
    let request = door.get("/api/v1/users/me").bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn keys_are_fetched_once_and_kept_while_their_service_is_away() {
    let signer = Signer::new("k1", &generate_key()).unwrap();
    let door = Door::with(publishing(&signer), signer, fetched).await;
    let token = door.token();
    for _ in 0..3 {
        assert_eq!(status(&door, &token).await, 200);
    }
    assert_eq!(fetches(&door), 1);

    // Unknown keys fetch again at most once in a while, whatever strangers send.
    let stranger = Signer::new("k2", &generate_key()).unwrap();
    let lifetime = std::time::Duration::from_secs(60);
    let forged = stranger.sign("u1", http_server::Role::Admin, lifetime, chrono::Utc::now());
    for _ in 0..20 {
        assert_eq!(status(&door, &forged).await, 401);
    }
    assert!(fetches(&door) <= 2, "{}", fetches(&door));
    assert_eq!(status(&door, &token).await, 200);
}

#[tokio::test]
async fn before_any_key_was_fetched_nobody_is_called_a_stranger() {
    let signer = Signer::new("k1", &generate_key()).unwrap();
    let door = Door::with(UpstreamBehaviour::hang_up(), signer, fetched).await;
    assert_eq!(status(&door, &door.token()).await, 503);
    // Whoever needs no token is served: the upstream's failure is told, not the token's.
    let public = door.get("/api/v1/products").bearer_auth(door.token());
    assert_eq!(public.send().await.unwrap().status().as_u16(), 502);
}
