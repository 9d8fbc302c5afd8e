use chrono::DateTime;
use http_server::Role;
use read_models::payments::{self, Payment, Status};
use serde_json::json;

use crate::Api;
use crate::seed::{Rows, euros, go_live};

fn payment(id: &str, customer: Option<&str>) -> Payment {
    Payment {
        id: id.to_owned(),
        order_id: "o-1".to_owned(),
        customer_id: customer.map(str::to_owned),
        amount: customer.map(|_| euros(300)),
        status: Status::Refunding,
        reason: None,
        detail: None,
        reference: Some("ch_1".to_owned()),
        refund_reference: None,
        refund_error: Some("try later".to_owned()),
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
        version: 4,
    }
}

#[tokio::test]
async fn a_payment_is_shown_to_who_pays_and_to_staff() {
    let api = Api::start().await;
    let rows = [payment("p-1", Some("u-ada")), payment("p-2", None)];
    go_live(api.pool(), payments::NAME, Rows::Payments(&rows), 7).await;
    let get = async |user: &str, role, path: &str| {
        let bearer = api.bearer(user, role);
        api.get_with(path, &[("authorization", &bearer)]).await
    };
    let expected = json!({
        "id": "p-1", "order_id": "o-1", "customer_id": "u-ada",
        "amount": {"amount_minor": 300, "currency": "EUR"}, "status": "refunding",
        "reason": null, "detail": null, "reference": "ch_1", "refund_reference": null,
        "refund_error": "try later", "created_at": "1970-01-01T00:00:00Z",
        "updated_at": "1970-01-01T00:00:00Z", "version": 4,
    });
    for (user, role) in [("u-ada", Role::Customer), ("u-staff", Role::Staff)] {
        let answer = get(user, role, "payments/p-1").await;
        assert_eq!(answer.header("etag"), "\"4\"");
        assert_eq!(answer.ok(7), expected);
    }
    for role in [Role::Customer, Role::Courier] {
        let foreign = get("u-bob", role, "payments/p-1").await;
        foreign.problem(404, "not-found");
        let nobodys = get("u-bob", role, "payments/p-2").await;
        nobodys.problem(404, "not-found");
    }
    let nobodys = get("u-staff", Role::Staff, "payments/p-2").await;
    let body = nobodys.ok(7);
    assert_eq!(
        (&body["customer_id"], &body["amount"]),
        (&json!(null), &json!(null))
    );
    let unknown = get("u-staff", Role::Staff, "payments/p-9").await;
    unknown.problem(404, "not-found");
    api.get("payments/p-1")
        .await
        .problem(401, "unauthenticated");

    let bearer = api.bearer("u-ada", Role::Customer);
    let known = [("authorization", &*bearer), ("if-none-match", "\"4\"")];
    let answer = api.get_with("payments/p-1", &known).await;
    assert_eq!(answer.status, 304);
}
