//! Searches beside the async threads, as many at a time as there are cores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_server::position::MAIN_LOG;
use http_server::{MinPosition, Problem};
use read_models::search::{SearchError, SearchReader, SearchRequest, SearchResponse, Snapshot};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::reading::unavailable;

/// Searches that may wait for a core. One takes milliseconds; a longer queue would only make all
/// of them late, so one more is refused at once.
const WAITING_MAX: usize = 256;

/// From a search's admission to its answer; the wait for a position is not in it.
const DURATION: &str = "nakku_search_duration_seconds";

pub(crate) fn describe_metrics() {
    metrics::describe_histogram!(
        DURATION,
        metrics::Unit::Seconds,
        "Time of a search, with its wait for a core and without that for a position"
    );
}

/// The index and the cores that search it.
#[derive(Clone)]
pub(crate) struct Searches {
    reader: SearchReader,
    /// Running and waiting ones.
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Searches {
    pub(crate) fn new(reader: SearchReader) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Searches {
            reader,
            admitted: Arc::new(Semaphore::new(cores + WAITING_MAX)),
            running: Arc::new(Semaphore::new(cores)),
        }
    }

    pub(crate) fn reader(&self) -> &SearchReader {
        &self.reader
    }

    /// Searches the newest commit, once it has come as far as the client wants.
    pub(crate) async fn search(
        &self,
        request: SearchRequest,
        wanted: &MinPosition,
    ) -> Result<SearchResponse, Problem> {
        let (answer, took) = self
            .read(wanted, move |snapshot| snapshot.search(&request))
            .await?;
        metrics::histogram!(DURATION).record(took);
        answer.map_err(refused)
    }

    /// Answers anything else from the newest commit.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        wanted: &MinPosition,
        look: impl FnOnce(&Snapshot) -> Result<T, SearchError> + Send + 'static,
    ) -> Result<T, Problem> {
        let (answer, _) = self.read(wanted, look).await?;
        answer.map_err(refused)
    }

    /// Waits for the position and for a core, and returns how long it took from then on.
    async fn read<T: Send + 'static>(
        &self,
        wanted: &MinPosition,
        read: impl FnOnce(&Snapshot) -> T + Send + 'static,
    ) -> Result<(T, Duration), Problem> {
        let min_position = wanted.on(MAIN_LOG).unwrap_or(0);
        let deadline = tokio::time::Instant::from_std(wanted.deadline);
        let waited = self.reader.await_position(min_position, deadline).await;
        let snapshot = waited.map_err(|behind| unavailable(behind.into()))?;
        let admitted = self.admit()?;
        let began = Instant::now();
        let running = self.running.clone().acquire_owned().await;
        let running = running.expect("the semaphore is never closed");
        // A client that goes away frees no core: the permits stay with the work. What it costs is bounded by the
        // limits on words, not by the client's patience.
        let work = tokio::task::spawn_blocking(move || {
            let _permits = (admitted, running);
            read(&snapshot)
        });
        let answer = work.await.map_err(Problem::internal)?;
        Ok((answer, began.elapsed()))
    }

    fn admit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let admitted = self.admitted.clone().try_acquire_owned();
        admitted.map_err(|_| Problem::overloaded())
    }
}

fn refused(error: SearchError) -> Problem {
    match error {
        SearchError::Invalid(invalid) => Problem::bad_request(invalid.to_string()),
        SearchError::Unavailable(error) => unavailable(error),
        SearchError::Index(error) => Problem::internal(format!("search index: {error}")),
        SearchError::Document(error) => Problem::internal(format!("stored document: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use http_server::Kind;

    use super::*;

    #[test]
    fn one_search_more_than_may_wait_is_refused_at_once() {
        let searches = Searches::new(SearchReader::new());
        let mut admitted = Vec::new();
        let refused = loop {
            match searches.admit() {
                Ok(permit) => admitted.push(permit),
                Err(problem) => break problem,
            }
        };
        assert_eq!(refused.kind(), Kind::OVERLOADED);
        assert!(admitted.len() > WAITING_MAX);
        admitted.pop();
        assert!(searches.admit().is_ok());
    }
}
