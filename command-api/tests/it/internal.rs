//! `/internal`, and orders of users and products that another process has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use command_api::CommandApi;
use command_api::elsewhere::HttpService;
use http_client::{Upstream, UpstreamSettings};
use http_server::Role;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::app::{Answer, SERVICE_TOKEN, TestApp};
use crate::shop::{Shop, basket};

async fn ask(app: &TestApp, path: &str) -> Answer {
    app.get(path)
        .header("nakku-service-token", SERVICE_TOKEN)
        .empty()
        .await
}

#[tokio::test]
async fn services_are_told_who_takes_part() {
    let shop = Shop::open().await;
    let app = &shop.app;
    let user = async |id: &str| ask(app, &format!("/internal/users/{id}")).await;
    let id = &shop.customer.id;
    assert_eq!(
        user(id).await.ok().body,
        json!({"id": id, "status": "active", "role": "customer"})
    );
    let path = format!("/users/{id}/deactivate");
    app.post(&path).by(&shop.customer).empty().await.ok();
    assert_eq!(user(id).await.ok().body["status"], "deactivated");
    let path = format!("/users/{id}/erase");
    app.post(&path).by(&shop.customer).empty().await.ok();
    assert_eq!(
        user(id).await.ok().body,
        json!({"id": id, "status": "erased", "role": null})
    );
    user(&Uuid::now_v7().to_string())
        .await
        .refused(404, "not-found");
    user("ada").await.refused(400, "bad-request");
}

#[tokio::test]
async fn services_are_told_what_is_sold() {
    let shop = Shop::open().await;
    let app = &shop.app;
    let gone = shop.product("GONE-1", 100, "EUR").await;
    app.post(&format!("/products/{gone}/discontinue"))
        .by(&shop.staff)
        .empty()
        .await
        .ok();
    let answer = ask(
        app,
        "/internal/products?sku=GONE-1&sku=NONE-1&sku=ALE-1&sku=GONE-1",
    )
    .await
    .ok();
    let items = answer.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let price = json!({"amount_minor": 100, "currency": "EUR"});
    let expected = json!({
        "sku": "GONE-1", "product_id": gone, "name": "A GONE-1", "price": price, "status": "discontinued"
    });
    assert_eq!(items[0], expected);
    assert_eq!(
        (&items[1]["sku"], &items[1]["status"]),
        (&json!("ALE-1"), &json!("active"))
    );
    let none = ask(app, "/internal/products?sku=NONE-1").await.ok();
    assert_eq!(none.body, json!({"items": []}));

    let many = |count: usize| {
        let skus: Vec<String> = (0..count).map(|n| format!("sku=S-{n}")).collect();
        format!("/internal/products?{}", skus.join("&"))
    };
    ask(app, &many(200)).await.ok();
    for wrong in [
        &*many(201),
        "/internal/products",
        "/internal/products?sku=a%20b",
        "/internal/products?id=1",
    ] {
        ask(app, wrong).await.refused(400, "bad-request");
    }
}

#[tokio::test]
async fn nobody_else_is_told() {
    let shop = Shop::open().await;
    let app = &shop.app;
    let admin = app.person(Role::Admin);
    let user = format!("/internal/users/{}", shop.customer.id);
    for path in [&*user, "/internal/products?sku=ALE-1"] {
        app.get(path).empty().await.refused(401, "unauthenticated");
        app.get(path)
            .by(&admin)
            .empty()
            .await
            .refused(401, "unauthenticated");
        for (header, wrong) in [
            ("nakku-service-token", ""),
            ("nakku-service-token", "x"),
            ("nakku-service-token", &*format!("Bearer {SERVICE_TOKEN}")),
            ("authorization", &*format!("Bearer {SERVICE_TOKEN}")),
            ("authorization", SERVICE_TOKEN),
        ] {
            let answer = app.get(path).header(header, wrong).empty().await;
            answer.refused(401, "unauthenticated");
        }
    }
    // Where no token is set, none is right.
    let without = TestApp::without_service_token().await;
    ask(&without, "/internal/products?sku=ALE-1")
        .await
        .refused(401, "unauthenticated");
}

/// Another service that answers as it is told, in this order, and the last one for ever.
struct StandIn {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl StandIn {
    async fn answering(answers: Vec<(u16, Value)>) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let answer = move |headers: axum::http::HeaderMap| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let (status, body) = answers[number.min(answers.len() - 1)].clone();
            let is_known = headers
                .get("nakku-service-token")
                .is_some_and(|value| value == SERVICE_TOKEN);
            async move { answer(is_known, status, body).await }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { url, asked }
    }

    fn service(&self) -> Arc<HttpService> {
        service_at(&self.url)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn service_at(url: &str) -> Arc<HttpService> {
    let settings = UpstreamSettings {
        service_token: Some(SERVICE_TOKEN.into()),
        ..UpstreamSettings::default()
    };
    let upstream = Upstream::new("another", &[url.parse().unwrap()], settings);
    Arc::new(HttpService::new(upstream.unwrap()))
}

/// Status 0 is silence.
async fn answer(is_known: bool, status: u16, body: Value) -> Response {
    if !is_known {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if status == 0 {
        std::future::pending::<()>().await;
    }
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

fn active(role: &str) -> Value {
    json!({"id": Uuid::now_v7(), "status": "active", "role": role})
}

/// A process that hosts orders and products, and asks there for users.
async fn without_users(users: &StandIn) -> Shop {
    let service = users.service();
    let app = TestApp::start_with(|api| api.with_user_directory(service)).await;
    let staff = app.person(Role::Staff);
    let customer = app.person(Role::Customer);
    let shop = Shop {
        app,
        staff,
        customer,
    };
    shop.product("ALE-1", 250, "EUR").await;
    shop
}

#[tokio::test]
async fn customers_of_another_service_order() {
    let users = StandIn::answering(vec![(200, active("customer"))]).await;
    let shop = without_users(&users).await;
    let (one, other) = tokio::join!(shop.ordered("1"), shop.ordered("2"));
    assert_eq!(users.asked(), 2);
    // What is sealed for them here is sealed with one key.
    let (one, other) = (shop.created(&one).await, shop.created(&other).await);
    assert_eq!(one["payment_token"]["subject"], shop.customer.id);
    assert_eq!(one["payment_token"], other["payment_token"]);
    assert_eq!(shop.app.count("data_keys").await, 1);
}

#[tokio::test]
async fn customers_that_the_other_service_does_not_have_are_refused() {
    for answer in [
        (404, json!({})),
        (
            200,
            json!({"id": Uuid::now_v7(), "status": "deactivated", "role": "customer"}),
        ),
        (
            200,
            json!({"id": Uuid::now_v7(), "status": "erased", "role": null}),
        ),
    ] {
        let users = StandIn::answering(vec![answer]).await;
        let shop = without_users(&users).await;
        let answer = shop.order("k", &basket(&[("ALE-1", 1)])).await;
        answer.refused(422, "customer-not-active");
        assert_eq!(users.asked(), 1);
    }
}

#[tokio::test]
async fn a_service_that_fails_is_asked_again() {
    let users = StandIn::answering(vec![(503, json!({})), (200, active("customer"))]).await;
    let shop = without_users(&users).await;
    shop.order("k", &basket(&[("ALE-1", 1)])).await.ok();
    assert_eq!(users.asked(), 2);

    let unwilling = |status: u16| StandIn::answering(vec![(status, json!({}))]);
    for (users, asked) in [
        (unwilling(503).await, 3),
        (unwilling(500).await, 1),
        (unwilling(401).await, 1),
        (unwilling(302).await, 1),
        (unwilling(0).await, 2),
        (StandIn::answering(vec![(200, json!({"id": 7}))]).await, 1),
    ] {
        let shop = without_users(&users).await;
        let answer = shop.order("k", &basket(&[("ALE-1", 1)])).await;
        let answer = answer.refused(503, "service-unreachable");
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(users.asked(), asked);
        assert_eq!(shop.orders().await, 0);
    }
}

#[tokio::test]
async fn behind_the_first_hop_nothing_is_asked_again() {
    let users = StandIn::answering(vec![(503, json!({})), (200, active("customer"))]).await;
    let shop = without_users(&users).await;
    let call = shop.app.post("/orders").by(&shop.customer).key("k");
    let call = call
        .header("nakku-service-token", SERVICE_TOKEN)
        .header("nakku-hops", "1");
    let answer = call.json(&basket(&[("ALE-1", 1)])).await;
    answer.refused(503, "service-unreachable");
    assert_eq!(users.asked(), 1);
}

#[tokio::test]
async fn a_service_that_is_not_there_uses_no_key_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let users = StandIn {
        url: format!("http://{address}"),
        asked: Arc::default(),
    };
    let shop = without_users(&users).await;
    let body = basket(&[("ALE-1", 1)]);
    shop.order("k", &body)
        .await
        .refused(503, "service-unreachable");
    let listener = TcpListener::bind(address).await.unwrap();
    let routes = Router::new().fallback(async || axum::Json(active("customer")));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    assert!(!shop.order("k", &body).await.ok().is_replayed());
}

#[tokio::test]
async fn couriers_of_another_service_are_asked_for_there() {
    let users = StandIn::answering(vec![(200, active("customer")), (200, active("courier"))]).await;
    let shop = without_users(&users).await;
    let delivery = Uuid::now_v7();
    let path = format!("/deliveries/{delivery}/assign");
    let body = json!({"courier_id": delivery});
    let assign = || shop.app.post(&path).by(&shop.staff).json(&body);
    assign().await.refused(422, "courier-not-active");
    assign().await.refused(404, "not-found");
}

#[tokio::test]
async fn products_of_another_service_are_ordered_at_its_prices() {
    let product = |sku: &str, status: &str| {
        let price = json!({"amount_minor": 700, "currency": "EUR"});
        json!({"sku": sku, "product_id": Uuid::now_v7(), "name": sku, "price": price, "status": status})
    };
    let items = [
        product("TEA-1", "active"),
        product("GONE-1", "discontinued"),
    ];
    let products = StandIn::answering(vec![(200, json!({"items": items}))]).await;
    let service = products.service();
    let app = TestApp::start_with(|api| api.with_catalogue(service)).await;
    let staff = app.person(Role::Staff);
    let customer = app.customer("ada@example.org").await;
    let shop = Shop {
        app,
        staff,
        customer,
    };
    let answer = shop.order("1", &basket(&[("TEA-1", 2)])).await.ok();
    let created = shop.created(answer.id()).await;
    assert_eq!(created["total"]["amount_minor"], 1400);
    assert_eq!(created["items"][0]["name"], "TEA-1");
    let items = [("TEA-1", 1), ("GONE-1", 1), ("NONE-1", 1)];
    let answer = shop
        .order("2", &basket(&items))
        .await
        .refused(422, "unknown-items");
    assert_eq!(answer.pointers(), ["/items/1/sku", "/items/2/sku"]);
}

#[tokio::test]
async fn two_processes_are_each_others_services() {
    let other = Shop::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let routes = other.app.router.clone();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let service = service_at(&url);
    let there = |api: CommandApi| {
        api.with_user_directory(service.clone())
            .with_catalogue(service)
    };
    let app = TestApp::start_with(there).await;
    let staff = app.person(Role::Staff);
    let customer = app.person_of(&other.customer.id, Role::Customer);
    let shop = Shop {
        app,
        staff,
        customer,
    };
    let id = shop.ordered("1").await;
    assert_eq!(shop.created(&id).await["total"]["amount_minor"], 1500);
    let answer = shop.order("2", &basket(&[("NONE-1", 1)])).await;
    answer.refused(422, "unknown-items");
    let stranger = shop.app.person(Role::Customer);
    let call = shop.app.post("/orders").by(&stranger).key("3");
    call.json(&basket(&[("ALE-1", 1)]))
        .await
        .refused(422, "customer-not-active");
}
