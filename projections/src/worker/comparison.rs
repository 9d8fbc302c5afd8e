//! Comparing two generations as they were at one position, while both move on.

use read_models::Differences;
use read_models::search::{self, Snapshot};
use read_models::tables::Model;
use sqlx::PgTransaction;
use tokio::task::spawn_blocking;

/// Two generations at one position.
pub(crate) enum Comparison {
    Indexes {
        live: Snapshot,
        rebuilt: Snapshot,
    },
    Tables {
        model: &'static Model,
        /// Sees both as of then.
        transaction: PgTransaction<'static>,
        live: i32,
        rebuilt: i32,
    },
}

impl Comparison {
    /// What they disagree about.
    pub(crate) async fn run(self) -> anyhow::Result<Differences> {
        match self {
            Self::Indexes { live, rebuilt } => {
                Ok(spawn_blocking(move || search::compare(&live, &rebuilt)).await??)
            }
            Self::Tables {
                model,
                mut transaction,
                live,
                rebuilt,
            } => Ok(model.compare(&mut transaction, live, rebuilt).await?),
        }
    }
}
