//! How long the machine stood still. Bounds on how soon somebody reacts leave that time out: nobody could have.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Between two signs of life.
const PULSE: Duration = Duration::from_millis(50);
/// What a sign of life may take beyond that before the rest counts.
const USUAL: Duration = Duration::from_millis(100);

/// Watches a machine by a small durable commit, again and again, on the disk and the processors that the watched use. Ends
/// when it is dropped.
#[derive(Debug)]
pub struct Stalls {
    watched: Arc<Mutex<Watched>>,
    watch: JoinHandle<()>,
}

#[derive(Debug)]
struct Watched {
    stalled: Duration,
    alive_at: Instant,
}

impl Watched {
    fn so_far(&self) -> Duration {
        self.stalled + self.alive_at.elapsed().saturating_sub(PULSE + USUAL)
    }
}

impl Stalls {
    /// Begins to watch a server, in a table of its own there and over a connection of its own: nobody else is waited for.
    ///
    /// # Panics
    /// When the table cannot be made.
    pub async fn watch(server: &PgConnectOptions) -> Stalls {
        let server = server.clone();
        let mut connection = server.connect().await.expect("the server is up");
        sqlx::raw_sql("create table pulse as select clock_timestamp() as at")
            .execute(&mut connection)
            .await
            .expect("a database without such a table");
        let watched = Arc::new(Mutex::new(Watched {
            stalled: Duration::ZERO,
            alive_at: Instant::now(),
        }));
        let seen = Arc::clone(&watched);
        let watch = tokio::spawn(async move {
            loop {
                tokio::time::sleep(PULSE).await;
                if beat(&mut connection).await.is_ok() {
                    let mut watched = seen.lock().expect("no panic while held");
                    watched.stalled = watched.so_far();
                    watched.alive_at = Instant::now();
                } else if let Ok(again) = server.connect().await {
                    // While the server was down nobody was alive.
                    connection = again;
                }
            }
        });
        Stalls { watched, watch }
    }

    /// All in all, from the beginning until now.
    ///
    /// # Panics
    /// When the watch has panicked.
    pub fn so_far(&self) -> Duration {
        self.watched.lock().expect("no panic while held").so_far()
    }
}

async fn beat(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("update pulse set at = clock_timestamp()")
        .execute(connection)
        .await?;
    Ok(())
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
