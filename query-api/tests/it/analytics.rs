mod sales;
mod seed;

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http_server::Role;
use read_models::analytics::NAME;
use read_models::analytics::customers::{self, User};
use read_models::analytics::low_stock::{self, Level};
use read_models::generations::schema_name;
use read_models::users::{Channels, NotificationPreferences, Role as UserRole, Status};
use serde_json::{Value, json};

use self::seed::{empty, with_orders};
use crate::seed::advance;
use crate::{Answer, Api};

/// Where analytics stands.
const POSITION: i64 = 70;

/// Every route, and the parameters that it takes.
const ROUTES: [(&str, &[&str]); 6] = [
    ("sales", &["granularity", "from", "to", "store_id"]),
    ("top-products", &["limit", "from", "to", "store_id"]),
    ("order-funnel", &["from", "to", "store_id"]),
    ("fulfilment-times", &["from", "to", "store_id"]),
    ("low-stock", &["limit", "store_id"]),
    ("customers", &[]),
];

/// A query of November 2026.
const NOVEMBER: &str = "from=2026-11-01&to=2026-12-01";

async fn ask(api: &Api, path: &str) -> Answer {
    let staff = api.bearer("u-staff", Role::Staff);
    let headers = [("authorization", staff.as_str())];
    api.get_with(&format!("analytics/{path}"), &headers).await
}

fn eur(amount_minor: i64) -> Value {
    json!({"amount_minor": amount_minor, "currency": "EUR"})
}

#[tokio::test]
async fn figures_are_for_staff() {
    let (api, _) = empty().await;
    for (route, _) in ROUTES {
        let path = format!("analytics/{route}");
        api.get(&path).await.problem(401, "unauthenticated");
        for role in [Role::Customer, Role::Courier] {
            let bearer = api.bearer("u-ada", role);
            let answer = api.get_with(&path, &[("authorization", &bearer)]).await;
            answer.problem(403, "forbidden");
        }
        for role in [Role::Staff, Role::Admin] {
            let bearer = api.bearer("u-ada", role);
            let answer = api.get_with(&path, &[("authorization", &bearer)]).await;
            assert_eq!(answer.ok(POSITION)["position"], POSITION, "{route}");
        }
    }
}

#[tokio::test]
async fn figures_wait_for_a_position() {
    let (api, generation) = empty().await;
    let staff = api.bearer("u-staff", Role::Staff);
    let beyond = (POSITION + 1).to_string();
    for (route, _) in ROUTES {
        let path = format!("analytics/{route}");
        let headers = [
            ("authorization", staff.as_str()),
            ("nakku-min-position", &beyond),
            ("prefer", "wait=0"),
        ];
        let answer = api.get_with(&path, &headers).await;
        answer.problem(503, "projection-behind");
    }
    let headers = [
        ("authorization", staff.as_str()),
        ("nakku-min-position", &beyond),
        ("prefer", "wait=10"),
    ];
    let waiting = api.get_with("analytics/customers", &headers);
    let arriving = advance(api.pool(), NAME, generation, POSITION + 1);
    let (answer, ()) = tokio::join!(waiting, arriving);
    assert_eq!(answer.ok(POSITION + 1)["position"], POSITION + 1);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_said() {
    let (api, _) = empty().await;
    let wrong = [
        ("from", "yesterday", "from: \"yesterday\" is neither"),
        ("to", "2026-02-30", "to: "),
        ("from", "0000-01-01", "the year must be"),
        ("to", "9999-12-31", "the year must be"),
        ("from", "%2B262142-01-01T00:00:00Z", "neither a time"),
        ("from", "2999-01-01", "from must be before to"),
        ("from", "1970-01-01", "is longer than"),
        ("limit", "0", "between 1 and 200"),
        ("limit", "201", "between 1 and 200"),
        ("limit", "-9223372036854775808", "between 1 and 200"),
        ("limit", "99999999999999999999", "limit: "),
        ("limit", "many", "limit: "),
        ("granularity", "minute", "granularity: "),
    ];
    for (route, parameters) in ROUTES {
        for (name, value, said) in wrong {
            if !parameters.contains(&name) {
                continue;
            }
            let answer = ask(&api, &format!("{route}?{name}={value}")).await;
            answer.problem(400, "bad-request");
            let detail = answer.body["detail"].as_str().unwrap();
            assert!(detail.contains(said), "{route}: {detail}");
        }
    }
    let hours = ask(&api, "sales?from=2026-01-01&to=2026-03-01").await;
    hours.problem(400, "bad-request");
    let days = ask(&api, "sales?granularity=day&from=2026-01-01&to=2026-03-01").await;
    assert_eq!(days.ok(POSITION)["items"], json!([]));
}

#[tokio::test]
async fn a_filter_without_a_value_is_none_and_an_unknown_store_has_nothing() {
    let api = with_orders().await;
    for (route, parameters) in ROUTES {
        if !parameters.contains(&"store_id") {
            continue;
        }
        let with_period = if parameters.contains(&"from") {
            NOVEMBER
        } else {
            "limit=1"
        };
        let all = ask(&api, &format!("{route}?{with_period}")).await;
        let empty = ask(&api, &format!("{route}?{with_period}&store_id=")).await;
        assert_eq!(empty.ok(POSITION), all.ok(POSITION), "{route}");
        for store in ["nowhere", "%27%3B--", "%F0%9F%8D%8E"] {
            let answer = ask(&api, &format!("{route}?{with_period}&store_id={store}")).await;
            let body = answer.ok(POSITION);
            assert!(body["items"].as_array().is_none_or(Vec::is_empty), "{body}");
            assert!(
                body["placed"].as_i64().is_none_or(|placed| placed == 0),
                "{body}"
            );
        }
    }
}

#[tokio::test]
async fn how_far_orders_have_come() {
    let api = with_orders().await;
    let funnel = ask(&api, &format!("order-funnel?{NOVEMBER}")).await;
    let expected = json!({
        "position": POSITION, "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z",
        "placed": 4, "reserved": 2, "paid": 2, "scheduled": 2, "completed": 2, "cancelled": 1,
        "cancelled_by_reason": {
            "out-of-stock": 0, "payment-declined": 1, "payment-timeout": 0, "delivery-unavailable": 0, "customer": 0,
        },
        "returned": 0, "parked": 1,
    });
    assert_eq!(funnel.ok(POSITION), expected);
    let later = "order-funnel?from=2026-11-20T11:00:00.5Z&to=2026-12-01";
    let later = ask(&api, later).await.ok(POSITION);
    assert_eq!((&later["placed"], &later["parked"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn how_long_orders_take() {
    let api = with_orders().await;
    let times = ask(&api, &format!("fulfilment-times?{NOVEMBER}")).await;
    let always = |ms: i64| json!({"count": 2, "p50_ms": ms, "p90_ms": ms, "p95_ms": ms, "p99_ms": ms, "max_ms": ms});
    let completed = json!({
        "count": 2, "p50_ms": 4_000, "p90_ms": 8_000, "p95_ms": 8_000, "p99_ms": 8_000, "max_ms": 8_000,
    });
    let expected = json!({
        "position": POSITION, "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z",
        "reserved": always(1_000), "paid": always(2_000), "scheduled": always(3_000), "completed": completed,
    });
    assert_eq!(times.ok(POSITION), expected);
    let none = ask(&api, "fulfilment-times?from=2020-01-01&to=2020-02-01").await;
    let nothing = json!({
        "count": 0, "p50_ms": null, "p90_ms": null, "p95_ms": null, "p99_ms": null, "max_ms": null,
    });
    assert_eq!(none.ok(POSITION)["completed"], nothing);
}

#[tokio::test]
async fn what_has_to_be_refilled() {
    let (api, generation) = empty().await;
    let level = |store_id: &str, sku: &str, available| Level {
        store_id: store_id.to_owned(),
        sku: sku.to_owned(),
        available,
        threshold: 10,
        version: 3,
    };
    let levels = [
        level("store-1", "apple", 10),
        level("store-1", "pear", 0),
        level("store-2", "apple", 4),
        level("store-1", "refilled", 11),
    ];
    low_stock::upsert(api.pool(), generation, &levels)
        .await
        .unwrap();
    let low = |store_id: &str, sku: &str, available: i64| json!({"store_id": store_id, "sku": sku, "available": available, "threshold": 10});
    let all = ask(&api, "low-stock").await.ok(POSITION);
    let items = [
        low("store-1", "pear", 0),
        low("store-2", "apple", 4),
        low("store-1", "apple", 10),
    ];
    assert_eq!(
        all,
        json!({"position": POSITION, "total": 3, "items": items})
    );
    let one = ask(&api, "low-stock?store_id=store-1&limit=1")
        .await
        .ok(POSITION);
    assert_eq!(
        one,
        json!({"position": POSITION, "total": 2, "items": [items[0]]})
    );
}

#[tokio::test]
async fn how_many_customers_there_are() {
    let (api, generation) = empty().await;
    let by_mail = Channels {
        email: true,
        webhook: false,
        log: false,
    };
    let default = NotificationPreferences {
        order: by_mail,
        payment: by_mail,
        delivery: by_mail,
        account: by_mail,
    };
    let by_webhook = Channels {
        webhook: true,
        ..by_mail
    };
    let user = |id: &str| User {
        id: id.to_owned(),
        role: UserRole::Customer,
        status: Status::Active,
        preferences: default,
        has_chosen: false,
        profile_updates: 0,
        version: 1,
    };
    let chosen = User {
        preferences: NotificationPreferences {
            order: by_webhook,
            ..default
        },
        has_chosen: true,
        profile_updates: 3,
        ..user("u-2")
    };
    let deactivated = User {
        status: Status::Deactivated,
        profile_updates: 1,
        ..user("u-3")
    };
    let erased = User {
        status: Status::Erased,
        ..user("u-4")
    };
    let staff = User {
        role: UserRole::Staff,
        profile_updates: 5,
        ..user("u-5")
    };
    let users = [user("u-1"), chosen, deactivated, erased, staff];
    customers::upsert(api.pool(), generation, &users)
        .await
        .unwrap();
    let told = |webhook: i64| json!({"email": 2, "webhook": webhook, "log": 0});
    let expected = json!({
        "position": POSITION, "registered": 4, "active": 2, "deactivated": 1, "erased": 1, "profile_updates": 4,
        "with_chosen_preferences": 1,
        "notification_preferences": {
            "order": told(1), "payment": told(0), "delivery": told(0), "account": told(0),
        },
    });
    assert_eq!(ask(&api, "customers").await.ok(POSITION), expected);
}

/// Figures that cannot be had break off in time, and all others keep their connections.
#[tokio::test]
async fn sums_that_take_too_long_are_broken_off_and_others_have_connections_meanwhile() {
    const AT_ONCE: usize = 4;
    let (api, generation) = empty().await;
    let mut holder = api.pool().begin().await.unwrap();
    let table = format!("{}.customers", schema_name(NAME, generation));
    sqlx::query(&format!("lock table {table}"))
        .execute(&mut *holder)
        .await
        .unwrap();
    let mut asked: FuturesUnordered<_> = (0..3 * AT_ONCE).map(|_| ask(&api, "customers")).collect();
    let mut refused = 0;
    let others = async {
        for _ in 0..AT_ONCE {
            // Time for all of them to begin, if they could.
            tokio::time::sleep(Duration::from_millis(50)).await;
            api.pool().acquire().await.unwrap();
        }
    };
    tokio::join!(others, async {
        while refused < AT_ONCE {
            let answer = asked.next().await.unwrap();
            answer.problem(503, "overloaded");
            refused += 1;
        }
    });
    holder.rollback().await.unwrap();
    while let Some(answer) = asked.next().await {
        answer.ok(POSITION);
    }
}
