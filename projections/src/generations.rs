//! The generations of a read model that follow the log together: the live one, and the one before it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eventstore::{Checkpoint, HandleError, Handler, RecordedEvent};
use tokio::sync::watch;

use crate::generation::Generation;
use crate::recorded::one_line;

/// Where each followed generation stands, for those who look on.
pub(crate) type Positions = Arc<Mutex<Vec<(i32, Checkpoint)>>>;

/// Hands batches to the live generation, then to the one before.
pub(crate) struct Generations {
    live: Box<dyn Generation>,
    /// Trouble of its own must not hold up the live one: it is given up, and there is no way back to it.
    previous: Option<Box<dyn Generation>>,
    positions: Positions,
    /// The live one's position.
    position: Arc<watch::Sender<i64>>,
}

impl Generations {
    pub(crate) fn new(
        live: Box<dyn Generation>,
        previous: Option<Box<dyn Generation>>,
        position: Arc<watch::Sender<i64>>,
    ) -> Self {
        let generations = Self {
            live,
            previous,
            positions: Positions::default(),
            position,
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

    pub(crate) fn positions(&self) -> Positions {
        Arc::clone(&self.positions)
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

    fn publish(&self) {
        let generations = std::iter::once(&self.live).chain(&self.previous);
        let positions = generations
            .map(|it| (it.number(), it.checkpoint()))
            .collect();
        *self.positions.lock().expect("no panic while held") = positions;
        self.position.send_replace(self.live.checkpoint().position);
    }
}

#[async_trait]
impl Handler for Generations {
    async fn checkpoint(&mut self) -> anyhow::Result<Checkpoint> {
        Ok(self.earliest())
    }

    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        upto: &Checkpoint,
    ) -> Result<(), HandleError> {
        self.live.handle(events, upto).await?;
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
        self.publish();
        Ok(())
    }
}
