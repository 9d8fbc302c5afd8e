//! A generation in an index directory.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use async_trait::async_trait;
use eventstore::{Checkpoint, HandleError, RecordedEvent};
use read_models::search::{
    IndexError, PENDING_DOCUMENTS_MAX, SearchReader, SearchWriter, Snapshot,
};
use tokio::task::spawn_blocking;

use super::{Generation, OpenError, from_rest, later, of_types, to_rest};
use crate::recorded::one_line;
use crate::search::{self, Failure};

/// Commits that follow each other within this time are load, and are paced.
const LOAD_INTERVAL: Duration = Duration::from_millis(50);

/// Rest after a commit, as a multiple of what it took: under load 40 % of the time is spent committing, and what
/// comes meanwhile goes into the next one.
const REST_PER_COMMIT: f64 = 1.5;

/// A longer rest than this would be felt by those who wait for their writes.
const REST_MAX: Duration = Duration::from_millis(50);

/// When what was put becomes durable and searchable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commits {
    /// With every batch: queries wait for it.
    EachBatch,
    /// When much is pending, and on [`Generation::flush`]: a rebuild that breaks off begins anew anyway.
    Seldom,
}

pub(crate) struct Index {
    number: i32,
    directory: PathBuf,
    commits: Commits,
    /// None while a thread works with it, and after one did not give it back.
    writer: Option<SearchWriter>,
    /// As of the last commit.
    snapshot: Snapshot,
    /// Put, though not necessarily committed.
    checkpoint: Checkpoint,
    /// Woken after commits.
    reader: Option<SearchReader>,
    committed_at: Option<Instant>,
}

impl Index {
    /// Makes an empty index.
    pub(crate) async fn create(
        directory: PathBuf,
        number: i32,
        reader: Option<SearchReader>,
    ) -> anyhow::Result<Self> {
        let at = directory.clone();
        let writer = spawn_blocking(move || SearchWriter::create(&at)).await??;
        Ok(Self::new(
            directory,
            number,
            writer,
            Commits::Seldom,
            reader,
        ))
    }

    /// Opens an index where its last commit left it.
    pub(crate) async fn open(
        directory: PathBuf,
        number: i32,
        reader: Option<SearchReader>,
    ) -> Result<Self, OpenError> {
        let at = directory.clone();
        let opened = spawn_blocking(move || SearchWriter::open(&at)).await;
        let writer = opened.map_err(anyhow::Error::from)?.map_err(open_error)?;
        Ok(Self::new(
            directory,
            number,
            writer,
            Commits::EachBatch,
            reader,
        ))
    }

    fn new(
        directory: PathBuf,
        number: i32,
        writer: SearchWriter,
        commits: Commits,
        reader: Option<SearchReader>,
    ) -> Self {
        Self {
            number,
            directory,
            commits,
            snapshot: writer.snapshot(),
            checkpoint: from_rest(writer.checkpoint()),
            writer: Some(writer),
            reader,
            committed_at: None,
        }
    }

    /// Runs what blocks on a thread for that. After an error of the index its writer is dead: one that commits
    /// with each batch goes back to its last commit, the other has lost what the runner believes it handled.
    async fn with_writer(
        &mut self,
        work: impl FnOnce(&mut SearchWriter) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), HandleError> {
        let directory = self.directory.clone();
        let Some(mut writer) = self.writer.take() else {
            return Err(HandleError::Fenced(format!(
                "the writer of the index in {} is lost",
                directory.display()
            )));
        };
        let recovers = self.commits == Commits::EachBatch;
        let worked = spawn_blocking(move || {
            let result = work(&mut writer);
            if let Err(Failure::Index(error)) = &result {
                let usable = recovers && writer.recover().is_ok();
                let error = anyhow!(one_line(error));
                return (usable.then_some(writer), Err(Failed::Index(error)));
            }
            (
                Some(writer),
                result.map_err(|failure| match failure {
                    Failure::Poison(error) => Failed::Poison(error),
                    Failure::Index(error) => Failed::Index(error.into()),
                }),
            )
        })
        .await;
        let (writer, result) = worked.map_err(|error| HandleError::Transient(error.into()))?;
        self.writer = writer;
        result.map_err(|failed| match failed {
            Failed::Poison(error) => error,
            Failed::Index(error) if self.writer.is_some() => HandleError::Transient(error),
            Failed::Index(error) => HandleError::Fenced(error.to_string()),
        })
    }

    async fn commit(&mut self, to: Checkpoint) -> Result<(), HandleError> {
        self.with_writer(move |writer| Ok(writer.commit(&to_rest(&to))?))
            .await?;
        self.committed(to);
        Ok(())
    }

    fn committed(&mut self, to: Checkpoint) {
        self.checkpoint = to;
        if let Some(writer) = &self.writer {
            self.snapshot = writer.snapshot();
        }
        if let Some(reader) = &self.reader {
            reader.notify();
        }
    }

    /// Leaves the cores to others while commits follow each other.
    async fn rest(&mut self, began: Instant) {
        let took = began.elapsed();
        let loaded = self
            .committed_at
            .is_some_and(|at| at + LOAD_INTERVAL > began);
        if loaded {
            tokio::time::sleep(took.mul_f64(REST_PER_COMMIT).min(REST_MAX)).await;
        }
        self.committed_at = Some(Instant::now());
    }
}

/// [`Failure`], after the writer has been seen to.
enum Failed {
    Poison(HandleError),
    Index(anyhow::Error),
}

fn open_error(error: IndexError) -> OpenError {
    if error.needs_rebuild() {
        OpenError::Damaged(one_line(&error))
    } else {
        OpenError::Other(error.into())
    }
}

#[async_trait]
impl Generation for Index {
    fn number(&self) -> i32 {
        self.number
    }

    fn reads(&self) -> &'static [&'static str] {
        &search::READS
    }

    fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        upto: &Checkpoint,
    ) -> Result<(), HandleError> {
        let events: Vec<RecordedEvent> = of_types(events, &search::READS)
            .into_iter()
            .cloned()
            .collect();
        let to = later(&self.checkpoint, upto);
        let commits = self.commits;
        let began = Instant::now();
        self.with_writer(move |writer| {
            let read = events
                .iter()
                .map(search::read)
                .collect::<Result<Vec<_>, _>>();
            search::write(writer, read.map_err(Failure::Poison)?)?;
            fail::fail_point!("projection-documents-added");
            if commits == Commits::EachBatch || writer.pending() >= PENDING_DOCUMENTS_MAX {
                writer.commit(&to_rest(&to))?;
                fail::fail_point!("projection-index-committed");
            }
            Ok(())
        })
        .await?;
        match commits {
            Commits::EachBatch => {
                self.committed(to);
                self.rest(began).await;
            }
            Commits::Seldom => self.checkpoint = to,
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), HandleError> {
        self.commit(self.checkpoint).await
    }

    fn serve(&mut self) {
        self.commits = Commits::EachBatch;
    }

    fn snapshot(&self) -> Option<Snapshot> {
        Some(self.snapshot.clone())
    }
}
