use chrono::{DateTime, TimeDelta};
use http_server::Role;
use read_models::timeline::{self, Entry, Item};
use serde_json::json;
use uuid::Uuid;

use crate::seed::{Rows, go_live};
use crate::{Api, walk_with};

pub const ORDER: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001);
pub const OTHER: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0002);
pub const CUSTOMER: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_000a);

/// An item at a position; the first one of an order says whose it is.
pub fn entry(order_id: Uuid, position: i64) -> Entry {
    let started = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
    Entry {
        order_id,
        customer_id: (position <= 2).then_some(CUSTOMER),
        item: Item {
            at: started + TimeDelta::seconds(position),
            position,
            event_type: "fulfilment.refund-requested".to_owned(),
            actor: "fulfilment".to_owned(),
            reason: None,
            attempt: Some(1),
        },
    }
}

pub fn path(order_id: Uuid) -> String {
    format!("orders/{order_id}/timeline")
}

#[tokio::test]
async fn a_timeline_is_its_customers_and_the_staffs() {
    let api = Api::start().await;
    let mut placed = entry(ORDER, 1);
    placed.item = Item {
        event_type: "order.created".to_owned(),
        actor: CUSTOMER.to_string(),
        reason: Some("for a test".to_owned()),
        attempt: None,
        ..placed.item
    };
    let rows = [placed, entry(ORDER, 3), entry(OTHER, 2)];
    go_live(api.pool(), timeline::NAME, Rows::Timeline(&rows), 7).await;
    let expected = json!({
        "items": [
            {"at": "2026-11-18T11:06:41Z", "position": 1, "type": "order.created",
             "actor": CUSTOMER.to_string(), "reason": "for a test", "attempt": null},
            {"at": "2026-11-18T11:06:43Z", "position": 3, "type": "fulfilment.refund-requested",
             "actor": "fulfilment", "reason": null, "attempt": 1},
        ],
        "next_cursor": null,
    });
    let customer = CUSTOMER.to_string();
    for (user, role) in [
        (customer.as_str(), Role::Customer),
        ("somebody", Role::Staff),
        ("somebody", Role::Admin),
    ] {
        let token = api.bearer(user, role);
        let headers = [("authorization", token.as_str())];
        let answer = api.get_with(&path(ORDER), &headers).await;
        assert_eq!(answer.ok(7), expected, "{role}");
    }
    for role in [Role::Customer, Role::Courier] {
        let token = api.bearer(&OTHER.to_string(), role);
        let headers = [("authorization", token.as_str())];
        for path in [path(ORDER), path(CUSTOMER), "orders/7/timeline".to_owned()] {
            let answer = api.get_with(&path, &headers).await;
            answer.problem(404, "not-found");
        }
    }
    api.get(&path(ORDER)).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_timeline_whose_beginning_is_not_there_is_the_staffs_alone() {
    let api = Api::start().await;
    let rows = [entry(ORDER, 3), entry(ORDER, 4)];
    go_live(api.pool(), timeline::NAME, Rows::Timeline(&rows), 7).await;
    let customer = api.bearer(&CUSTOMER.to_string(), Role::Customer);
    let answer = api
        .get_with(&path(ORDER), &[("authorization", &customer)])
        .await;
    answer.problem(404, "not-found");
    let staff = api.bearer("somebody", Role::Staff);
    let answer = api
        .get_with(&path(ORDER), &[("authorization", &staff)])
        .await;
    assert_eq!(answer.ok(7)["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_long_timeline_is_walked_and_waited_for() {
    let api = Api::start().await;
    let rows: Vec<Entry> = (1..=5).map(|position| entry(ORDER, position)).collect();
    go_live(api.pool(), timeline::NAME, Rows::Timeline(&rows), 7).await;
    let token = api.bearer(&CUSTOMER.to_string(), Role::Customer);
    let headers = [("authorization", token.as_str())];
    let first = format!("{}?limit=2", path(ORDER));
    let pages = walk_with(&api, &first, &headers, "items", "type").await;
    let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(lengths, [2, 2, 1]);
    for (wanted, code) in [("8", "projection-behind"), ("soon", "bad-request")] {
        let headers = [
            headers[0],
            ("nakku-min-position", wanted),
            ("prefer", "wait=0"),
        ];
        for path in [path(ORDER), path(OTHER)] {
            let answer = api.get_with(&path, &headers).await;
            assert_eq!(answer.body["code"], code);
        }
    }
}
