//! Waiting for what was asked of a read model (see [`read_models::replays`]).

use std::time::Duration;

use read_models::replays::{self, Replay};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::worker::Worker;

/// Between two looks at a replay's row, and between two tries for a lease that another holds.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Waits until a replay is finished, and tells how it goes a few times a second. Where nobody holds the lease,
/// `worker`, if there is one for this read model, does the work, also when its owner ends on the way.
///
/// # Errors
/// Where the worker cannot do it, or `shutdown` comes first: the request stays.
pub async fn await_finished(
    pool: &PgPool,
    id: Uuid,
    worker: Option<&Worker>,
    shutdown: &CancellationToken,
    mut progress: impl FnMut(&Replay),
) -> anyhow::Result<Replay> {
    let end = shutdown.child_token();
    let working = async {
        let Some(worker) = worker else {
            return std::future::pending().await;
        };
        while !end.is_cancelled() && !worker.run_until_idle(shutdown).await? {
            end.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL))
                .await;
        }
        anyhow::Ok(())
    };
    let looking = async {
        loop {
            let replay = replays::read(pool, id).await?;
            let replay = replay.ok_or_else(|| anyhow::anyhow!("there is no replay {id}"))?;
            progress(&replay);
            if replay.state.has_ended() {
                return Ok(replay);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = shutdown.cancelled() => anyhow::bail!("replay {id} was not awaited"),
            }
        }
    };
    tokio::pin!(working, looking);
    tokio::select! {
        replay = &mut looking => {
            // A worker of ours finishes what it is at and releases the lease.
            end.cancel();
            if worker.is_some() {
                working.await?;
            }
            replay
        }
        worked = &mut working => {
            worked?;
            looking.await
        }
    }
}
