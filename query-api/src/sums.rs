//! Sums over many rows: few at a time, and none for longer than its client waits. All other queries share the connections,
//! and are answered meanwhile.

use std::sync::Arc;
use std::time::Duration;

use http_server::Problem;
use sqlx::{PgConnection, PgPool, PgTransaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::reading::database;

/// At a time; whoever comes next waits for as long as a request may take.
const AT_ONCE_MAX: usize = 4;

/// A sum that takes longer is broken off by the database, before the request that wants it ends.
const TAKES_MAX: Duration = Duration::from_secs(8);

/// The connections that sums may have. Clones share them.
#[derive(Clone)]
pub(crate) struct Sums {
    pool: PgPool,
    turns: Arc<Semaphore>,
}

/// A connection for one sum.
pub(crate) struct Sum {
    transaction: PgTransaction<'static>,
    _turn: OwnedSemaphorePermit,
}

impl Sums {
    pub(crate) fn new(pool: PgPool) -> Self {
        Sums {
            pool,
            turns: Arc::new(Semaphore::new(AT_ONCE_MAX)),
        }
    }

    /// Waits for a turn.
    pub(crate) async fn begin(&self) -> Result<Sum, Problem> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.expect("never closed");
        let mut transaction = self.pool.begin().await.map_err(database)?;
        let limit = format!("set local statement_timeout = {}", TAKES_MAX.as_millis());
        let limited = sqlx::query(&limit).execute(&mut *transaction).await;
        limited.map_err(database)?;
        Ok(Sum {
            transaction,
            _turn: turn,
        })
    }
}

impl Sum {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}
