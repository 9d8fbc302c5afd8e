use chrono::{DateTime, TimeDelta, Utc};
use http_server::Role;
use read_models::orders::{
    self, Delivery, DeliveryPart, Item, OrderPart, PaymentPart, Row, SagaPart, Status,
};
use read_models::{deliveries, payments};
use serde_json::{Value, json};

use crate::seed::{Rows, advance, euros, go_live};
use crate::{Api, walk_with};

const ADA: &str = "0198c0de-0000-7000-8000-00000000ada0";
const BOB: &str = "0198c0de-0000-7000-8000-00000000b0b0";

fn id(number: u32) -> String {
    format!("0198c0de-0000-7000-8000-{number:012}")
}

fn placed_at() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn row(number: u32, customer: &str, store: &str, stage: Status) -> Row {
    Row {
        id: id(number),
        order: Some(OrderPart {
            version: 3,
            customer_id: customer.to_owned(),
            store_id: store.to_owned(),
            stage,
            reason: None,
            items: vec![Item {
                sku: "apple".to_owned(),
                product_id: id(900),
                name: "Apple".to_owned(),
                quantity: 2,
                unit_price: euros(150),
            }],
            total: euros(300),
            payment_id: id(700),
            placed_at: placed_at(),
            ended_at: stage.is_ended().then(placed_at),
            returned_at: None,
        }),
        ..Row::default()
    }
}

pub fn rows() -> Vec<Row> {
    let brought = DeliveryPart {
        version: 1,
        delivery: Delivery {
            id: id(800),
            status: deliveries::Status::Assigned,
            slot: Some(placed_at()),
        },
    };
    vec![
        row(1, ADA, "berlin-1", Status::Completed),
        Row {
            payment: Some(PaymentPart {
                version: 2,
                status: payments::Status::Completed,
            }),
            delivery: Some(brought.clone()),
            ..row(2, ADA, "berlin-2", Status::Scheduled)
        },
        row(3, BOB, "berlin-1", Status::Pending),
        Row {
            saga: Some(SagaPart {
                version: 9,
                parked: true,
            }),
            ..row(4, ADA, "berlin-1", Status::Reserved)
        },
        // Its own stream has not told of it.
        Row {
            id: id(5),
            delivery: Some(brought),
            ..Row::default()
        },
    ]
}

async fn with_orders() -> Api {
    let api = Api::start().await;
    go_live(api.pool(), orders::NAME, Rows::Orders(&rows()), 7).await;
    api
}

async fn listed(api: &Api, user: &str, role: Role, query: &str) -> Vec<String> {
    let bearer = api.bearer(user, role);
    let headers = [("authorization", bearer.as_str())];
    let answer = api.get_with(&format!("orders{query}"), &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let ids = answer.each("items", "id").into_iter();
    ids.map(|id| id.trim_start_matches("0198c0de-0000-7000-8000-").to_owned())
        .map(|number| number.trim_start_matches('0').to_owned())
        .collect()
}

#[tokio::test]
async fn an_order_is_answered_whole() {
    let api = with_orders().await;
    let bearer = api.bearer(ADA, Role::Customer);
    let headers = [("authorization", bearer.as_str())];
    let answer = api.get_with(&format!("orders/{}", id(2)), &headers).await;
    assert_eq!(answer.header("etag"), "\"3\"");
    let slot = "2024-10-04T00:00:00Z";
    let expected = json!({
        "id": id(2), "customer_id": ADA, "store_id": "berlin-2", "status": "scheduled", "reason": null,
        "items": [{
            "sku": "apple", "product_id": id(900), "name": "Apple", "quantity": 2,
            "unit_price": {"amount_minor": 150, "currency": "EUR"},
        }],
        "total": {"amount_minor": 300, "currency": "EUR"},
        "payment_id": id(700), "payment_status": "completed",
        "delivery": {"id": id(800), "status": "assigned", "slot": slot},
        "placed_at": slot, "ended_at": null, "returned_at": null, "version": 3,
    });
    assert_eq!(answer.ok(7), expected);

    // Its delivery may have moved on: the version of the order does not tell.
    let known = [headers[0], ("if-none-match", "\"3\"")];
    let again = api.get_with(&format!("orders/{}", id(2)), &known).await;
    assert_eq!(again.ok(7), expected);
    let parked = api.get_with(&format!("orders/{}", id(4)), &headers).await;
    assert_eq!(parked.ok(7)["status"], "parked");
}

#[tokio::test]
async fn orders_of_others_do_not_exist_below_staff() {
    let api = with_orders().await;
    for role in [Role::Customer, Role::Courier] {
        let bearer = api.bearer(ADA, role);
        let headers = [("authorization", bearer.as_str())];
        for number in [3, 5, 99] {
            let foreign = api
                .get_with(&format!("orders/{}", id(number)), &headers)
                .await;
            foreign.problem(404, "not-found");
        }
        assert_eq!(listed(&api, ADA, role, "").await, ["4", "2", "1"]);
        let query = format!("?customer_id={BOB}");
        assert!(listed(&api, ADA, role, &query).await.is_empty());
    }
    for role in [Role::Staff, Role::Admin] {
        let bearer = api.bearer("u-staff", role);
        let headers = [("authorization", bearer.as_str())];
        let found = api.get_with(&format!("orders/{}", id(3)), &headers).await;
        assert_eq!(found.ok(7)["customer_id"], BOB);
        let untold = api.get_with(&format!("orders/{}", id(5)), &headers).await;
        untold.problem(404, "not-found");
        assert_eq!(
            listed(&api, "u-staff", role, "").await,
            ["4", "3", "2", "1"]
        );
    }
    for path in ["orders".to_owned(), format!("orders/{}", id(1))] {
        api.get(&path).await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn filters_narrow_a_list() {
    let api = with_orders().await;
    let found = async |user: &str, role, query: &str| listed(&api, user, role, query).await;
    let staff = async |query: &str| found("u-staff", Role::Staff, query).await;
    assert_eq!(staff(&format!("?customer_id={BOB}")).await, ["3"]);
    assert_eq!(staff("?store_id=berlin-1").await, ["4", "3", "1"]);
    assert_eq!(staff("?status=parked").await, ["4"]);
    assert_eq!(staff("?status=completed&store_id=berlin-1").await, ["1"]);
    let nothing = format!("?customer_id={BOB}&status=completed");
    assert!(staff(&nothing).await.is_empty());
    assert!(staff("?store_id=%27%3B--").await.is_empty());
    // Without a value, as forms send them.
    assert_eq!(staff("?customer_id=&store_id=").await, ["4", "3", "2", "1"]);
    let own = found(ADA, Role::Customer, "?status=completed").await;
    assert_eq!(own, ["1"]);
    let named = found(ADA, Role::Customer, &format!("?customer_id={ADA}")).await;
    assert_eq!(named, ["4", "2", "1"]);

    let bearer = api.bearer("u-staff", Role::Staff);
    let headers = [("authorization", bearer.as_str())];
    let refused = api.get_with("orders?status=lost", &headers).await;
    refused.problem(400, "bad-request");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("status") && detail.contains("parked"),
        "{detail}"
    );
}

#[tokio::test]
async fn pages_lead_from_the_newest_to_the_oldest() {
    let api = with_orders().await;
    let bearer = api.bearer(ADA, Role::Customer);
    let headers = [("authorization", bearer.as_str())];
    let pages = walk_with(&api, "orders?limit=2", &headers, "items", "id").await;
    assert_eq!(pages, [vec![id(4), id(2)], vec![id(1)]]);
    let foreign = api.get_with("orders?cursor=eA", &headers).await;
    foreign.problem(400, "bad-request");
}

#[tokio::test]
async fn a_customer_reads_what_they_wrote() {
    let api = with_orders().await;
    let bearer = api.bearer(ADA, Role::Customer);
    let asked = [
        ("authorization", bearer.as_str()),
        ("nakku-min-position", "8"),
        ("prefer", "wait=0"),
    ];
    for path in ["orders".to_owned(), format!("orders/{}", id(1))] {
        let behind = api.get_with(&path, &asked).await;
        behind.problem(503, "projection-behind");
    }
    advance(api.pool(), orders::NAME, 1, 8).await;
    for path in ["orders".to_owned(), format!("orders/{}", id(1))] {
        let body = api.get_with(&path, &asked).await.ok(8);
        assert!(matches!(body, Value::Object(_)));
    }
}
