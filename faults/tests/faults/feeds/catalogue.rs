//! A view that depends on the order across streams, built over Kafka and built anew from the log.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use async_trait::async_trait;
use eventstore::{
    Buffered, Checkpoint, EventStore, Feed, HandleError, Handler, KafkaFeed, KafkaSettings,
    RecordedEvent, Runner, RunnerOptions, StoreFeed,
};

use super::LONG;
use super::shop::Event;

/// What is known of a product.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    name: String,
    on_hand: i64,
    version: i64,
}

/// Products with their stock.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Catalogue {
    rows: BTreeMap<String, Row>,
    /// Of every event in order, with all that the log says about it.
    digest: u64,
    checkpoint: Checkpoint,
}

impl Catalogue {
    fn take(&mut self, event: &RecordedEvent) -> Result<(), String> {
        if event.position != self.checkpoint.position + 1 {
            return Err(format!("after {}", self.checkpoint.position));
        }
        match event.decode().map_err(|error| error.to_string())? {
            Event::Created { name } => {
                let row = Row {
                    name,
                    ..Row::default()
                };
                self.rows.insert(event.aggregate_id.clone(), row);
            }
            Event::Received { quantity, .. } => {
                let row = self.rows.get_mut(&event.aggregate_id);
                let row = row.ok_or("stock before its product")?;
                if row.version + 1 != event.sequence {
                    return Err(format!("version {} after {}", event.sequence, row.version));
                }
                row.on_hand += quantity;
                row.version = event.sequence;
            }
        }
        let mut digest = DefaultHasher::new();
        self.digest.hash(&mut digest);
        (event.event_id, &event.payload, &event.metadata).hash(&mut digest);
        (&event.event_type, &event.event_version, event.recorded_at).hash(&mut digest);
        (&event.aggregate_type, &event.aggregate_id, event.sequence).hash(&mut digest);
        self.digest = digest.finish();
        self.checkpoint = Checkpoint {
            position: event.position,
            event_id: Some(event.event_id),
        };
        Ok(())
    }
}

#[async_trait]
impl Handler for Catalogue {
    async fn checkpoint(&mut self) -> anyhow::Result<Checkpoint> {
        Ok(self.checkpoint)
    }

    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        upto: &Checkpoint,
    ) -> Result<(), HandleError> {
        for event in events {
            let position = event.position;
            self.take(event)
                .unwrap_or_else(|error| panic!("position {position}: {error}"));
        }
        assert_eq!(self.checkpoint, *upto);
        Ok(())
    }
}

/// A worker that builds the view over Kafka.
pub(super) struct Worker {
    store: EventStore,
    pub(super) feed: KafkaFeed,
    runner: Runner,
    pub(super) catalogue: Catalogue,
    began: Instant,
    resident: Resident,
}

impl Worker {
    pub(super) async fn begin(store: &EventStore, settings: &KafkaSettings) -> Self {
        Self::go_on(store, settings, Catalogue::default()).await
    }

    /// As after a restart, with the view as it was left.
    pub(super) async fn go_on(
        store: &EventStore,
        settings: &KafkaSettings,
        catalogue: Catalogue,
    ) -> Self {
        let resident = Resident::now();
        let feed = KafkaFeed::open(store, settings, "catalogue", catalogue.checkpoint).await;
        Self {
            store: store.clone(),
            feed: feed.unwrap(),
            runner: Runner::new(store.clone(), "catalogue", RunnerOptions::default()),
            catalogue,
            began: Instant::now(),
            resident,
        }
    }

    pub(super) fn position(&self) -> i64 {
        self.catalogue.checkpoint.position
    }

    /// Follows until at least this position, or until `enough` is.
    pub(super) async fn reach(&mut self, position: i64) {
        let deadline = Instant::now() + LONG;
        while self.position() < position {
            assert!(
                Instant::now() < deadline,
                "stands at {} of {position}",
                self.position()
            );
            self.runner
                .step(&mut self.feed, &mut self.catalogue)
                .await
                .unwrap();
            self.resident.look();
        }
    }

    /// Follows to the end of the log, and fails unless the view is what a rebuild makes of it and the buffer stayed within
    /// its limits.
    pub(super) async fn is_exact(&mut self, what: &str) -> Buffered {
        let head = self.store.read_head().await.unwrap();
        self.reach(head.position).await;
        assert!(
            self.catalogue == rebuilt(&self.store).await,
            "{what}: it differs from a rebuild"
        );
        let buffered = self.feed.buffered();
        let largest = buffered.bytes_most.saturating_sub(Buffered::BYTES_MAX);
        assert!(
            buffered.events_most <= Buffered::EVENTS_MAX,
            "{what}: {buffered:?}"
        );
        assert!(largest <= LARGEST_EVENT, "{what}: {buffered:?}");
        assert!(
            self.resident.grown() <= RESIDENT_GROWTH_MAX,
            "{what}: {} bytes",
            self.resident.grown()
        );
        println!(
            "{what}: {} events in {:.1} s, {} of them from the log, {} records refused; at most {} events and {:.1} MiB \
             waiting, {:.0} MiB more resident",
            head.position,
            self.began.elapsed().as_secs_f64(),
            self.feed.events_from_log(),
            self.feed.records_refused(),
            buffered.events_most,
            mebibytes(buffered.bytes_most),
            mebibytes(self.resident.grown()),
        );
        buffered
    }
}

async fn rebuilt(store: &EventStore) -> Catalogue {
    let mut feed = StoreFeed::open(store, Checkpoint::START).await.unwrap();
    let mut catalogue = Catalogue::default();
    let head = store.read_head().await.unwrap();
    while catalogue.checkpoint != head {
        let events = feed.next(usize::MAX).await.unwrap();
        for event in &events {
            catalogue.take(event).unwrap();
        }
    }
    catalogue
}

/// The last event that the buffer takes may reach beyond its limit: no event of these tests is larger.
const LARGEST_EVENT: usize = 16 * 1024;

/// Buffer and client queue together have 80 MiB; the allocator, the batches in hand and above all the tests beside this one,
/// which are in the same process, have the rest. What bounds it is counted by the buffer itself.
const RESIDENT_GROWTH_MAX: usize = 512 * 1024 * 1024;

/// The memory of this process, as the kernel counts it.
struct Resident {
    before: usize,
    most: usize,
}

impl Resident {
    fn now() -> Self {
        let before = resident();
        Self {
            before,
            most: before,
        }
    }

    fn look(&mut self) {
        self.most = self.most.max(resident());
    }

    fn grown(&self) -> usize {
        self.most - self.before
    }
}

fn resident() -> usize {
    const PAGE: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * PAGE
}

#[expect(clippy::cast_precision_loss, reason = "for reading")]
fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}
