//! Which events a user is told of, and what is said.

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use domain::{
    Delivery, Money, Order, OrderId, Payment, User, UserId, delivery, order, payment, user,
};
use eventstore::{ReactError, RecordedEvent};
use serde_json::{Value, json};

use crate::command::{read, stream_id};

/// What users have preferences for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Topic {
    Order,
    Payment,
    Delivery,
    Account,
}

/// Who is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    /// The customer of this order.
    Order(OrderId),
    User(UserId),
}

/// Something to tell.
pub(super) struct News {
    pub(super) topic: Topic,
    pub(super) whose: Whose,
    pub(super) order_id: Option<OrderId>,
    /// No personal data.
    pub(super) facts: Value,
}

impl News {
    fn of_order(topic: Topic, order_id: OrderId, facts: Value) -> Option<Self> {
        Some(Self {
            topic,
            whose: Whose::Order(order_id),
            order_id: Some(order_id),
            facts,
        })
    }
}

/// What the event is to a user, if anything.
pub(super) fn of(event: &RecordedEvent) -> Result<Option<News>, ReactError> {
    Ok(match event.aggregate_type.as_str() {
        Order::TYPE => order_news(stream_id(event)?, &read(event)?),
        Payment::TYPE => payment_news(&read(event)?),
        Delivery::TYPE => delivery_news(&read(event)?),
        User::TYPE => account_news(stream_id(event)?, &read(event)?),
        _ => None,
    })
}

/// An order that was placed is arranged or cancelled a moment later: that is told, not both.
fn order_news(order_id: OrderId, event: &order::Event) -> Option<News> {
    use order::Event;
    let facts = match event {
        Event::Completed | Event::Returned => json!({}),
        Event::Cancelled { reason } => json!({"reason": reason}),
        Event::Created { .. }
        | Event::Reserved
        | Event::Paid
        | Event::Scheduled { .. }
        | Event::CancellationRequested { .. } => return None,
    };
    News::of_order(Topic::Order, order_id, facts)
}

fn payment_news(event: &payment::Event) -> Option<News> {
    use payment::{Event, Failure};
    let (order_id, facts) = match event {
        Event::Completed {
            order_id, amount, ..
        }
        | Event::Refunded {
            order_id, amount, ..
        } => (*order_id, json!({"amount": amount})),
        Event::Failed {
            order_id,
            reason: Failure::Declined,
            ..
        } => (*order_id, json!({})),
        Event::Failed {
            reason: Failure::Cancelled,
            ..
        }
        | Event::Initiated { .. }
        | Event::RefundRequested { .. }
        | Event::RefundFailed { .. } => return None,
    };
    News::of_order(Topic::Payment, order_id, facts)
}

fn delivery_news(event: &delivery::Event) -> Option<News> {
    use delivery::Event;
    let facts = match event {
        Event::Scheduled(schedule) => json!({"slot": schedule.slot}),
        Event::PickedUp { .. } | Event::Completed { .. } => json!({}),
        Event::Failed { is_final, .. } => json!({"final": is_final}),
        Event::Assigned { .. } | Event::Cancelled { .. } => return None,
    };
    News::of_order(Topic::Delivery, event.order_id(), facts)
}

/// What whoever has stolen an account would keep quiet about. What was erased has nobody to be told.
fn account_news(user_id: UserId, event: &user::Event) -> Option<News> {
    use user::Event;
    match event {
        Event::Registered { .. }
        | Event::Updated { .. }
        | Event::PreferencesChanged { .. }
        | Event::PasswordChanged
        | Event::RoleAssigned { .. }
        | Event::Deactivated => Some(News {
            topic: Topic::Account,
            whose: Whose::User(user_id),
            order_id: None,
            facts: json!({}),
        }),
        Event::AddressAdded { .. } | Event::Erased => None,
    }
}

/// Subject and text of a message about an event. Plain words; the facts are those of [`of`]. Of what they do not tell
/// nothing is said: messages from before they were kept have none.
pub(super) fn words(about: &str, order_id: Option<OrderId>, facts: &Value) -> (String, String) {
    let order = order_id.map(|id| id.to_string()).unwrap_or_default();
    let (subject, text) = match about {
        "order.completed" => (
            "Your order is on its way to you".to_owned(),
            format!(
                "Your order {order} is confirmed: everything is in stock and paid, and its delivery is booked."
            ),
        ),
        "order.cancelled" => (
            "Your order was cancelled".to_owned(),
            format!("Your order {order} was cancelled{}.", cancelled(facts)),
        ),
        "order.returned" => (
            "Your order was returned".to_owned(),
            format!(
                "Your order {order} could not be handed over. It is back in the store, and your money is on its way back."
            ),
        ),
        "payment.completed" => (
            "Your payment was received".to_owned(),
            format!("We received {} for your order {order}.", amount(facts)),
        ),
        "payment.failed" => (
            "Your payment was declined".to_owned(),
            format!("The payment for your order {order} was declined. Nothing was charged."),
        ),
        "payment.refunded" => (
            "Your payment was refunded".to_owned(),
            format!("We gave {} for your order {order} back.", amount(facts)),
        ),
        "delivery.scheduled" => (
            "Your delivery is booked".to_owned(),
            format!(
                "The delivery of your order {order} is booked{}.",
                slot(facts)
            ),
        ),
        "delivery.picked-up" => (
            "Your delivery has left the store".to_owned(),
            format!("A courier is on the way to you with your order {order}."),
        ),
        "delivery.completed" => (
            "Your delivery has arrived".to_owned(),
            format!("Your order {order} was handed over. Enjoy!"),
        ),
        "delivery.failed" if facts["final"] == true => (
            "Your delivery failed".to_owned(),
            format!("We could not bring your order {order}. You get your money back."),
        ),
        "delivery.failed" if facts["final"] == false => (
            "Your delivery did not succeed yet".to_owned(),
            format!("We could not hand over your order {order}. We will try again."),
        ),
        "delivery.failed" => (
            "Your delivery did not succeed".to_owned(),
            format!("We could not hand over your order {order}."),
        ),
        "user.registered" => ("Welcome".to_owned(), "Your account is ready.".to_owned()),
        "user.updated" => changed("Your profile was changed"),
        "user.preferences-changed" => changed("Your notification preferences were changed"),
        "user.password-changed" => changed("Your password was changed"),
        "user.role-assigned" => changed("What your account may do was changed"),
        "user.deactivated" => changed("Your account was closed"),
        other => (format!("News: {other}"), format!("{other} {order}")),
    };
    (subject, text + "\n")
}

fn changed(what: &str) -> (String, String) {
    let text = format!("{what}. If that was not you, please tell us at once.");
    (what.to_owned(), text)
}

fn cancelled(facts: &Value) -> &'static str {
    match facts["reason"].as_str() {
        Some("out-of-stock") => ": the store does not have everything you ordered",
        Some("payment-declined") => ": the payment was declined",
        Some("payment-timeout") => ": the payment could not be made in time",
        Some("delivery-unavailable") => ": nobody could bring it",
        Some("customer") => ", as you asked us to",
        _ => "",
    }
}

fn amount(facts: &Value) -> String {
    let money: Option<Money> = serde_json::from_value(facts["amount"].clone()).ok();
    let Some(money) = money else {
        return "the amount".to_owned();
    };
    let digits = usize::from(money.currency.exponent().unwrap_or(2));
    let (unit, minor) = (
        10_i64.pow(u32::try_from(digits).unwrap_or(2)),
        money.amount_minor,
    );
    let (whole, part) = (minor / unit, (minor % unit).abs());
    let code = money.currency.code();
    if digits == 0 {
        return format!("{whole} {code}");
    }
    format!("{whole}.{part:0digits$} {code}")
}

fn slot(facts: &Value) -> String {
    let starts_at: Option<DateTime<Utc>> = serde_json::from_value(facts["slot"].clone()).ok();
    match starts_at {
        Some(at) => format!(": in the hour from {} UTC", at.format("%Y-%m-%d %H:%M")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use domain::order::CancelReason;

    use super::*;

    #[test]
    fn amounts_are_written_for_people() {
        let shown = |minor: i64, code: &str| {
            amount(&json!({"amount": {"amount_minor": minor, "currency": code}}))
        };
        assert_eq!(shown(1299, "EUR"), "12.99 EUR");
        assert_eq!(shown(5, "EUR"), "0.05 EUR");
        assert_eq!(shown(1299, "JPY"), "1299 JPY");
    }

    #[test]
    fn nothing_is_said_that_the_facts_do_not_tell() {
        for (about, facts, expected) in [
            ("order.cancelled", json!(null), "Your order  was cancelled."),
            (
                "order.cancelled",
                json!({"reason": CancelReason::Customer}),
                "Your order  was cancelled, as you asked us to.",
            ),
            (
                "order.cancelled",
                json!({"reason": CancelReason::DeliveryUnavailable}),
                "Your order  was cancelled: nobody could bring it.",
            ),
            (
                "delivery.failed",
                json!(null),
                "We could not hand over your order .",
            ),
            (
                "delivery.failed",
                json!({"final": false}),
                "We could not hand over your order . We will try again.",
            ),
            (
                "delivery.failed",
                json!({"final": true}),
                "We could not bring your order . You get your money back.",
            ),
            (
                "delivery.scheduled",
                json!(null),
                "The delivery of your order  is booked.",
            ),
            (
                "delivery.scheduled",
                json!({"slot": "2026-11-23T06:00:00Z"}),
                "The delivery of your order  is booked: in the hour from 2026-11-23 06:00 UTC.",
            ),
            (
                "payment.completed",
                json!(null),
                "We received the amount for your order .",
            ),
        ] {
            let (_, text) = words(about, None, &facts);
            assert_eq!(text.trim_end(), expected, "{about} {facts}");
        }
    }

    #[test]
    fn every_message_has_words_of_its_own() {
        for about in [
            "order.completed",
            "order.cancelled",
            "order.returned",
            "payment.completed",
            "payment.failed",
            "payment.refunded",
            "delivery.scheduled",
            "delivery.picked-up",
            "delivery.completed",
            "delivery.failed",
            "user.registered",
            "user.updated",
            "user.preferences-changed",
            "user.password-changed",
            "user.role-assigned",
            "user.deactivated",
        ] {
            let (subject, text) = words(about, None, &json!({}));
            assert!(!subject.starts_with("News"), "{about}");
            assert!(
                text.ends_with(".\n") || text.ends_with("!\n"),
                "{about}: {text}"
            );
        }
    }
}
