use chrono::DateTime;
use http_server::Role;
use read_models::notifications::{self, Notification, Status};
use serde_json::json;

use crate::seed::{Rows, go_live};
use crate::{Api, walk_with};

fn notification(id: &str, user: &str) -> Notification {
    Notification {
        id: id.to_owned(),
        user_id: user.to_owned(),
        channel: "email".to_owned(),
        about: "order.completed".to_owned(),
        order_id: Some("o-1".to_owned()),
        status: Status::Sent,
        attempts: 2,
        error: None,
        at: DateTime::UNIX_EPOCH,
        version: 4,
    }
}

#[tokio::test]
async fn everybody_sees_what_they_were_told() {
    let api = Api::start().await;
    let rows = [
        notification("e-1:email", "u-ada"),
        notification("e-1:log", "u-ada"),
        notification("e-2:email", "u-bob"),
        notification("e-3:email", "u-ada"),
    ];
    let rows = Rows::Notifications(&rows);
    go_live(api.pool(), notifications::NAME, rows, 7).await;
    let path = "users/me/notifications";
    let ada = api.bearer("u-ada", Role::Customer);
    let headers = [("authorization", ada.as_str())];
    let pages = walk_with(&api, &format!("{path}?limit=2"), &headers, "items", "id").await;
    assert_eq!(pages, [vec!["e-3:email", "e-1:log"], vec!["e-1:email"]]);
    let body = api.get_with(path, &headers).await.ok(7);
    let expected = json!({
        "id": "e-3:email", "channel": "email", "about": "order.completed", "order_id": "o-1",
        "status": "sent", "attempts": 2, "error": null, "at": "1970-01-01T00:00:00Z",
        "version": 4,
    });
    assert_eq!(body["items"][0], expected);
    let admin = api.bearer("u-admin", Role::Admin);
    let body = api.get_with(path, &[("authorization", &admin)]).await.ok(7);
    assert_eq!(body, json!({"items": [], "next_cursor": null}));
    api.get(path).await.problem(401, "unauthenticated");
    let behind = [
        headers[0],
        ("nakku-min-position", "8"),
        ("prefer", "wait=0"),
    ];
    let behind = api.get_with(path, &behind).await;
    behind.problem(503, "projection-behind");
}
