//! Awaiting a condition with a bounded deadline.

use std::time::Duration;

use tokio::time::Instant;

/// Short enough that a test loses nothing to it, long enough not to compete with what it waits for.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `condition` holds, asking again every few milliseconds.
///
/// `until("the index is at position 3", Duration::from_secs(5), async || index.position().await >= 3).await`
///
/// # Panics
/// With `what` when it does not hold within `deadline`; a condition that hangs counts as one that does not hold.
pub async fn until(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + deadline;
    loop {
        match tokio::time::timeout_at(end, condition()).await {
            Ok(true) => return,
            Ok(false) if Instant::now() < end => tokio::time::sleep(POLL_INTERVAL).await,
            Ok(false) | Err(_) => panic!("waited {deadline:?} in vain until {what}"),
        }
    }
}
