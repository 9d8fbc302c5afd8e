//! `nakku create-admin`.

use super::with_database;
use crate::config::Config;
use crate::{first_start, installation, output};

pub(super) async fn run(config: &Config, email: &str) -> anyhow::Result<()> {
    with_database(config, async |database, _| {
        let pool = database.pool();
        let keys = installation::check(config, pool).await?;
        let store = installation::open_store(config, pool, &keys).await?;
        let made = first_start::make_administrator(config, &store, email).await;
        store.close().await;
        output::line(&made?.to_string())?;
        Ok(())
    })
    .await
}
