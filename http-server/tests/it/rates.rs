//! Requests that are counted together.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::routing::get;
use chrono::Utc;
use http_server::edge::{OWN_RATE_BURST, OWN_RATE_PER_SECOND};
use http_server::token::{TOKEN_LIFETIME, generate_key};
use http_server::{EdgeConfig, Limits, Role, ServiceToken, Signer, Verifier, edge};
use tower::ServiceExt as _;

const BURST: u32 = 5;
const PROXY: &str = "10.0.0.1";

struct Shop {
    router: Router,
    signer: Signer,
}

impl Shop {
    fn open() -> Self {
        let signer = Signer::new("k1", &generate_key()).unwrap();
        let router = Router::new()
            .route("/things", get(async || "things"))
            .route("/login", get(async || "welcome"))
            .route("/register", get(async || "welcome"));
        let config = EdgeConfig {
            verifier: Some(Verifier::new([signer.public_key().clone()])),
            limits: Limits {
                rate_per_second: 1,
                rate_burst: BURST,
                ..Limits::default()
            },
            service_token: Some(ServiceToken::new("services")),
            trusted_proxies: PROXY.parse().unwrap(),
            own_buckets: &["/login", "/register"],
            ..EdgeConfig::default()
        };
        Shop {
            router: edge(router, config),
            signer,
        }
    }

    fn bearer(&self, user_id: &str) -> String {
        let customer = Role::Customer;
        let token = self
            .signer
            .sign(user_id, customer, TOKEN_LIFETIME, Utc::now());
        format!("Bearer {token}")
    }

    /// Whether it is admitted.
    async fn ask(&self, path: &str, peer: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::get(path).header("host", "shop");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = self.router.clone().oneshot(request).await.unwrap();
        match answer.status().as_u16() {
            200 => true,
            429 => {
                assert!(answer.headers().contains_key("retry-after"));
                false
            }
            status => panic!("{status}"),
        }
    }

    /// Asks until it is refused.
    async fn exhaust(&self, path: &str, peer: &str, headers: &[(&str, &str)]) -> u32 {
        let mut admitted = 0;
        while self.ask(path, peer, headers).await {
            admitted += 1;
            assert!(admitted < 20 * OWN_RATE_BURST, "{path} has no end");
        }
        admitted
    }
}

#[tokio::test]
async fn one_scraper_behind_a_proxy_does_not_shut_out_another_shopper() {
    let shop = Shop::open();
    let scraper = [("x-forwarded-for", "203.0.113.9")];
    shop.exhaust("/things", PROXY, &scraper).await;
    let shopper = [("x-forwarded-for", "198.51.100.1")];
    assert!(shop.ask("/things", PROXY, &shopper).await);
    let neighbour = [("forwarded", "for=\"[2001:db8::1]\"")];
    assert!(shop.ask("/things", PROXY, &neighbour).await);

    // Of an IPv6 network all addresses are one client's, and who is logged in has a bucket of its own.
    shop.exhaust("/things", PROXY, &neighbour).await;
    let same_network = [("forwarded", "for=\"[2001:db8::ffff:2]:80\"")];
    let admitted = shop.exhaust("/things", PROXY, &same_network).await;
    assert!(admitted < BURST, "{admitted}");
    let bearer = shop.bearer("ada");
    let known = [scraper[0], ("authorization", &bearer)];
    assert!(shop.ask("/things", PROXY, &known).await);
    shop.exhaust("/things", PROXY, &known).await;
    let elsewhere = [shopper[0], ("authorization", &bearer)];
    let admitted = shop.exhaust("/things", PROXY, &elsewhere).await;
    assert!(admitted < BURST, "{admitted}");
    assert!(shop.ask("/things", PROXY, &shopper).await);
}

#[tokio::test]
async fn who_is_no_trusted_proxy_cannot_be_many() {
    let shop = Shop::open();
    let mut number = 0;
    let mut names = || {
        number += 1;
        format!("203.0.113.{}", number % 250)
    };
    let mut admitted = 0;
    while shop
        .ask("/things", "198.51.100.7", &[("x-forwarded-for", &names())])
        .await
    {
        admitted += 1;
        assert!(admitted < 1_000, "each invented address has a bucket");
    }
}

#[tokio::test]
async fn what_a_service_asks_was_counted_before() {
    let shop = Shop::open();
    let headers = [
        ("nakku-service-token", "services"),
        ("x-forwarded-for", "203.0.113.9"),
    ];
    for path in ["/things", "/login"] {
        for _ in 0..20 * OWN_RATE_BURST / 10 {
            assert!(shop.ask(path, PROXY, &headers).await);
        }
    }
}

#[tokio::test]
async fn logging_in_and_everything_else_do_not_use_each_other_up() {
    let shop = Shop::open();
    let (here, there) = ("198.51.100.1", "198.51.100.2");
    shop.exhaust("/things", here, &[]).await;
    assert!(shop.ask("/login", here, &[]).await);
    assert!(shop.ask("/register", here, &[]).await);

    let began = std::time::Instant::now();
    let admitted = shop.exhaust("/login", there, &[]).await;
    let seconds = u32::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let most = OWN_RATE_BURST + seconds * OWN_RATE_PER_SECOND;
    assert!((OWN_RATE_BURST..=most).contains(&admitted), "{admitted}");
    assert!(shop.ask("/things", there, &[]).await);
    assert!(shop.ask("/register", there, &[]).await);
    assert!(shop.ask("/login", here, &[]).await);
    // A token is no way round: guesses of passwords are counted by address.
    shop.exhaust("/login", there, &[]).await;
    let bearer = shop.bearer("ada");
    let admitted = shop
        .exhaust("/login", there, &[("authorization", &bearer)])
        .await;
    assert!(admitted < OWN_RATE_BURST, "{admitted}");
}
