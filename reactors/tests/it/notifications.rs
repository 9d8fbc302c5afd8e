//! Who is told what: by a real mail server, a web hook's receiver, and the log of the attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cqrs_es::Aggregate;
use domain::notification::{self, Event};
use domain::{Channels, Notification, NotificationPreferences};
use eventstore::{Reactions, RecordedEvent, dead_letters};
use reactors::channel::{
    Channel, EmailChannel, EmailSettings, LogChannel, Message, SendError, WebhookChannel,
    WebhookSettings,
};
use reactors::notification::{Notifications, Sending, UNSENT, Unsent, Ways};
use reactors::payment_provider::BuiltInProvider;
use testing::{MailServer, Protection, WebhookReceiver, until};
use tokio_util::sync::CancellationToken;

use crate::shop::{LONG, PATIENT, Shop};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Sends nothing, and says what it was told to say; counts what it was asked.
#[derive(Default)]
pub struct Told {
    asked: AtomicUsize,
    answers: Vec<Result<(), SendError>>,
}

impl Told {
    pub fn answering(answers: Vec<Result<(), SendError>>) -> Arc<Self> {
        Arc::new(Self {
            asked: AtomicUsize::new(0),
            answers,
        })
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Channel for Told {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn send(&self, _: &Message) -> Result<(), SendError> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let last = self.answers.len() - 1;
        self.answers[asked.min(last)].clone()
    }
}

pub fn only(channel: Arc<dyn Channel>) -> Ways {
    Ways {
        email: Arc::clone(&channel),
        webhook: Some(Arc::clone(&channel)),
        log: channel,
    }
}

pub fn notify(shop: &mut Shop, ways: &Ways) {
    shop.react(Notifications::new(shop.store.clone(), ways.channels()));
    shop.react(Unsent::new(shop.store.clone()));
    for channel in notification::Channel::ALL {
        let sending = Sending::new(shop.store.clone(), ways.clone(), channel);
        let at_once = sending.at_once();
        shop.time_at_once(sending.waiting(Duration::from_millis(20)), at_once);
    }
}

/// Waits until the reactor has begun: what was before that is never told.
pub async fn begun(shop: &Shop) {
    let begun = async || {
        let pool = shop.store.pool();
        for name in ["notification", UNSENT] {
            let progress = eventstore::reactor_progress(pool, name).await.unwrap();
            if progress.is_none() {
                return false;
            }
        }
        true
    };
    until("the reactor has begun", LONG, begun).await;
}

pub async fn notifications(shop: &Shop) -> Vec<(RecordedEvent, Event)> {
    let log = shop.log().await.into_iter();
    let of = log.filter(|event| event.aggregate_type == Notification::TYPE);
    of.map(|event| {
        let decoded = event.decode().unwrap();
        (event, decoded)
    })
    .collect()
}

pub fn sent(events: &[(RecordedEvent, Event)]) -> Vec<(String, &'static str)> {
    let sent = events.iter().filter_map(|(_, event)| match event {
        Event::Sent { subject, .. } => Some((subject.about.clone(), subject.channel.as_str())),
        _ => None,
    });
    let mut sent: Vec<_> = sent.collect();
    sent.sort();
    sent
}

#[tokio::test]
async fn users_are_told_by_their_preferences_by_mail_and_by_web_hook() {
    let directory = tempfile::tempdir().unwrap();
    let mails = MailServer::start(directory.path(), Protection::None);
    let receiver = WebhookReceiver::start(directory.path(), SECRET);
    let url = format!("smtp://127.0.0.1:{}", mails.port());
    let email = EmailChannel::new(&EmailSettings::new(url, "nakku <orders@nakku.test>")).unwrap();
    let settings = WebhookSettings::new(receiver.url("/status/204"), SECRET.parse().unwrap());
    let ways = Ways {
        email: Arc::new(email),
        webhook: Some(Arc::new(WebhookChannel::new(&settings).unwrap())),
        log: Arc::new(LogChannel),
    };
    let mut shop = Shop::open().await;
    let early = shop.customer("early").await;
    notify(&mut shop, &ways);
    begun(&shop).await;
    shop.everybody(BuiltInProvider, PATIENT);

    let ada = shop.customer("ada").await;
    let preferences = NotificationPreferences {
        order: Channels {
            email: true,
            webhook: true,
            log: false,
        },
        payment: Channels::NONE,
        delivery: Channels {
            log: true,
            ..Channels::NONE
        },
        account: Channels::EMAIL,
    };
    shop.prefer(ada, preferences).await;
    let ale = (shop.product("ALE-1", 10).await, "ALE-1");
    let order = shop.place(ada, ale, 2, "tok_ok").await;
    assert_eq!(shop.end(order).await, "completed");
    let expected = [
        ("delivery.scheduled".to_owned(), "log"),
        ("order.completed".to_owned(), "email"),
        ("order.completed".to_owned(), "webhook"),
        ("user.preferences-changed".to_owned(), "email"),
        ("user.registered".to_owned(), "email"),
    ];
    let all = async || sent(&notifications(&shop).await).len() >= expected.len();
    until("everything is sent", LONG, all).await;
    let events = notifications(&shop).await;
    assert_eq!(sent(&events), expected);
    let early = early.to_string();
    let of_early = |(event, _): &&(RecordedEvent, Event)| event.payload.contains(&early);
    assert_eq!(
        events.iter().find(of_early),
        None,
        "told of what was before"
    );

    let mails = mails.mails();
    let subjects: Vec<_> = mails
        .iter()
        .flat_map(|mail| mail.header("subject"))
        .collect();
    assert_eq!(mails.len(), 3, "{subjects:?}");
    assert!(
        subjects.contains(&"Your order is on its way to you"),
        "{subjects:?}"
    );
    assert!(
        mails
            .iter()
            .all(|mail| mail.envelope_to == ["ada@example.org"])
    );
    let calls = receiver.calls();
    assert_eq!(calls.len(), 1);
    shop.close().await;
}

#[tokio::test]
async fn what_is_known_not_to_be_sent_is_tried_again_and_what_may_be_is_not() {
    let not_sent = || Err(SendError::NotSent("busy".to_owned()));
    let unknown = Err(SendError::Unknown("cut off".to_owned()));
    for (answers, asked, is_sent) in [
        (vec![not_sent(), not_sent(), Ok(())], 3, true),
        (vec![unknown], 1, false),
        (
            vec![Err(SendError::Refused("nobody there".to_owned()))],
            1,
            false,
        ),
        (vec![not_sent()], 6, false),
    ] {
        let mut shop = Shop::open().await;
        let told = Told::answering(answers);
        notify(&mut shop, &only(told.clone()));
        begun(&shop).await;
        shop.customer("ada").await;
        let over = async || {
            let events = notifications(&shop).await;
            events.iter().any(|(_, event)| {
                matches!(
                    event,
                    Event::Sent { .. } | Event::Failed { is_final: true, .. }
                )
            })
        };
        until("it is over", LONG, over).await;
        let events = notifications(&shop).await;
        assert_eq!(sent(&events).len(), usize::from(is_sent));
        assert_eq!(told.asked(), asked);
        let attempts = events
            .iter()
            .filter(|(_, event)| matches!(event, Event::Attempted { .. }));
        assert_eq!(attempts.count(), asked, "every attempt is in the log");
        shop.close().await;
    }
}

#[tokio::test]
async fn what_could_not_be_sent_is_a_dead_letter_that_can_be_retried() {
    let mut shop = Shop::open().await;
    let refused = Err(SendError::Refused("nobody there".to_owned()));
    let told = Told::answering(vec![refused, Ok(())]);
    notify(&mut shop, &only(told.clone()));
    begun(&shop).await;
    shop.customer("ada").await;
    let pool = shop.store.pool().clone();
    let letters = async || dead_letters::list(&pool, None, None, 10).await.unwrap();
    until("a dead letter", LONG, async || letters().await.len() == 1).await;
    let letter = letters().await.remove(0);
    assert_eq!(letter.consumer, UNSENT);
    assert!(letter.error.unwrap().contains("nobody there"));

    dead_letters::request_retry(&pool, letter.id, "an operator")
        .await
        .unwrap();
    let over = async || letters().await.is_empty() && sent(&notifications(&shop).await).len() == 1;
    until("it was sent after all", LONG, over).await;
    assert_eq!(told.asked(), 2);
    shop.close().await;
}

/// As after a crash between the attempt and its outcome, and as a second reactor that begins with the first event.
#[tokio::test]
async fn nothing_is_sent_twice_whatever_is_handled_again() {
    let mut shop = Shop::open().await;
    let told = Told::answering(vec![Ok(())]);
    notify(&mut shop, &only(told.clone()));
    begun(&shop).await;
    shop.customer("ada").await;
    until("it is sent", LONG, async || told.asked() == 1).await;
    let over = async || shop.timers().await.is_empty();
    until("its timer is gone", LONG, over).await;
    shop.stop_working().await;

    sqlx::query(
        "update checkpoints set position = 0, event_id = null where consumer = 'notification'",
    )
    .execute(shop.store.pool())
    .await
    .unwrap();
    let stop = CancellationToken::new();
    let again = Reactions::new(
        shop.feeds.clone(),
        Arc::new(Notifications::new(
            shop.store.clone(),
            notification::Channel::ALL.to_vec(),
        )),
        "again",
    );
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { again.run(stop).await }
    });
    let head = shop.store.read_head().await.unwrap().position;
    let handled = async || {
        let progress = eventstore::reactor_progress(shop.store.pool(), "notification").await;
        progress
            .unwrap()
            .is_some_and(|progress| progress.position >= head)
    };
    until("everything is handled again", LONG, handled).await;
    assert_eq!(shop.timers().await, []);
    stop.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(told.asked(), 1);
    let events = notifications(&shop).await;
    let attempts = events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Attempted { .. }));
    assert_eq!(attempts.count(), 1);
}
