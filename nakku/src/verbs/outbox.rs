//! `nakku outbox`.

use eventstore::{Relay, RelayStatus};

use super::with_database;
use crate::cli::Output;
use crate::config::Config;
use crate::output::{self, Listed, or_dash};

impl Listed for RelayStatus {
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("head", true),
        ("published", true),
        ("pending", true),
        ("oldest_seconds", true),
        ("leader", false),
        ("attempts", true),
        ("error", false),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.head.to_string(),
            self.published.to_string(),
            self.pending.to_string(),
            format!("{:.1}", self.oldest_seconds),
            or_dash(self.leader.as_deref()),
            self.attempts.to_string(),
            or_dash(self.error.as_deref()),
        ]
    }
}

pub(super) async fn run(config: &Config, format: Output) -> anyhow::Result<()> {
    with_database(config, async |database, _| {
        let status = Relay::status(database.pool()).await?;
        Ok(output::list(format, &[status])?)
    })
    .await
}
