//! A whole catalogue: many commands in flight, in bounded memory.

use std::collections::HashSet;
use std::pin::pin;

use axum::body::Bytes;
use domain::Sku;
use eventstore::{CommandContext, EventStore};
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use serde::Serialize;
use utoipa::ToSchema;

use super::NewProduct;
use super::line::{BadLine, parse_line};
use super::lines::{Lines, NotUnpacked};
use super::upsert::{GaveUp, Upserted, upsert};

/// Commands of one import under way at once: they fill batches, and leave others' commands room in queue and batch.
const IN_FLIGHT_MAX: usize = 512;

/// On whose behalf a catalogue is imported.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// Carried by every event of it.
    pub correlation_id: Option<String>,
    /// The caller's id.
    pub user_id: Option<String>,
    /// The trace of the request.
    pub traceparent: Option<String>,
}

impl Origin {
    fn context(&self) -> CommandContext {
        CommandContext {
            correlation_id: self.correlation_id.clone(),
            user_id: self.user_id.clone(),
            traceparent: self.traceparent.clone(),
            ..CommandContext::new("import")
        }
    }
}

/// A line that did not go in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rejected {
    /// Its number, from 1, as an editor counts.
    pub line: u64,
    /// Why.
    #[serde(flatten)]
    pub reason: BadLine,
}

/// How far an import has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Products that there were not.
    pub created: u64,
    /// Products that were otherwise.
    pub updated: u64,
    /// Products that were so already: nothing was appended.
    pub unchanged: u64,
    /// Lines that did not go in.
    pub rejected: u64,
    /// A read model at this position has everything accepted; none before anything was.
    pub position: Option<i64>,
}

impl Summary {
    /// Lines that took effect, or needed none.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.created + self.updated + self.unchanged
    }
}

/// Who looks on.
pub trait Observer: Send {
    /// A line did not go in. Lines come in the order in which that was known.
    fn rejected(&mut self, rejected: Rejected);

    /// It has come so far.
    fn moved(&mut self, _summary: &Summary) {}
}

/// Why an import ended before its catalogue did.
#[derive(Debug)]
pub enum Stopped<E> {
    /// No more of the catalogue came.
    Source(E),
    /// What came cannot be unpacked.
    NotUnpacked(NotUnpacked),
    /// The log took no commands for a minute.
    Overloaded,
    /// The program ends.
    Closed,
}

/// What came of an import. What was accepted stays; all of it can be sent again.
#[derive(Debug)]
pub struct Ended<E> {
    pub summary: Summary,
    /// None where the whole catalogue was read.
    pub stopped: Option<Stopped<E>>,
}

/// An import into a log.
#[derive(Clone)]
pub struct Import {
    pub store: EventStore,
    pub origin: Origin,
}

impl Import {
    /// Imports what `source` yields, NDJSON or that compressed by gzip: each product is created, or brought to what its
    /// line says. Of several lines with one SKU the last one counts. Returns when every line that was read is settled.
    pub async fn run<E>(
        &self,
        source: impl Stream<Item = Result<Bytes, E>> + Send,
        observer: &mut impl Observer,
    ) -> Ended<E> {
        let mut source = pin!(source);
        let mut run = Run {
            lines: Lines::default(),
            summary: Summary::default(),
            busy: HashSet::new(),
            held: None,
            is_read: false,
            stopped: None,
            observer,
        };
        let mut in_flight = FuturesUnordered::new();
        loop {
            while in_flight.len() < IN_FLIGHT_MAX {
                match run.next() {
                    Next::Product(line, new) => {
                        let (store, sku) = (&self.store, new.sku.clone());
                        in_flight.push(async move {
                            let upserted = upsert(store, || self.origin.context(), new).await;
                            (line, sku, upserted)
                        });
                    }
                    // A flood of bad lines must not keep others from this thread.
                    Next::Rejected => tokio::task::consume_budget().await,
                    Next::Nothing => break,
                }
            }
            let reads = run.wants_more() && in_flight.len() < IN_FLIGHT_MAX;
            tokio::select! {
                biased;
                Some((line, sku, upserted)) = in_flight.next() => {
                    run.busy.remove(&sku);
                    run.settle(line, upserted);
                }
                piece = source.next(), if reads => run.feed(piece),
                else => break,
            }
        }
        Ended {
            summary: run.summary,
            stopped: run.stopped,
        }
    }
}

/// An import under way.
struct Run<'a, O, E> {
    lines: Lines,
    summary: Summary,
    /// SKUs whose commands are in flight.
    busy: HashSet<Sku>,
    /// A product that waits for the one before it with the same SKU, so that the later line wins.
    held: Option<(u64, NewProduct)>,
    /// Whether nothing more comes.
    is_read: bool,
    stopped: Option<Stopped<E>>,
    observer: &'a mut O,
}

/// What the next line of what was read came to.
enum Next {
    /// Its SKU is busy from now on.
    Product(u64, NewProduct),
    Rejected,
    /// There is none, or it has to wait.
    Nothing,
}

impl<O: Observer, E> Run<'_, O, E> {
    fn next(&mut self) -> Next {
        if self.stopped.is_some() {
            return Next::Nothing;
        }
        let (line, new) = match self.held.take() {
            Some(held) => held,
            None => match self.parse_next() {
                Next::Product(line, new) => (line, new),
                other => return other,
            },
        };
        if self.busy.contains(&new.sku) {
            self.held = Some((line, new));
            return Next::Nothing;
        }
        self.busy.insert(new.sku.clone());
        Next::Product(line, new)
    }

    fn parse_next(&mut self) -> Next {
        let next = if self.is_read {
            self.lines.finish()
        } else {
            self.lines.next_line()
        };
        let line = match next {
            Ok(Some(line)) => line,
            Ok(None) => return Next::Nothing,
            Err(error) => {
                self.stopped = Some(Stopped::NotUnpacked(error));
                return Next::Nothing;
            }
        };
        let parsed = match line.text {
            Ok(text) => parse_line(&text),
            Err(too_long) => Err(BadLine::new(&too_long.to_string())),
        };
        match parsed {
            Ok(new) => Next::Product(line.number, new),
            Err(reason) => {
                self.reject(line.number, reason);
                Next::Rejected
            }
        }
    }

    fn wants_more(&self) -> bool {
        self.stopped.is_none() && self.held.is_none() && !self.is_read
    }

    fn feed(&mut self, piece: Option<Result<Bytes, E>>) {
        match piece {
            Some(Ok(bytes)) => self.lines.feed(&bytes),
            Some(Err(error)) => self.stopped = Some(Stopped::Source(error)),
            None => self.is_read = true,
        }
    }

    fn settle(&mut self, line: u64, upserted: Upserted) {
        let (count, executed) = match upserted {
            Upserted::Created(executed) => (&mut self.summary.created, executed),
            Upserted::Updated(executed) => (&mut self.summary.updated, executed),
            Upserted::Unchanged(executed) => (&mut self.summary.unchanged, executed),
            Upserted::Refused(reason) => return self.reject(line, reason),
            Upserted::GaveUp(why) => {
                // The first reason is the one to tell.
                self.stopped.get_or_insert(match why {
                    GaveUp::Overloaded => Stopped::Overloaded,
                    GaveUp::Closed => Stopped::Closed,
                });
                return;
            }
        };
        *count += 1;
        self.summary.position = self.summary.position.max(Some(executed.position));
        self.observer.moved(&self.summary);
    }

    fn reject(&mut self, line: u64, reason: BadLine) {
        self.summary.rejected += 1;
        self.observer.rejected(Rejected { line, reason });
        self.observer.moved(&self.summary);
    }
}
