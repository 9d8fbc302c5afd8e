//! Messages that were given up: any number of them, and what is said when one is tried again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eventstore::dead_letters;
use futures::{StreamExt, stream};
use reactors::channel::{Channel, Message, SendError};
use reactors::payment_provider::BuiltInProvider;
use testing::until;

use crate::notifications::{Told, begun, notifications, notify, only, sent};
use crate::shop::{LONG, SHORT, Shop};

/// More than streams of any other reactor may be parked.
const MANY: usize = 1_050;

/// Refuses the first attempt of each message, and keeps all.
#[derive(Default)]
struct SecondAttempt {
    messages: Mutex<HashMap<String, Vec<Message>>>,
}

impl SecondAttempt {
    /// All attempts at the message about an event of this type.
    fn of(&self, about: &str) -> Vec<Message> {
        let messages = self.messages.lock().unwrap();
        let of = messages.values().flatten();
        of.filter(|message| message.event_type == about)
            .cloned()
            .collect()
    }
}

#[async_trait]
impl Channel for SecondAttempt {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let mut messages = self.messages.lock().unwrap();
        let attempts = messages.entry(message.id.clone()).or_default();
        attempts.push(message.clone());
        if attempts.len() == 1 {
            return Err(SendError::Refused("not at first".to_owned()));
        }
        Ok(())
    }
}

#[tokio::test]
async fn any_number_of_given_up_messages_stops_nothing() {
    let mut shop = Shop::open().await;
    let refused = Err(SendError::Refused("nobody there".to_owned()));
    let told = Told::answering(vec![refused]);
    notify(&mut shop, &only(told.clone()));
    begun(&shop).await;
    stream::iter(0..MANY)
        .for_each_concurrent(64, async |number| {
            shop.customer(&format!("customer-{number}")).await;
        })
        .await;
    let pool = shop.store.pool().clone();
    let all = async || {
        let count = dead_letters::count(&pool, None).await.unwrap();
        count == i64::try_from(MANY).unwrap()
    };
    until("all are dead letters", LONG, all).await;
    assert_eq!(told.asked(), MANY);
    // And each of them can be retried still; the channel refuses it again.
    let first = dead_letters::list(&pool, None, None, 1)
        .await
        .unwrap()
        .remove(0);
    dead_letters::request_retry(&pool, first.id, "an operator")
        .await
        .unwrap();
    let again = async || told.asked() == MANY + 1 && all().await;
    until("one was tried again", LONG, again).await;
    // A reactor that had stopped fails here.
    shop.close().await;
}

#[tokio::test]
async fn a_message_that_is_retried_says_what_it_said_at_first() {
    let mut shop = Shop::open().await;
    let channel = Arc::new(SecondAttempt::default());
    notify(&mut shop, &only(channel.clone()));
    begun(&shop).await;
    shop.everybody(BuiltInProvider, SHORT);
    let ada = shop.customer("ada").await;
    let ale = (shop.product("ALE-1", 0).await, "ALE-1");
    let order = shop.place(ada, ale, 2, "tok_ok").await;
    assert_eq!(shop.end(order).await, "out-of-stock");

    let pool = shop.store.pool().clone();
    let letters = async || dead_letters::list(&pool, None, None, 10).await.unwrap();
    until("two dead letters", LONG, async || {
        letters().await.len() == 2
    })
    .await;
    for letter in letters().await {
        dead_letters::request_retry(&pool, letter.id, "an operator")
            .await
            .unwrap();
    }
    let both = async || sent(&notifications(&shop).await).len() == 2;
    until("both are sent after all", LONG, both).await;
    let attempts = channel.of("order.cancelled");
    let [first, second] = attempts.as_slice() else {
        panic!("{attempts:?}");
    };
    let said = "the store does not have everything you ordered";
    assert!(first.body.contains(said), "{}", first.body);
    assert_eq!(first.body, second.body);
    assert_eq!(first.data, second.data);
    assert_eq!(first.occurred_at, second.occurred_at);
    shop.close().await;
}
