//! Reading the index while another thread or process writes it.

use std::future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sqlx::PgPool;
use tantivy::{Index, IndexReader, ReloadPolicy};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{
    IndexError, NAME, SearchError, SearchRequest, SearchResponse, Snapshot, index, parse_location,
    path,
};
use crate::{Behind, Unavailable, leases};

/// Between two looks at the index's `meta.json`. Beside the 10 ms of a commit this is short, and a
/// look costs a microsecond.
const COMMIT_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Between two looks at the row that names the directory. It changes when an index is switched or
/// its writer replaced; until then the old directory answers.
const LOCATION_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// After a failed reload; long enough not to fill the log.
const RELOAD_RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Answers searches from the newest commit. Clones share one view.
///
/// Does nothing by itself: [`follow`](Self::follow) keeps it up to date for as long as it is
/// polled.
#[derive(Clone, Default)]
pub struct SearchReader {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The directory that is followed.
    opened: watch::Sender<Option<Arc<Opened>>>,
    /// What answers. Still the directory before where the new one has not come as far.
    published: watch::Sender<Option<Published>>,
    committed: Notify,
}

struct Opened {
    dir: PathBuf,
    generation: i32,
    index: Index,
    reader: IndexReader,
}

#[derive(Clone)]
struct Published {
    generation: i32,
    snapshot: Arc<Snapshot>,
}

impl SearchReader {
    /// A reader without an index yet: every search is answered as behind.
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows the directory that the lease `search@<id>` names, and its commits. Never returns;
    /// dropping the future stops it. Errors are logged and tried again: what was read last goes
    /// on answering.
    pub async fn follow(&self, pool: &PgPool, data_dir: &Path, consumer: &str) {
        tokio::join!(
            self.follow_location(pool, data_dir, consumer),
            self.follow_commits()
        );
    }

    async fn follow_location(&self, pool: &PgPool, data_dir: &Path, consumer: &str) {
        let mut current = None;
        let mut failure = String::new();
        loop {
            match self
                .look_up_location(pool, data_dir, consumer, &mut current)
                .await
            {
                Ok(()) => failure.clear(),
                // The same trouble is reported once, not ten times a second.
                Err(error) if error == failure => {}
                Err(error) => {
                    tracing::warn!(consumer, error, "cannot open the search index");
                    failure = error;
                }
            }
            tokio::time::sleep(LOCATION_POLL_INTERVAL).await;
        }
    }

    async fn look_up_location(
        &self,
        pool: &PgPool,
        data_dir: &Path,
        consumer: &str,
        current: &mut Option<String>,
    ) -> Result<(), String> {
        let row = leases::current_location(pool, consumer)
            .await
            .map_err(|error| error.to_string())?;
        let Some(leases::Location { location, .. }) = row else {
            return Ok(());
        };
        if current.as_ref() == Some(&location) {
            return Ok(());
        }
        let (generation, epoch) = parse_location(&location)
            .ok_or_else(|| format!("the lease names `{location}`, which is no index"))?;
        let dir = path(data_dir, generation, epoch);
        self.switch_to(&dir, generation)
            .await
            .map_err(|error| error.to_string())?;
        *current = Some(location);
        Ok(())
    }

    /// Follows the commits of whichever directory is open. Never returns. Part of
    /// [`follow`](Self::follow); by itself for an index that no row names.
    pub async fn follow_commits(&self) {
        let mut opened = self.shared.opened.subscribe();
        loop {
            let current = opened.borrow_and_update().clone();
            tokio::select! {
                // Also leaves a reload behind that hangs on a lock of a frozen writer.
                _ = opened.changed() => {}
                () = self.reload_on_commit(current) => {}
            }
        }
    }

    async fn reload_on_commit(&self, opened: Option<Arc<Opened>>) {
        let Some(opened) = opened else {
            return future::pending().await;
        };
        let mut loaded = None;
        loop {
            let commit = CommitStamp::read(&opened.dir);
            if commit.is_some() && commit != loaded {
                match load(&opened).await {
                    Ok(snapshot) => {
                        self.publish(&opened, snapshot);
                        loaded = commit;
                    }
                    Err(error) => {
                        let dir = opened.dir.display();
                        tracing::warn!(%dir, %error, "cannot read the newest commit");
                        tokio::time::sleep(RELOAD_RETRY_INTERVAL).await;
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(COMMIT_POLL_INTERVAL) => {}
                () = self.shared.committed.notified() => {}
            }
        }
    }

    /// Opens another directory and answers from it: at once if it holds another generation, else
    /// as soon as it has come as far as what answers now. Nothing changes if it cannot be opened.
    pub async fn switch_to(&self, dir: &Path, generation: i32) -> Result<(), IndexError> {
        let dir = dir.to_owned();
        let (opened, snapshot) = blocking(move || {
            let opened = Arc::new(Opened::open(&dir, generation)?);
            let snapshot = opened.reload()?;
            Ok::<_, IndexError>((opened, snapshot))
        })
        .await?;
        self.shared.opened.send_replace(Some(opened.clone()));
        self.publish(&opened, snapshot);
        Ok(())
    }

    /// Says that the writer has committed, where it runs in the same process.
    pub fn notify(&self) {
        self.shared.committed.notify_one();
    }

    /// What answers now; `None` until an index is open.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.shared
            .published
            .borrow()
            .as_ref()
            .map(|published| published.snapshot.clone())
    }

    /// The generation that answers now.
    pub fn generation(&self) -> Option<i32> {
        self.shared
            .published
            .borrow()
            .as_ref()
            .map(|published| published.generation)
    }

    /// Waits until the index has come to a position (0: any).
    pub async fn await_position(
        &self,
        min_position: i64,
        deadline: Instant,
    ) -> Result<Arc<Snapshot>, Behind> {
        let mut published = self.shared.published.subscribe();
        let reached = published.wait_for(|published| {
            published
                .as_ref()
                .is_some_and(|it| it.snapshot.position() >= min_position)
        });
        if let Ok(Ok(reached)) = tokio::time::timeout_at(deadline, reached).await
            && let Some(published) = reached.as_ref()
        {
            return Ok(published.snapshot.clone());
        }
        let name = NAME.to_owned();
        Err(match self.snapshot() {
            Some(snapshot) => Behind::Position {
                name,
                position: snapshot.position(),
                wanted: min_position,
            },
            None => Behind::Building { name },
        })
    }

    /// Waits for a position and searches, off the async threads.
    pub async fn search(
        &self,
        request: SearchRequest,
        min_position: i64,
        deadline: Instant,
    ) -> Result<SearchResponse, SearchError> {
        let snapshot = self
            .await_position(min_position, deadline)
            .await
            .map_err(Unavailable::from)?;
        blocking(move || snapshot.search(&request)).await
    }

    /// Makes a snapshot the one that answers, unless that would be a step back: a directory that
    /// is no longer followed, or an epoch that has not come as far as the one before.
    fn publish(&self, opened: &Arc<Opened>, snapshot: Snapshot) {
        self.shared.published.send_if_modified(|published| {
            let followed = self.shared.opened.borrow().clone();
            if !followed.is_some_and(|followed| Arc::ptr_eq(&followed, opened)) {
                return false;
            }
            let generation = opened.generation;
            let ahead = published.as_ref().is_some_and(|current| {
                current.generation == generation
                    && current.snapshot.position() > snapshot.position()
            });
            if ahead {
                return false;
            }
            *published = Some(Published {
                generation,
                snapshot: Arc::new(snapshot),
            });
            true
        });
    }
}

impl std::fmt::Debug for SearchReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SearchReader")
            .field("generation", &self.generation())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}

impl Opened {
    fn open(dir: &Path, generation: i32) -> Result<Self, IndexError> {
        let index = index::open(dir)?;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(IndexError::tantivy(dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            generation,
            index,
            reader,
        })
    }

    fn reload(&self) -> Result<Snapshot, IndexError> {
        // The checkpoint first: what is loaded then may be newer than it says, never older.
        let checkpoint = index::checkpoint(&self.index, &self.dir)?;
        self.reader
            .reload()
            .map_err(IndexError::tantivy(&self.dir))?;
        Ok(Snapshot::new(self.reader.searcher(), checkpoint.position))
    }
}

async fn load(opened: &Arc<Opened>) -> Result<Snapshot, IndexError> {
    let opened = opened.clone();
    blocking(move || opened.reload()).await
}

/// Runs what blocks on a thread for that, and passes a panic on.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down; nobody waits for the answer.
            Err(_) => future::pending().await,
        },
    }
}

/// Tells one `meta.json` from the next: each commit puts a new file in its place.
#[derive(PartialEq, Eq)]
struct CommitStamp {
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl CommitStamp {
    fn read(dir: &Path) -> Option<Self> {
        let file = std::fs::metadata(dir.join(index::META_FILE)).ok()?;
        Some(Self {
            inode: file.ino(),
            bytes: file.len(),
            modified: file.modified().ok(),
        })
    }
}
