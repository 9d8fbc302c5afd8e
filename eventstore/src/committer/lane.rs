//! One connection to the log, and what commits on it: deciding, sending, settling a batch at a time.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::watch;

use super::batch::Batch;
use super::failure::Failure;
use super::request::{Reply, Request};
use crate::state::StateCache;

/// After this many conflicts in a row a group is decided with the lock in hand, where it cannot conflict.
const CONFLICTS_BEFORE_LOCK: u32 = 2;

/// Waits between tries while the store cannot be reached.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(1);

/// The lock that `append` takes; a batch decided under it takes it first.
const LOCK_FIRST: &str = "select pg_advisory_xact_lock(7305801)";

/// How long the server waits for a process that does not read what it is sent. One that freezes in the middle
/// of the states of a locked round would hold the lock for ever: neither of the other limits ends a write.
const UNREAD_MAX: &str = "2s";

/// How long the server lets a frozen process keep the lock between two statements of a locked round.
const LOCKED_IDLE_MAX: &str = "set local idle_in_transaction_session_timeout = '500ms'";

/// Commits one batch at a time on a connection of its own.
pub(super) struct Lane {
    options: PgConnectOptions,
    pub(super) connection: Option<PgConnection>,
    /// For what is off the path of a batch: snapshots.
    pub(super) pool: PgPool,
    pub(super) cache: Arc<StateCache>,
    pub(super) head: Arc<watch::Sender<i64>>,
}

impl Lane {
    pub(super) fn new(pool: PgPool, cache: Arc<StateCache>, head: Arc<watch::Sender<i64>>) -> Self {
        let options = (*pool.connect_options())
            .clone()
            // Waiting longer means that something is wrong; both count as not committed and are retried.
            .options([("lock_timeout", "10s"), ("statement_timeout", "30s")])
            .options([("tcp_user_timeout", UNREAD_MAX)])
            .application_name("nakku committer");
        Self {
            options,
            connection: None,
            pool,
            cache,
            head,
        }
    }

    /// Commits what can be committed; hands back what is to be decided again, ahead of newer commands.
    pub(super) async fn commit(&mut self, requests: Vec<Request>) -> Vec<Request> {
        if requests.is_empty() {
            return requests;
        }
        let (contested, others): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .partition(|request| request.conflicts >= CONFLICTS_BEFORE_LOCK);
        let mut again = Vec::new();
        if !contested.is_empty() {
            again.extend(self.commit_locked(contested).await);
        }
        if !others.is_empty() {
            again.extend(self.commit_batch(others).await);
        }
        again
    }

    async fn commit_batch(&mut self, requests: Vec<Request>) -> Vec<Request> {
        let streams: Vec<_> = requests
            .iter()
            .flat_map(|request| request.streams.iter().cloned())
            .collect();
        let mut wait = RETRY_WAIT_MIN;
        let states = loop {
            match self.load(&streams).await {
                Ok(states) => break states,
                Err(error) => {
                    tracing::warn!(%error, "cannot load states");
                    pause(&mut wait).await;
                }
            }
        };
        let (batch, mut again) = Batch::decide(requests, &states);
        if batch.drafts.is_empty() {
            return again;
        }
        fail::fail_point!("append-decided");
        again.splice(0..0, self.send_until_settled(batch, false).await);
        again
    }

    async fn load(
        &mut self,
        streams: &[crate::stream::StreamReference],
    ) -> sqlx::Result<std::collections::HashMap<crate::stream::StreamKey, crate::state::Folded>>
    {
        let mut connection = self.connection().await?;
        let states = self.cache.load(&mut connection, streams).await;
        // A connection that failed is not used again: what state it is in is unknown.
        if states.is_ok() {
            self.connection = Some(connection);
        }
        states
    }

    /// Sends a batch until its outcome is known. `sent` says that it may have been committed already.
    async fn send_until_settled(&mut self, batch: Batch, mut sent: bool) -> Vec<Request> {
        metrics::histogram!("nakku_append_batch_size").record(batch.drafts.len() as f64);
        let mut wait = RETRY_WAIT_MIN;
        loop {
            let failure = match self.send(&batch).await {
                Ok(rows) => {
                    fail::fail_point!("append-committed");
                    match self.settle(&batch, &rows, sent).await {
                        Ok(settled) => return self.conclude(batch, &settled),
                        // What the batch came to is in the log; asking again is safe.
                        Err(error) => Failure::Unknown(error),
                    }
                }
                Err(failure) => failure,
            };
            match failure {
                Failure::NotCommitted(error) => {
                    tracing::warn!(%error, "a batch was not committed and is sent again");
                }
                Failure::Unknown(error) => {
                    tracing::warn!(%error, "the outcome of a batch is unknown; it is sent again");
                    sent = true;
                }
                Failure::BadRequest(error) => return self.halve(batch, &error).await,
            }
            pause(&mut wait).await;
        }
    }

    async fn send(
        &mut self,
        batch: &Batch,
    ) -> Result<Vec<(String, Option<i64>, Option<i64>)>, Failure> {
        // Nothing has been sent before there is a connection.
        let mut connection = self.connection().await.map_err(Failure::NotCommitted)?;
        let rows = batch.send(&mut connection).await.map_err(Failure::of);
        match &rows {
            Ok(_) | Err(Failure::BadRequest(_)) => self.connection = Some(connection),
            Err(Failure::NotCommitted(_) | Failure::Unknown(_)) => {}
        }
        rows
    }

    pub(super) async fn connection(&mut self) -> sqlx::Result<PgConnection> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => PgConnection::connect_with(&self.options).await,
        }
    }

    /// One request of the batch cannot be stored and must not fail the others: each half is decided and
    /// sent by itself, until the culprit stands alone.
    async fn halve(&mut self, batch: Batch, error: &sqlx::Error) -> Vec<Request> {
        let mut requests: Vec<Request> = batch
            .drafts
            .into_iter()
            .map(|draft| draft.request)
            .collect();
        if requests.len() == 1 {
            tracing::error!(%error, "a command cannot be stored");
            for request in requests {
                request.reply(Reply::Invalid(format!("cannot be stored: {error}")));
            }
            return Vec::new();
        }
        let second = requests.split_off(requests.len() / 2);
        let mut again = Box::pin(self.commit_batch(requests)).await;
        again.extend(Box::pin(self.commit_batch(second)).await);
        again
    }

    /// Decides with the lock in hand, so that no stream can move meanwhile. The only place where the lock
    /// spans round trips; bounded by the server should this process freeze.
    async fn commit_locked(&mut self, requests: Vec<Request>) -> Vec<Request> {
        metrics::counter!("nakku_append_locked_rounds_total").increment(1);
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "cannot connect for a locked round");
                tokio::time::sleep(RETRY_WAIT_MIN).await;
                return requests;
            }
        };
        let streams: Vec<_> = requests
            .iter()
            .flat_map(|request| request.streams.iter().cloned())
            .collect();
        for stream in &streams {
            self.cache.forget(&stream.key);
        }
        let states = match self.lock_and_load(&mut connection, &streams).await {
            Ok(states) => states,
            Err(error) => {
                // Closing the connection ends the transaction.
                tracing::warn!(%error, "a locked round did not come to a decision");
                return requests;
            }
        };
        let (batch, mut again) = Batch::decide(requests, &states);
        fail::fail_point!("append-locked");
        let rows = batch.send(&mut connection).await;
        let committed = match rows {
            Ok(rows) => match sqlx::query("commit").execute(&mut connection).await {
                Ok(_) => Ok(rows),
                Err(error) => Err(Failure::Unknown(error)),
            },
            // The transaction is over without a commit.
            Err(error) => Err(match Failure::of(error) {
                Failure::BadRequest(error) => Failure::BadRequest(error),
                Failure::NotCommitted(error) | Failure::Unknown(error) => {
                    Failure::NotCommitted(error)
                }
            }),
        };
        let rest = match committed {
            Ok(rows) => {
                self.connection = Some(connection);
                match self.settle(&batch, &rows, false).await {
                    Ok(settled) => self.conclude(batch, &settled),
                    Err(_) => self.send_until_settled(batch, true).await,
                }
            }
            Err(Failure::BadRequest(error)) => self.halve(batch, &error).await,
            Err(Failure::NotCommitted(_)) => self.send_until_settled(batch, false).await,
            Err(Failure::Unknown(_)) => self.send_until_settled(batch, true).await,
        };
        again.splice(0..0, rest);
        again
    }

    async fn lock_and_load(
        &mut self,
        connection: &mut PgConnection,
        streams: &[crate::stream::StreamReference],
    ) -> sqlx::Result<std::collections::HashMap<crate::stream::StreamKey, crate::state::Folded>>
    {
        for statement in ["begin", LOCKED_IDLE_MAX, LOCK_FIRST] {
            sqlx::query(statement).execute(&mut *connection).await?;
        }
        self.cache.load(connection, streams).await
    }
}

async fn pause(wait: &mut Duration) {
    tokio::time::sleep(*wait).await;
    *wait = (*wait * 2).min(RETRY_WAIT_MAX);
}
