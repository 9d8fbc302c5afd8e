use serde_json::json;

use super::*;

fn order(status: &str, more: &Value) -> Order {
    let mut order = json!({"id": "1", "status": status});
    for (member, value) in more.as_object().unwrap() {
        order[member] = value.clone();
    }
    serde_json::from_value(order).unwrap()
}

#[test]
fn an_order_counts_as_what_the_system_tells() {
    let times = json!({
        "placed_at": "2026-11-23T10:00:00.250Z", "ended_at": "2026-11-23T10:00:01.500Z",
        "reason": "out-of-stock", "total": {"amount_minor": 1, "currency": "EUR"},
    });
    let latency = Duration::from_millis(1_250);
    for (status, expected) in [
        ("completed", Outcome::Completed(latency)),
        ("returned", Outcome::Completed(latency)),
        ("cancelled", Outcome::Cancelled("out-of-stock".to_owned())),
        ("parked", Outcome::Parked),
        ("scheduled", Outcome::Unfinished),
    ] {
        let order = order(status, &times);
        assert!(order.is_told());
        assert_eq!(outcome(&order), expected, "{status}");
    }
}

#[test]
fn the_answer_to_placing_an_order_is_not_the_end_of_it() {
    let placed = order("pending", &json!({"position": 7, "version": 1}));
    assert!(!placed.is_told());
    assert_eq!(placed.position, Some(7));
    let ended = order("completed", &json!({"placed_at": null, "ended_at": null}));
    assert!(!ended.is_told(), "the times are still to be asked for");
}

#[test]
fn customers_come_at_the_rate_that_was_asked_for() {
    let times = [0, 1, 2, 5].map(|number| comes_after(number, 4.0).as_millis());
    assert_eq!(times, [0, 250, 500, 1_250]);
    assert_eq!(comes_after(1, 0.001), Duration::from_secs(1_000));
}
