//! The generations of a read model that follow the log together: the live one, and the one before it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use eventstore::{Checkpoint, HandleError, Handler, Lease, RecordedEvent};
use tokio::sync::watch;

use crate::generation::Generation;
use crate::recorded::one_line;

/// A batch that fails for so long is a read model that stands still, and operators are told why.
const TROUBLE_MAX: Duration = Duration::from_secs(3);

/// How the followed generations do, for those who look on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// Where each stands.
    pub(crate) positions: Vec<(i32, Checkpoint)>,
    /// Since when a batch has failed again and again, and why it did last.
    trouble: Option<(Instant, String)>,
}

pub(crate) type Watched = Arc<Mutex<Standing>>;

impl Standing {
    /// Why the read model stands still, in one line; none while it moves, or may do so in a moment.
    pub(crate) fn failure(&self) -> Option<&str> {
        let (since, why) = self.trouble.as_ref()?;
        (since.elapsed() >= TROUBLE_MAX).then_some(why.as_str())
    }

    fn note(&mut self, handled: &Result<(), HandleError>) {
        self.trouble = match handled {
            Err(HandleError::Transient(error)) => {
                let since = self
                    .trouble
                    .take()
                    .map_or_else(Instant::now, |(since, _)| since);
                Some((since, format!("{error:#}").replace('\n', " ")))
            }
            Err(HandleError::Poison { .. } | HandleError::Fenced(_)) | Ok(()) => None,
        };
    }
}

/// Hands batches to the live generation, then to the one before.
pub(crate) struct Generations {
    live: Box<dyn Generation>,
    /// Trouble of its own must not hold up the live one: it is given up, and there is no way back to it.
    previous: Option<Box<dyn Generation>>,
    watched: Watched,
    /// The live one's position.
    position: Arc<watch::Sender<i64>>,
    /// What lets them be written.
    lease: Arc<Lease>,
}

impl Generations {
    pub(crate) fn new(
        live: Box<dyn Generation>,
        previous: Option<Box<dyn Generation>>,
        position: Arc<watch::Sender<i64>>,
        lease: Arc<Lease>,
    ) -> Self {
        let generations = Self {
            live,
            previous,
            watched: Watched::default(),
            position,
            lease,
        };
        generations.publish();
        generations
    }

    /// Where to follow on from: one generation may be ahead of the other.
    pub(crate) fn earliest(&self) -> Checkpoint {
        let live = self.live.checkpoint();
        match self.previous.as_ref().map(|previous| previous.checkpoint()) {
            Some(previous) if previous.position < live.position => previous,
            Some(_) | None => live,
        }
    }

    pub(crate) fn live(&self) -> &dyn Generation {
        &*self.live
    }

    pub(crate) fn previous(&self) -> Option<&dyn Generation> {
        self.previous.as_deref()
    }

    pub(crate) fn watched(&self) -> Watched {
        Arc::clone(&self.watched)
    }

    pub(crate) fn into_live(self) -> Box<dyn Generation> {
        self.live
    }

    /// Makes durable what was handled.
    pub(crate) async fn flush(&mut self) -> Result<(), HandleError> {
        self.live.flush().await
    }

    /// Puts a new generation before the live one, which becomes the one before.
    pub(crate) fn switch(&mut self, mut rebuilt: Box<dyn Generation>) {
        rebuilt.serve();
        self.previous = Some(std::mem::replace(&mut self.live, rebuilt));
        self.publish();
    }

    /// Goes back to the one before. False where there is none.
    pub(crate) fn roll_back(&mut self) -> bool {
        let Some(previous) = &mut self.previous else {
            return false;
        };
        std::mem::swap(&mut self.live, previous);
        self.publish();
        true
    }

    /// Tables look at the lease's epoch in their transaction. An index cannot, and what follows a batch (dead
    /// letters that have had their effect, for one) rests on the lease as well: a program that was frozen stops
    /// here.
    fn check_lease(&self) -> Result<(), HandleError> {
        if self.lease.is_valid() {
            return Ok(());
        }
        let name = self.lease.name();
        Err(HandleError::Fenced(format!("the lease {name} is lost")))
    }

    fn note(&self, handled: &Result<(), HandleError>) {
        let mut watched = self.watched.lock().expect("no panic while held");
        watched.note(handled);
    }

    fn publish(&self) {
        let generations = std::iter::once(&self.live).chain(&self.previous);
        let positions = generations
            .map(|it| (it.number(), it.checkpoint()))
            .collect();
        self.watched.lock().expect("no panic while held").positions = positions;
        self.position.send_replace(self.live.checkpoint().position);
    }
}

#[async_trait]
impl Handler for Generations {
    async fn checkpoint(&mut self) -> anyhow::Result<Checkpoint> {
        Ok(self.earliest())
    }

    fn concerns(&self, event: &RecordedEvent) -> bool {
        self.live.reads().contains(&event.aggregate_type.as_str())
    }

    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        upto: &Checkpoint,
    ) -> Result<(), HandleError> {
        self.check_lease()?;
        fail::fail_point!("projection-batch-read");
        let handled = self.live.handle(events, upto).await;
        self.note(&handled);
        handled?;
        if let Some(previous) = &mut self.previous {
            match previous.handle(events, upto).await {
                Ok(()) => {}
                Err(error @ HandleError::Transient(_)) => return Err(error),
                Err(error @ (HandleError::Poison { .. } | HandleError::Fenced(_))) => {
                    let generation = previous.number();
                    let error = one_line(&error);
                    tracing::warn!(
                        generation,
                        error,
                        "the generation before the live one is given up"
                    );
                    self.previous = None;
                }
            }
        }
        self.check_lease()?;
        self.publish();
        Ok(())
    }
}
