//! A shop whose read models are kept by processes of their own.

use std::path::Path;
use std::process::ExitStatus;

use eventstore::EventStore;
use faults::{At, Process, Stalls, trade};
use projections::{ReadModel, verify};
use read_models::replays::{self, Kind, Replay, Request, State};
use read_models::search::{DirectoryId, Document, Snapshot};
use read_models::{generations, leases};
use serde_json::json;
use sqlx::PgPool;
use tempfile::TempDir;
use testing::Database;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::SOON;

pub(crate) struct Shop {
    pub(crate) database: Database,
    pub(crate) stalls: Stalls,
    /// Where these are watched.
    _beside: Database,
    pub(crate) store: EventStore,
    pub(crate) trade: trade::Trade,
    /// Holds the index, in a folder of its own that may be a file system of its own.
    _directory: TempDir,
    data_directory: std::path::PathBuf,
}

impl Shop {
    pub(crate) async fn open(seed: u64) -> Shop {
        let directory = TempDir::new().unwrap();
        let data_directory = directory.path().join("data");
        std::fs::create_dir(&data_directory).unwrap();
        let database = testing::database().await;
        let store = trade::open(database.pool.clone()).await.unwrap();
        let beside = testing::empty_database().await;
        Shop {
            stalls: Stalls::watch(&beside.pool.connect_options()).await,
            _beside: beside,
            trade: trade::Trade::new(store.clone(), seed),
            store,
            database,
            _directory: directory,
            data_directory,
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    pub(crate) fn data_directory(&self) -> &Path {
        &self.data_directory
    }

    pub(crate) fn consumer(&self, model: ReadModel) -> String {
        model.consumer(&self.data_directory).unwrap()
    }

    /// Starts a process that keeps these read models.
    pub(crate) async fn start(
        &self,
        models: &[ReadModel],
        holder: &str,
        at: Option<At>,
    ) -> Process {
        let models: Vec<&str> = models.iter().map(|model| model.name()).collect();
        let told = json!({
            "url": self.database.url, "data_directory": self.data_directory, "models": models,
            "holder": holder, "at": at,
        });
        let mut process = Process::start(env!("CARGO_BIN_EXE_faults"), "projection", &told);
        let ready: Option<String> = process.told().await;
        assert_eq!(ready.as_deref(), Some("ready"));
        process
    }

    /// Ends a process in order: its leases are free.
    pub(crate) async fn stop(&self, mut process: Process) {
        process.terminate();
        let status: ExitStatus = process.ended(SOON).await;
        assert!(status.success(), "{status}");
    }

    /// Whoever held a lease is dead: the next one need not wait until it expires.
    pub(crate) async fn expire_leases(&self) {
        sqlx::query("update leases set expires_at = clock_timestamp()")
            .execute(self.pool())
            .await
            .unwrap();
    }

    /// How far the live generation of a read model has come, as its readers see it; none while there is none.
    pub(crate) async fn position(&self, model: ReadModel) -> Option<i64> {
        let consumer = self.consumer(model);
        if model == ReadModel::Search {
            return Some(self.index().await?.position());
        }
        sqlx::query_scalar(
            "select c.position from projections p
             join checkpoints c on c.consumer = p.name and c.generation = p.live
             where p.name = $1",
        )
        .bind(consumer)
        .fetch_optional(self.pool())
        .await
        .unwrap()
    }

    /// The newest commit of the index that readers are told of.
    pub(crate) async fn index(&self) -> Option<Snapshot> {
        let consumer = self.consumer(ReadModel::Search);
        let location = leases::current_location(self.pool(), &consumer)
            .await
            .unwrap()?;
        Snapshot::open(&self.data_directory.join(location.location)).ok()
    }

    /// Waits until these read models have come to a position.
    pub(crate) async fn reached(&self, models: &[ReadModel], position: i64) {
        for model in models {
            testing::until(&format!("{model} is at {position}"), SOON, async || {
                self.position(*model).await.is_some_and(|at| at >= position)
            })
            .await;
        }
    }

    /// All that readers of the read models see.
    pub(crate) async fn content(&self) -> Content {
        let mut rows = Vec::new();
        for (model, table) in [
            ("products", "products"),
            ("stock", "stock"),
            ("users", "users"),
        ] {
            let live: Option<i32> =
                sqlx::query_scalar("select live from projections where name = $1")
                    .bind(model)
                    .fetch_one(self.pool())
                    .await
                    .unwrap();
            let Some(live) = live else { continue };
            // `xmin` names the transaction that wrote a row: one that is written anew as it was has another.
            let select = format!(
                "select to_jsonb(t)::text || ' ' || xmin::text from {model}_{live}.{table} t
                 union all
                 select c.position || ' ' || xmin::text from checkpoints c where consumer = '{model}' order by 1"
            );
            rows.push(
                sqlx::query_scalar(&select)
                    .fetch_all(self.pool())
                    .await
                    .unwrap(),
            );
        }
        let index = self.index().await;
        let documents =
            |index: &Snapshot| index.all_documents().unwrap().map(Result::unwrap).collect();
        Content {
            rows,
            position: index.as_ref().map(Snapshot::position),
            documents: index.as_ref().map(documents).unwrap_or_default(),
        }
    }

    /// Every read model equals what the log makes of it anew. Where nobody keeps one, this process does for so long.
    pub(crate) async fn verify(&self) {
        let never = CancellationToken::new();
        let report = verify::verify(&self.store, &self.data_directory, "verify", &never);
        let report = tokio::time::timeout(SOON * 2, report)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(report.findings, []);
    }

    /// Asks for something that a worker carries out.
    pub(crate) async fn request(&self, model: ReadModel, kind: Kind, compare_only: bool) -> Uuid {
        let projection = &self.consumer(model);
        generations::ensure(self.pool(), projection).await.unwrap();
        let request = Request {
            id: Uuid::now_v7(),
            projection,
            kind,
            compare_only,
            require_equal: false,
            requested_by: "test",
        };
        replays::request(self.pool(), &request)
            .await
            .unwrap()
            .replay
            .id
    }

    /// Waits until it is over, and how it ended.
    pub(crate) async fn ended(&self, id: Uuid) -> Replay {
        let mut last = None;
        testing::until("the replay has ended", SOON, async || {
            let replay = replays::read(self.pool(), id).await.unwrap().unwrap();
            let ended = replay.state.has_ended();
            last = Some(replay);
            ended
        })
        .await;
        last.unwrap()
    }

    pub(crate) async fn replay(&self, model: ReadModel) {
        let id = self.request(model, Kind::Replay, false).await;
        let replay = self.ended(id).await;
        assert_eq!(replay.state, State::Switched, "{replay:?}");
        let differences = replay.differences.unwrap();
        assert!(differences.is_empty(), "{differences:?}");
    }

    /// Nothing is left of generations that no row names: no schema, no checkpoint, no directory.
    pub(crate) async fn is_tidy(&self) -> bool {
        for model in ReadModel::ALL {
            let consumer = self.consumer(model);
            let Some(row) = generations::read(self.pool(), &consumer).await.unwrap() else {
                continue;
            };
            let registered = row.generations();
            let mut found: Vec<i32> = sqlx::query_scalar(
                "select generation from checkpoints where consumer = $1
                 union all
                 select substring(nspname::text from '[0-9]+$')::int from pg_namespace
                 where nspname like $2 || '\\_%'",
            )
            .bind(&consumer)
            .bind(model.name())
            .fetch_all(self.pool())
            .await
            .unwrap();
            if model == ReadModel::Search {
                let search = self.data_directory.join("search");
                for entry in std::fs::read_dir(search).unwrap() {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    if name != "directory-id" {
                        found.push(name.parse().unwrap());
                    }
                }
                for number in &registered {
                    let epochs = self.data_directory.join(format!("search/{number}"));
                    if std::fs::read_dir(epochs).is_ok_and(|epochs| epochs.count() > 1) {
                        return false;
                    }
                }
            }
            if found.iter().any(|number| !registered.contains(number)) {
                return false;
            }
        }
        true
    }

    /// The database's clock: seconds.
    pub(crate) async fn now(&self) -> f64 {
        sqlx::query_scalar("select extract(epoch from clock_timestamp())::float8")
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// The registered names of all read models here.
    pub(crate) fn consumers(&self) -> Vec<String> {
        ReadModel::ALL.map(|model| self.consumer(model)).to_vec()
    }

    /// Gives the data directory an identity.
    pub(crate) fn identify(&self) {
        DirectoryId::ensure(&self.data_directory).unwrap();
    }
}

/// What readers see.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    rows: Vec<Vec<String>>,
    position: Option<i64>,
    documents: Vec<Document>,
}

/// Writes many products into the log at once, past every rule; the last position.
pub(crate) async fn plant_products(pool: &PgPool, count: i64) -> i64 {
    sqlx::query(
        "insert into events (position, event_id, aggregate_type, aggregate_id, sequence,
                             event_type, event_version, payload, metadata, recorded_at)
         select head.position + n, gen_random_uuid(), 'product', gen_random_uuid()::text, 1,
                'product.created', '1.0',
                json_build_object('type', 'product.created', 'sku', 'planted-' || head.position + n,
                  'name', 'planted-' || head.position + n,
                  'price', json_build_object('amount_minor', n, 'currency', 'EUR')),
                '{}', clock_timestamp()
           from generate_series(1, $1) n,
                (select coalesce(max(position), 0) as position from events) head",
    )
    .bind(count)
    .execute(pool)
    .await
    .unwrap();
    sqlx::query_scalar("select max(position) from events")
        .fetch_one(pool)
        .await
        .unwrap()
}
