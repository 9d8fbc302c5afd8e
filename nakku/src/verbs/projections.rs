//! `nakku projections`.

use read_models::status::{self, Status};

use super::with_database;
use crate::cli::Output;
use crate::config::Config;
use crate::output::{self, Listed, or_dash};

impl Listed for Status {
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("name", false),
        ("generation", true),
        ("state", false),
        ("owner", false),
        ("position", true),
        ("lag_events", true),
        ("lag_seconds", true),
        ("parked", true),
        ("failure", false),
    ];

    fn cells(&self) -> Vec<String> {
        let generation = self.generation.map(|generation| generation.to_string());
        vec![
            self.name.clone(),
            or_dash(generation.as_deref()),
            self.state.as_str().to_owned(),
            or_dash(self.owner.as_deref()),
            self.position.to_string(),
            self.lag_events.to_string(),
            format!("{:.1}", self.lag_seconds),
            self.parked.to_string(),
            or_dash(self.failure.as_deref()),
        ]
    }
}

pub(super) async fn run(config: &Config, format: Output) -> anyhow::Result<()> {
    with_database(config, async |database, _| {
        let rows = status::list(database.pool(), None).await?;
        Ok(output::list(format, &rows)?)
    })
    .await
}
