//! `nakku migrate`.

use super::with_any_database;
use crate::config::Config;
use crate::{output, schema};

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    with_any_database(config, async |database, _| {
        let (newest, applied) = schema::migrate(database.pool()).await?;
        output::line(&match applied {
            0 => format!("the schema is at migration {newest} already"),
            1 => format!("1 migration applied, the schema is at migration {newest}"),
            _ => format!("{applied} migrations applied, the schema is at migration {newest}"),
        })?;
        Ok(())
    })
    .await
}
