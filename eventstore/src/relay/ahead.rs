//! The pages of the log, read ahead of the producer by a task of their own.

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::event::RecordedEvent;
use crate::feed::{FeedError, Pages};

/// Events of a page read from the log.
const PAGE: usize = 2_000;

/// Pages read ahead of the producer.
const PAGES_AHEAD: usize = 2;

/// Ends with the page that failed.
pub(super) struct Ahead {
    pages: mpsc::Receiver<Result<Vec<RecordedEvent>, FeedError>>,
    _task: AbortOnDropHandle<()>,
}

pub(super) fn read_ahead(mut log: Pages) -> Ahead {
    let (sender, pages) = mpsc::channel(PAGES_AHEAD);
    let task = tokio::spawn(async move {
        loop {
            let page = log.next(PAGE).await;
            let failed = page.is_err();
            let empty = page.as_ref().is_ok_and(Vec::is_empty);
            if !empty && sender.send(page).await.is_err() {
                return;
            }
            if failed {
                return;
            }
        }
    });
    Ahead {
        pages,
        _task: AbortOnDropHandle::new(task),
    }
}

impl Ahead {
    /// The next page, never empty; none after an error. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<RecordedEvent>, FeedError>> {
        self.pages.recv().await
    }
}
