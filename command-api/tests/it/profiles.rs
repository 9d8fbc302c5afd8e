//! `/users/{id}/update-profile` with an e-mail address, `/addresses` and `/notification-preferences`.

use axum::http::Method;
use command_api::API_PREFIX;
use serde_json::{Value, json};

use crate::app::{Answer, PASSWORD, Person, TestApp, call, registration};

pub fn home() -> Value {
    json!({
        "label": "Home", "recipient": "Ada King", "lines": ["12 St James's Square", "2nd floor"],
        "postal_code": "SW1Y 4JH", "city": "London", "country": "gb", "note": "Ring twice.",
    })
}

/// Told of everything by mail, and of deliveries by web hook or not.
pub fn preferences(webhook: bool) -> Value {
    let mail = json!({"email": true, "webhook": false, "log": false});
    json!({
        "order": mail, "payment": mail, "account": mail,
        "delivery": {"email": true, "webhook": webhook, "log": false},
    })
}

async fn change_email(app: &TestApp, person: &Person, email: &str) -> Answer {
    app.post(&format!("/users/{}/update-profile", person.id))
        .by(person)
        .json(&json!({"email": email}))
        .await
}

#[tokio::test]
async fn another_address_logs_in_at_once_and_the_one_before_is_free() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let answer = change_email(&app, &ada, "Countess@example.org").await.ok();
    assert_eq!(answer.body["version"], 2);
    assert_eq!(
        app.event_types().await[2..],
        ["user.updated", "email.released", "email.claimed"]
    );
    let updated = &app.events().await[2];
    assert_eq!(updated.event_version, "1.1");
    assert!(!updated.payload.contains("ountess"), "{}", updated.payload);

    app.login("countess@example.org", PASSWORD).await.ok();
    app.login("ada@example.org", PASSWORD)
        .await
        .refused(401, "invalid-credentials");
    app.customer("ada@example.org").await;
    app.post("/users/register")
        .json(&registration("countess@EXAMPLE.org"))
        .await
        .refused(409, "email-taken");
    // And not back, since it is somebody else's by now.
    change_email(&app, &ada, "ada@example.org")
        .await
        .refused(409, "email-taken");
    app.login("countess@example.org", PASSWORD).await.ok();
}

#[tokio::test]
async fn ones_own_address_is_written_otherwise_without_moving_a_claim() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let answer = change_email(&app, &ada, "Ada@Example.org").await.ok();
    assert_eq!(answer.body["version"], 2);
    assert_eq!(app.event_types().await[2..], ["user.updated"]);
    // The same again changes nothing.
    let answer = change_email(&app, &ada, "Ada@Example.org").await.ok();
    assert_eq!(answer.body["version"], 2);
    app.login("ada@example.org", PASSWORD).await.ok();
    let wrong = change_email(&app, &ada, "ada").await;
    assert_eq!(wrong.refused(422, "invalid-body").pointers(), ["/email"]);
    let null = app
        .post(&format!("/users/{}/update-profile", ada.id))
        .by(&ada)
        .json(&json!({"email": null}))
        .await;
    assert_eq!(null.refused(422, "invalid-body").pointers(), ["/email"]);
    // All of it or nothing.
    app.customer("eve@example.org").await;
    let both = app
        .post(&format!("/users/{}/update-profile", ada.id))
        .by(&ada)
        .json(&json!({"name": "Eve", "email": "eve@example.org"}))
        .await;
    both.refused(409, "email-taken");
    assert_eq!(app.count("events").await, 5);
}

#[tokio::test]
async fn of_those_who_want_one_address_at_once_one_gets_it() {
    let app = TestApp::start().await;
    let beside = app.beside().await;
    let ada = app.customer("ada@example.org").await;
    let eve = app.customer("eve@example.org").await;
    for round in 0..8 {
        let wanted = format!("round-{round}@example.org");
        let there = async {
            let path = format!("{API_PREFIX}/users/{}/update-profile", eve.id);
            let call = call(&beside, Method::POST, &path).by(&eve);
            call.json(&json!({"email": wanted})).await
        };
        let (one, other) = tokio::join!(change_email(&app, &ada, &wanted), there);
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{} {}", one.body, other.body);
        app.login(&wanted, PASSWORD).await.ok();
    }
    // Each wants the other's: neither is free, whatever comes first.
    let (one, other) = (
        app.login("round-7@example.org", PASSWORD).await.ok(),
        app.customer("third@example.org").await,
    );
    let holder = app.verifier.verify(&one.text("access_token")).unwrap();
    let holder = app.person_of(&holder.user_id, http_server::Role::Customer);
    let (one, other) = tokio::join!(
        change_email(&app, &holder, "third@example.org"),
        change_email(&app, &other, "round-7@example.org")
    );
    one.refused(409, "email-taken");
    other.refused(409, "email-taken");
}

/// Of changes by one person at once each is decided on the address that is theirs by then: every claim but the last is
/// given back.
#[tokio::test]
async fn changes_of_one_address_at_once_leave_one_claim() {
    let app = TestApp::start().await;
    let beside = app.beside().await;
    let ada = app.customer("ada@example.org").await;
    let path = format!("{API_PREFIX}/users/{}/update-profile", ada.id);
    let change = |number: usize| {
        let router = if number.is_multiple_of(2) {
            &app.router
        } else {
            &beside
        };
        let key = format!("key-{number}");
        let body = json!({"email": format!("ada-{number}@example.org")});
        let call = call(router, Method::POST, &path).by(&ada).key(&key);
        async move { call.json(&body).await }
    };
    let answers = futures::future::join_all((0..6).map(change)).await;
    let changed = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(changed >= 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.refused(409, "user-changed");
    }
    let types = app.event_types().await;
    let count = |wanted: &str| types.iter().filter(|it| *it == wanted).count();
    assert_eq!(count("user.updated"), changed);
    assert_eq!(count("email.claimed"), changed + 1);
    assert_eq!(count("email.released"), changed);
    // Repeated, each has the outcome that it had: nothing more happens.
    futures::future::join_all((0..6).map(change)).await;
    assert_eq!(app.event_types().await, types);
}

#[tokio::test]
async fn a_repeated_change_of_the_address_has_the_first_outcome() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let path = format!("/users/{}/update-profile", ada.id);
    let body = json!({"email": "countess@example.org", "name": "Ada King"});
    let first = app.post(&path).by(&ada).key("k").json(&body).await.ok();
    let again = app.post(&path).by(&ada).key("k").json(&body).await.ok();
    assert!(again.is_replayed());
    assert_eq!(again.body, first.body);
    let other = json!({"email": "lovelace@example.org"});
    app.post(&path)
        .by(&ada)
        .key("k")
        .json(&other)
        .await
        .refused(422, "idempotency-key-reused");
}

#[tokio::test]
async fn an_address_is_added_once_and_sealed() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let path = format!("/users/{}/addresses", ada.id);
    let first = app.post(&path).by(&ada).json(&home()).await.ok();
    assert_eq!(first.body["version"], 2);
    let mut same = home();
    same["country"] = json!("GB");
    same["city"] = json!(" London ");
    let again = app.post(&path).by(&ada).json(&same).await.ok();
    assert_eq!(again.body["version"], 2, "nothing happened");
    let bare = json!({"lines": ["1 Queen's Road"], "city": "Hong Kong", "country": "HK"});
    app.post(&path).by(&ada).json(&bare).await.ok();

    let events = app.events().await;
    assert_eq!(events[2].event_type, "user.address-added");
    for secret in ["James", "London", "\"GB\"", "SW1Y", "King"] {
        assert!(!events[2].payload.contains(secret), "{}", events[2].payload);
    }
    let event = events[2].decode::<domain::user::Event>().unwrap();
    let domain::user::Event::AddressAdded { address } = event else {
        panic!("{event:?}");
    };
    let key = app.store.sealer().key(&ada.id).await.unwrap().unwrap();
    let opened = key.open(address.ciphertext()).unwrap();
    let opened: Value = serde_json::from_slice(&opened).unwrap();
    let mut expected = home();
    expected["country"] = json!("GB");
    assert_eq!(opened, expected);
}

#[tokio::test]
async fn a_wrong_address_is_refused_member_by_member() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let path = format!("/users/{}/addresses", ada.id);
    let wrong = json!({
        "label": "x".repeat(51), "recipient": " ", "lines": [], "postal_code": "_",
        "city": "", "country": "Germany", "note": "\u{7}",
    });
    let answer = app.post(&path).by(&ada).json(&wrong).await;
    assert_eq!(
        answer.refused(422, "invalid-body").pointers(),
        [
            "/city",
            "/country",
            "/label",
            "/lines",
            "/note",
            "/postal_code",
            "/recipient"
        ]
    );
    let mut body = home();
    body["lines"] = json!(["Street 1", " ", "Door 2", "x".repeat(101)]);
    let answer = app.post(&path).by(&ada).json(&body).await;
    let answer = answer.refused(422, "invalid-body");
    assert_eq!(answer.pointers(), ["/lines/1", "/lines/3"]);
    body["lines"] = json!(["1", "2", "3", "4", "5"]);
    let answer = app.post(&path).by(&ada).json(&body).await;
    assert_eq!(answer.refused(422, "invalid-body").pointers(), ["/lines"]);
    for (member, value) in [
        ("lines", json!("Street 1")),
        ("zip", json!("1")),
        ("city", json!(null)),
    ] {
        let mut body = home();
        body[member] = value;
        let answer = app.post(&path).by(&ada).json(&body).await;
        let answer = answer.refused(422, "invalid-body");
        assert_eq!(answer.pointers(), [format!("/{member}")]);
    }
    let mut missing = home();
    missing.as_object_mut().unwrap().remove("city");
    let answer = app.post(&path).by(&ada).json(&missing).await;
    assert_eq!(answer.refused(422, "invalid-body").pointers(), ["/city"]);
    assert_eq!(app.count("events").await, 2);
}

#[tokio::test]
async fn a_user_keeps_so_many_addresses() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let path = format!("/users/{}/addresses", ada.id);
    let numbered = |number: usize| {
        let mut address = home();
        address["label"] = json!(format!("number {number}"));
        address
    };
    for number in 0..domain::user::ADDRESSES_MAX {
        app.post(&path).by(&ada).json(&numbered(number)).await.ok();
    }
    app.post(&path)
        .by(&ada)
        .json(&numbered(domain::user::ADDRESSES_MAX))
        .await
        .refused(409, "too-many-addresses");
    app.post(&path).by(&ada).json(&numbered(0)).await.ok();
}

#[tokio::test]
async fn preferences_are_replaced_as_a_whole() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let path = format!("/users/{}/notification-preferences", ada.id);
    let put = async |key: &str, body: &Value| app.put(&path).by(&ada).key(key).json(body).await;
    let first = put("k", &preferences(true)).await.ok();
    assert_eq!(
        (first.status.as_u16(), &first.body["version"]),
        (200, &json!(2))
    );
    let again = put("k", &preferences(true)).await.ok();
    assert!(again.is_replayed());
    put("k", &preferences(false))
        .await
        .refused(422, "idempotency-key-reused");
    let unchanged = put("l", &preferences(true)).await.ok();
    assert_eq!(unchanged.body["version"], 2);
    assert_eq!(put("m", &preferences(false)).await.ok().body["version"], 3);
    assert_eq!(
        app.event_types().await[2..],
        ["user.preferences-changed", "user.preferences-changed"]
    );

    for (member, value) in [("order", json!(true)), ("sms", json!({}))] {
        let mut body = preferences(true);
        body[member] = value;
        let answer = put("n", &body).await.refused(422, "invalid-body");
        assert_eq!(answer.pointers(), [format!("/{member}")]);
    }
    let mut body = preferences(true);
    body["order"] = json!({"email": "yes", "webhook": false, "log": false});
    let answer = put("n", &body).await.refused(422, "invalid-body");
    assert_eq!(answer.pointers(), ["/order/email"]);
    body["order"] = json!({"email": true, "webhook": false});
    let answer = put("n", &body).await.refused(422, "invalid-body");
    assert_eq!(answer.pointers(), ["/order/log"]);
}
