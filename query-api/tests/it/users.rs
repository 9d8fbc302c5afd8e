use http_server::Role;
use read_models::users::{self, Status, User};
use serde_json::json;

use crate::Api;
use crate::seed::{Rows, go_live, user};

fn at_home(user: User) -> User {
    let address = json!({
        "label": "Home", "recipient": null, "lines": ["Dorset Street 1"], "postal_code": "10115",
        "city": "Berlin", "country": "DE", "note": null,
    });
    User {
        addresses: vec![serde_json::from_value(address).unwrap()],
        ..user
    }
}

fn erased(id: &str) -> User {
    User {
        email: None,
        name: None,
        status: Status::Erased,
        version: 2,
        ..user(id)
    }
}

async fn with_users() -> Api {
    let api = Api::start().await;
    let rows = [at_home(user("u-ada")), user("u-bob"), erased("u-gone")];
    go_live(api.pool(), users::NAME, Rows::Users(&rows), 7).await;
    api
}

#[tokio::test]
async fn a_customer_sees_itself() {
    let api = with_users().await;
    let ada = api.bearer("u-ada", Role::Customer);
    for path in ["users/me", "users/u-ada"] {
        let answer = api.get_with(path, &[("authorization", &ada)]).await;
        assert_eq!(answer.header("etag"), "\"1\"");
        let body = answer.ok(7);
        let expected = json!({
            "id": "u-ada", "email": "u-ada@example.com", "name": "Ada", "phone": null,
            "addresses": [{
                "label": "Home", "recipient": null, "lines": ["Dorset Street 1"],
                "postal_code": "10115", "city": "Berlin", "country": "DE", "note": null,
            }],
            "notification_preferences": {
                "order": {"email": true, "webhook": false, "log": false},
                "payment": {"email": false, "webhook": false, "log": false},
                "delivery": {"email": true, "webhook": false, "log": false},
                "account": {"email": true, "webhook": false, "log": false},
            },
            "status": "active", "role": "customer", "version": 1,
        });
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn others_do_not_exist_below_staff() {
    let api = with_users().await;
    for role in [Role::Customer, Role::Courier] {
        let ada = api.bearer("u-ada", role);
        let foreign = api
            .get_with("users/u-bob", &[("authorization", &ada)])
            .await;
        foreign.problem(404, "not-found");
        let unknown = api
            .get_with("users/u-eve", &[("authorization", &ada)])
            .await;
        unknown.problem(404, "not-found");
    }
    for role in [Role::Staff, Role::Admin] {
        let staff = api.bearer("u-staff", role);
        let headers = [("authorization", staff.as_str())];
        let found = api.get_with("users/u-bob", &headers).await.ok(7);
        assert_eq!(found["id"], "u-bob");
        let unknown = api.get_with("users/u-eve", &headers).await;
        unknown.problem(404, "not-found");
        api.get_with("users/me", &headers)
            .await
            .problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_token_from_before_the_erasure_reads_nothing() {
    let api = with_users().await;
    for role in [Role::Customer, Role::Admin] {
        let gone = api.bearer("u-gone", role);
        for path in ["users/me", "users/u-gone"] {
            let answer = api.get_with(path, &[("authorization", &gone)]).await;
            answer.problem(404, "not-found");
        }
    }
    let staff = api.bearer("u-staff", Role::Staff);
    let headers = [("authorization", staff.as_str())];
    let found = api.get_with("users/u-gone", &headers).await.ok(7);
    assert_eq!(
        (&found["status"], &found["email"]),
        (&json!("erased"), &json!(null))
    );
}

#[tokio::test]
async fn strangers_are_asked_for_a_token() {
    let api = with_users().await;
    for path in ["users/me", "users/u-ada"] {
        api.get(path).await.problem(401, "unauthenticated");
        let forged = api.get_with(path, &[("authorization", "Bearer x")]).await;
        forged.problem(401, "unauthenticated");
    }
}
