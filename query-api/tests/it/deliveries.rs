use chrono::DateTime;
use http_server::Role;
use read_models::deliveries::{self, Delivery, Status};
use serde_json::json;

use crate::seed::{Rows, go_live};
use crate::{Api, walk_with};

fn delivery(id: &str, customer: &str, status: Status, courier: Option<&str>) -> Delivery {
    let address = json!({
        "label": null, "recipient": null, "lines": ["Dorset Street 1"], "postal_code": "10115",
        "city": "Berlin", "country": "DE", "note": null,
    });
    Delivery {
        id: id.to_owned(),
        order_id: "o-1".to_owned(),
        customer_id: Some(customer.to_owned()),
        store_id: Some("berlin-1".to_owned()),
        status,
        slot: Some(DateTime::UNIX_EPOCH),
        courier_id: courier.map(str::to_owned),
        reason: None,
        address: Some(serde_json::from_value(address).unwrap()),
        attempts: 0,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
        ended_at: None,
        version: 2,
    }
}

async fn with_deliveries() -> Api {
    let api = Api::start().await;
    let rows = [
        delivery("d-1", "u-ada", Status::Completed, Some("u-cleo")),
        delivery("d-2", "u-ada", Status::Scheduled, None),
        delivery("d-3", "u-bob", Status::PickedUp, Some("u-carl")),
        Delivery {
            store_id: Some("berlin-2".to_owned()),
            ..delivery("d-4", "u-bob", Status::Assigned, Some("u-cleo"))
        },
        // A courier orders, too.
        delivery("d-5", "u-cleo", Status::PickedUp, Some("u-carl")),
    ];
    go_live(api.pool(), deliveries::NAME, Rows::Deliveries(&rows), 7).await;
    api
}

#[tokio::test]
async fn who_has_to_do_with_a_delivery_sees_it() {
    let api = with_deliveries().await;
    let get = async |user: &str, role, id: &str| {
        let bearer = api.bearer(user, role);
        let path = format!("deliveries/{id}");
        api.get_with(&path, &[("authorization", &bearer)]).await
    };
    let answer = get("u-cleo", Role::Courier, "d-4").await;
    assert_eq!(answer.header("etag"), "\"2\"");
    let expected = json!({
        "id": "d-4", "order_id": "o-1", "customer_id": "u-bob", "store_id": "berlin-2",
        "status": "assigned", "slot": "1970-01-01T00:00:00Z", "courier_id": "u-cleo",
        "reason": null, "address": {
            "label": null, "recipient": null, "lines": ["Dorset Street 1"],
            "postal_code": "10115", "city": "Berlin", "country": "DE", "note": null,
        },
        "attempts": 0, "created_at": "1970-01-01T00:00:00Z",
        "updated_at": "1970-01-01T00:00:00Z", "ended_at": null, "version": 2,
    });
    assert_eq!(answer.ok(7), expected);
    for (user, role, id) in [
        ("u-ada", Role::Customer, "d-2"),
        ("u-cleo", Role::Courier, "d-5"),
        ("u-staff", Role::Staff, "d-3"),
        ("u-admin", Role::Admin, "d-2"),
    ] {
        let body = get(user, role, id).await.ok(7);
        assert_eq!(body["address"]["city"], "Berlin", "{user}");
    }
    // What waits for a courier, is seen by all of them, but not yet where it goes.
    let open = get("u-cleo", Role::Courier, "d-2").await.ok(7);
    assert_eq!(
        (&open["status"], &open["address"]),
        (&json!("scheduled"), &json!(null))
    );
    for (user, role, id) in [
        ("u-ada", Role::Customer, "d-3"),
        ("u-bob", Role::Customer, "d-2"),
        ("u-cleo", Role::Courier, "d-3"),
        ("u-cleo", Role::Customer, "d-2"),
        ("u-staff", Role::Staff, "d-9"),
    ] {
        let missing = get(user, role, id).await;
        missing.problem(404, "not-found");
    }
    for path in ["deliveries", "deliveries/d-1"] {
        api.get(path).await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_list_holds_what_its_reader_may_see() {
    let api = with_deliveries().await;
    let listed = async |user: &str, role, query: &str| -> Vec<String> {
        let bearer = api.bearer(user, role);
        let path = format!("deliveries{query}");
        let answer = api.get_with(&path, &[("authorization", &bearer)]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let ids = answer.each("items", "id");
        ids.into_iter().map(str::to_owned).collect()
    };
    let (customer, courier, staff) = (Role::Customer, Role::Courier, Role::Staff);
    assert_eq!(listed("u-ada", customer, "").await, ["d-2", "d-1"]);
    let cleo = ["d-5", "d-4", "d-2", "d-1"];
    assert_eq!(listed("u-cleo", courier, "").await, cleo);
    let own = listed("u-cleo", courier, "?courier_id=u-cleo").await;
    assert_eq!(own, ["d-4", "d-1"]);
    let open = listed("u-cleo", courier, "?status=scheduled&store_id=berlin-1").await;
    assert_eq!(open, ["d-2"]);
    let all = ["d-5", "d-4", "d-3", "d-2", "d-1"];
    assert_eq!(listed("u-staff", staff, "").await, all);
    let carls = listed("u-staff", staff, "?courier_id=u-carl&status=picked-up").await;
    assert_eq!(carls, ["d-5", "d-3"]);
    assert_eq!(
        listed("u-staff", staff, "?store_id=berlin-2").await,
        ["d-4"]
    );

    let bearer = api.bearer("u-cleo", courier);
    let headers = [("authorization", bearer.as_str())];
    let pages = walk_with(&api, "deliveries?limit=3", &headers, "items", "id").await;
    assert_eq!(pages, [vec!["d-5", "d-4", "d-2"], vec!["d-1"]]);
    let body = api.get_with("deliveries", &headers).await.ok(7);
    let addresses = body["items"].as_array().unwrap().iter();
    let hidden: Vec<_> = addresses.map(|it| it["address"].is_null()).collect();
    assert_eq!(hidden, [false, false, true, false]);
    let refused = api.get_with("deliveries?status=lost", &headers).await;
    refused.problem(400, "bad-request");
}
