//! postgres-es as its users have it: a `CqrsFramework` over its own tables and a pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use postgres_es::{PostgresCqrs, postgres_cqrs};
use sqlx::PgPool;
use uuid::Uuid;

use super::append::{all_ended, rate, start};
use super::baskets::{Basket, LINES, line};
use super::engine::Engine;
use super::figure::Rate;

/// As its documentation has them.
const TABLES: &str = "
create table events (
  aggregate_type text not null,
  aggregate_id   text not null,
  sequence       bigint check (sequence >= 0) not null,
  event_type     text not null,
  event_version  text not null,
  payload        json not null,
  metadata       json not null,
  timestamp      timestamp with time zone default (current_timestamp),
  primary key (aggregate_type, aggregate_id, sequence)
);
create table snapshots (
  aggregate_type   text not null,
  aggregate_id     text not null,
  last_sequence    bigint check (last_sequence >= 0) not null,
  current_snapshot bigint check (current_snapshot >= 0) not null,
  payload          json not null,
  timestamp        timestamp with time zone default (current_timestamp),
  primary key (aggregate_type, aggregate_id, last_sequence)
);";

pub(super) struct Peer {
    pool: PgPool,
    framework: Arc<PostgresCqrs<Basket>>,
}

impl Peer {
    /// A connection for each client: no client of it waits for another's.
    pub(super) async fn prepare(engine: &Engine, clients: usize) -> anyhow::Result<Self> {
        let scratch = engine.database(u32::try_from(clients)?).await?;
        sqlx::raw_sql(TABLES).execute(&scratch.pool).await?;
        Ok(Self {
            framework: Arc::new(postgres_cqrs(scratch.pool.clone(), Vec::new(), ())),
            pool: scratch.pool,
        })
    }

    /// The same commands on the same streams as ours, but for the command ids, which it does not have.
    pub(super) async fn commands_per_second(
        &self,
        clients: usize,
        duration: Duration,
    ) -> anyhow::Result<Rate> {
        let done = Arc::new(AtomicU64::new(0));
        let began = Instant::now();
        let clients = (0..clients).map(|_| {
            let (framework, done) = (Arc::clone(&self.framework), Arc::clone(&done));
            start(async move {
                while began.elapsed() < duration {
                    let basket = Uuid::now_v7().to_string();
                    let line = line(&basket);
                    for _ in 0..LINES {
                        framework
                            .execute(&basket, line.clone())
                            .await
                            .context("a command of postgres-es failed")?;
                        done.fetch_add(1, Ordering::Relaxed);
                        if began.elapsed() >= duration {
                            break;
                        }
                    }
                }
                Ok(())
            })
        });
        all_ended(clients.collect()).await?;
        Ok(rate(done.load(Ordering::Relaxed), began.elapsed()))
    }

    pub(super) async fn close(self) {
        self.pool.close().await;
    }
}
