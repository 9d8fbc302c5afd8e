//! What a member of the group hands to its reactor: its partitions, and what they bring, in order.

mod client;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::consumer::{Change, Member};
use super::inbox::{Inbox, Record};
use super::{Layout, SessionError, ledger, places};
use crate::checkpoint::Checkpoint;
use crate::feed::FeedError;
use crate::kafka::{Place, Reason, Refused};
use crate::log;
use crate::reactor::ReactionsError;
use crate::reactor::job::{Queued, Shared};
use crate::reactor::lane::{LaneId, RecordHint};
use crate::reactor::work::{Arrived, Incoming, Input};

/// Events that the partitions may have to bring: as long as that many are known of, the log is not looked at further.
const EXPECTED_MAX: usize = 50_000;

/// Events of a partition handed over at once.
const HAND_OVER_MAX: usize = 200;

/// Events of a partition read from the log at once.
const FILL_MAX: usize = 500;

/// Longest time between two turns: what is overdue is noticed within it.
const TURN_MAX: Duration = Duration::from_millis(100);

/// Least time between two looks at the log, once its end was reached: as long as the head of another process's appends is
/// not known anyway.
const SCAN_INTERVAL_MIN: Duration = Duration::from_millis(5);

/// How long it is not, after the database could not be read.
const READ_RETRY: Duration = Duration::from_millis(250);

/// How often the log is looked at where its head does not move: it may have been rewound.
const VERIFY_INTERVAL: Duration = Duration::from_millis(500);

/// How often offsets are committed for those who watch lags.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// Feeds the work from Kafka.
pub(super) struct Source {
    shared: Arc<Shared>,
    layout: Arc<Layout>,
    member: Member,
    inboxes: BTreeMap<LaneId, Inbox>,
    /// Changes of the partitions that were not handed over yet; nothing else is before they are.
    outbox: VecDeque<Input>,
    sender: mpsc::Sender<Input>,
    head: watch::Receiver<i64>,
    /// Whether the log may hold more than is known here.
    is_behind: bool,
    scan_at: Instant,
    /// Not before is the database asked again.
    retry_at: Instant,
    verify_at: Instant,
    commit_at: Instant,
    complain_at: Instant,
    refused: Refused,
}

impl Source {
    pub(super) fn new(
        shared: Arc<Shared>,
        layout: Arc<Layout>,
        member: Member,
        sender: mpsc::Sender<Input>,
    ) -> Self {
        let now = Instant::now();
        Self {
            head: shared.store.head(),
            shared,
            layout,
            member,
            inboxes: BTreeMap::new(),
            outbox: VecDeque::new(),
            sender,
            is_behind: true,
            scan_at: now,
            retry_at: now,
            verify_at: now,
            commit_at: now,
            complain_at: now,
            refused: Refused::none(now),
        }
    }

    /// Works until nobody takes what it brings, or until the session has to begin again.
    pub(super) async fn run(mut self) -> Result<(), SessionError> {
        let result = self.work().await;
        self.commit();
        self.member.leave().await;
        result
    }

    async fn work(&mut self) -> Result<(), SessionError> {
        let stands = places::read(self.shared.store.pool(), &self.shared.consumer).await?;
        self.hint(&stands);
        while !self.sender.is_closed() {
            let is_drained = self.drain()?;
            self.rebalance().await?;
            self.read_log().await?;
            self.hand_over();
            self.balance()?;
            if Instant::now() >= self.commit_at {
                self.commit_at = Instant::now() + COMMIT_INTERVAL;
                self.commit();
            }
            if is_drained {
                self.wait().await;
            } else {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Takes up what the group has decided.
    async fn rebalance(&mut self) -> Result<(), SessionError> {
        for change in self.member.changes() {
            match change {
                Change::Assigned(assigned) => self.assigned(&assigned).await?,
                Change::Revoked(revoked) => {
                    let lanes: Vec<LaneId> = revoked
                        .iter()
                        .filter_map(|(topic, partition)| self.layout.lane_at(topic, *partition))
                        .collect();
                    self.inboxes.retain(|lane, _| !lanes.contains(lane));
                    tracing::info!(
                        reactor = self.shared.consumer,
                        partitions = lanes.len(),
                        "partitions given up"
                    );
                    self.outbox.push_back(Input::End(lanes));
                }
            }
        }
        Ok(())
    }

    async fn assigned(
        &mut self,
        assigned: &[(Place, Option<RecordHint>)],
    ) -> Result<(), SessionError> {
        let pool = self.shared.store.pool();
        let stands = places::read(pool, &self.shared.consumer).await?;
        self.hint(&stands);
        let reached: HashMap<Place, Checkpoint> = stands
            .into_iter()
            .map(|stand| (stand.place, stand.reached))
            .collect();
        let now = Instant::now();
        let mut begun = Vec::with_capacity(assigned.len());
        for (place, hint) in assigned {
            let (Some(lane), Some(reached)) =
                (self.layout.lane_at(&place.0, place.1), reached.get(place))
            else {
                return Err(SessionError::SetAnew);
            };
            if !reached.is_in_log(pool).await? {
                let position = reached.position;
                return Err(self.rewound(FeedError::Rewound { position }));
            }
            self.inboxes
                .insert(lane, Inbox::after(*reached, *hint, now));
            begun.push((lane, *reached));
        }
        tracing::info!(
            reactor = self.shared.consumer,
            partitions = begun.len(),
            "partitions taken"
        );
        self.is_behind = true;
        self.outbox.push_back(Input::Begin(begun));
        Ok(())
    }

    fn rewound(&self, error: FeedError) -> SessionError {
        match error {
            FeedError::Rewound { position } => ReactionsError::Rewound {
                reactor: self.shared.consumer.clone(),
                position,
            }
            .into(),
            FeedError::Database(error) => error.into(),
            error => ReactionsError::Feed(error).into(),
        }
    }

    /// Follows the log. A database that does not answer is waited for, and the group is not left meanwhile.
    async fn read_log(&mut self) -> Result<(), SessionError> {
        if Instant::now() < self.retry_at {
            return Ok(());
        }
        let read = match self.scan().await {
            Ok(()) => self.fill().await,
            Err(error) => Err(error),
        };
        if let Err(SessionError::Database(error)) = read {
            let reactor = &self.shared.consumer;
            let error = &error as &dyn std::error::Error;
            tracing::warn!(reactor, error, "the log cannot be read, trying again");
            self.is_behind = true;
            self.retry_at = Instant::now() + READ_RETRY;
            return Ok(());
        }
        read
    }

    /// Looks what the log holds for the partitions beyond what is known.
    async fn scan(&mut self) -> Result<(), SessionError> {
        let now = Instant::now();
        let due = self.is_behind && now >= self.scan_at || now >= self.verify_at;
        let Some(after) = self
            .inboxes
            .values()
            .map(Inbox::known)
            .min_by_key(|known| known.position)
        else {
            return Ok(());
        };
        let expected: usize = self.inboxes.values().map(Inbox::expected).sum();
        if !due || expected >= EXPECTED_MAX {
            return Ok(());
        }
        self.verify_at = now + VERIFY_INTERVAL;
        let head = *self.head.borrow_and_update();
        let pool = self.shared.store.pool();
        let scanned = ledger::scan(pool, &self.layout.types(), after, head).await;
        let ledger::Scan { entries, upto } = scanned.map_err(|error| self.rewound(error))?;
        let mut key = String::new();
        for entry in entries {
            let (aggregate_type, id) = (&entry.aggregate_type, &entry.aggregate_id);
            let lane = self.layout.lane_of_key(aggregate_type, id, &mut key);
            let inbox = lane.and_then(|lane| self.inboxes.get_mut(&lane));
            let Some(inbox) = inbox.filter(|inbox| inbox.known().position < entry.position) else {
                continue;
            };
            if let Err(reason) = inbox.expect(entry.position, entry.event_id, now) {
                let place = || format!("at position {}", entry.position);
                self.refused.count(reason, place);
            }
        }
        for inbox in self.inboxes.values_mut() {
            if inbox.known().position < upto.position {
                for _ in 0..inbox.know(upto) {
                    let place = || format!("up to position {}", upto.position);
                    self.refused.count(Reason::NotInLog, place);
                }
            }
        }
        self.is_behind = upto.position < head && upto.position > after.position;
        if !self.is_behind {
            self.scan_at = now + SCAN_INTERVAL_MIN;
            for inbox in self.inboxes.values_mut() {
                for _ in 0..inbox.forget_early(now) {
                    let place = || format!("beyond position {head}");
                    self.refused.count(Reason::NotInLog, place);
                }
            }
        }
        Ok(())
    }

    /// Reads from the log what Kafka owes.
    async fn fill(&mut self) -> Result<(), SessionError> {
        let now = Instant::now();
        for inbox in self.inboxes.values_mut() {
            let positions = inbox.overdue(FILL_MAX, now);
            if positions.is_empty() {
                continue;
            }
            let events = log::read_at(self.shared.store.pool(), &positions).await?;
            if events.len() < positions.len() {
                let held =
                    |position: &&i64| events.iter().any(|event| event.position == **position);
                let missing = positions.iter().find(|position| !held(position));
                let position = missing.copied().unwrap_or_default();
                return Err(ReactionsError::Feed(FeedError::Hole { position }).into());
            }
            tracing::debug!(
                reactor = self.shared.consumer,
                events = events.len(),
                "read from the log"
            );
            metrics::counter!("nakku_feed_events_from_log_total")
                .increment(events.len().try_into().unwrap_or(u64::MAX));
            for event in events {
                inbox.fill(event);
            }
        }
        Ok(())
    }

    /// Hands over what is there, as far as it is taken.
    fn hand_over(&mut self) {
        while let Ok(permit) = self.sender.try_reserve() {
            if let Some(change) = self.outbox.pop_front() {
                permit.send(change);
                continue;
            }
            let mut incoming = Incoming::default();
            let mut records: Vec<Record> = Vec::new();
            for (lane, inbox) in &mut self.inboxes {
                inbox.take(HAND_OVER_MAX, &mut records);
                for Record { event, offset } in records.drain(..) {
                    let event = self.shared.store.upcast(event);
                    let lane = *lane;
                    let queued = Queued { lane, event };
                    incoming.events.push(Arrived { queued, offset });
                }
                let known = inbox.tell_known().map(|known| (*lane, known));
                incoming.known.extend(known);
            }
            if incoming.events.is_empty() && incoming.known.is_empty() {
                return;
            }
            if !incoming.events.is_empty() {
                fail::fail_point!("reactor-read");
            }
            permit.send(Input::Events(incoming));
        }
    }

    /// Waits for records, for the log to grow, or for room.
    async fn wait(&mut self) {
        let mut until = Instant::now() + TURN_MAX;
        if self.is_behind {
            until = until.min(self.scan_at.max(self.retry_at));
        }
        let nonempty = self.member.nonempty();
        let is_ready = !self.outbox.is_empty() || self.inboxes.values().any(Inbox::is_ready);
        tokio::select! {
            () = nonempty.notified() => {}
            changed = self.head.changed() => {
                self.is_behind = true;
                if changed.is_err() {
                    sleep_until(until).await;
                }
            }
            permit = self.sender.reserve(), if is_ready => drop(permit),
            () = self.sender.closed() => {}
            () = sleep_until(until) => {}
        }
    }
}
