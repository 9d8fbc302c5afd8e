//! `nakku erase-user`.

use anyhow::{anyhow, bail};
use command_api::users;
use domain::UserId;
use eventstore::{CommandContext, EventStore, Executed};
use projections::ReadModel;
use read_models::status::{self, State};
use sqlx::PgPool;
use uuid::Uuid;

use super::requests::Requests;
use super::with_database;
use crate::config::Config;
use crate::{installation, output};

/// What shows personal data in the clear.
const IN_THE_CLEAR: [ReadModel; 2] = [ReadModel::Users, ReadModel::Deliveries];

pub(super) async fn run(config: &Config, id: Uuid) -> anyhow::Result<()> {
    with_database(config, async |database, shutdown| {
        let pool = database.pool();
        let keys = installation::check(config, pool).await?;
        let store = installation::open_store(config, pool, &keys).await?;
        let erased = erase(&store, id).await;
        store.close().await;
        let erased = erased?;
        output::line(&match erased.events {
            0 => format!("user {id} was erased before"),
            _ => format!("user {id} is erased, at position {}", erased.position),
        })?;
        let requests = Requests::new(config, pool, shutdown);
        let mut gone = Ok(());
        for model in IN_THE_CLEAR {
            gone = gone.and(follow(pool, &requests, model, erased.position).await);
        }
        requests.close().await;
        gone
    })
    .await
}

async fn erase(store: &EventStore, id: Uuid) -> anyhow::Result<Executed> {
    let erased = users::erase(store, CommandContext::new("erase"), UserId::new(id)).await;
    erased.map_err(|problem| anyhow!("user {id}: {}", problem.document(None).detail))
}

/// Waits until a read model shows nothing of the user any more; brings it there where nobody else does. One that was never
/// built shows nobody.
async fn follow(
    pool: &PgPool,
    requests: &Requests<'_>,
    model: ReadModel,
    position: i64,
) -> anyhow::Result<()> {
    let name = model.name();
    let has_come = async || {
        let generations = status::list(pool, Some(name)).await?;
        let Some(live) = generations.first() else {
            return Ok(true);
        };
        let why = match live.state {
            State::Live => return Ok(live.position >= position),
            State::Building | State::Previous => return Ok(false),
            State::Paused => "it is paused",
            State::Failed => live.failure.as_deref().unwrap_or("it stopped"),
        };
        bail!("the read model {name} shows the user until it goes on: {why}");
    };
    requests.carry_out(name, has_come).await
}
