//! Comparing two generations as they were at one position, while both move on.

use read_models::search::{self, Snapshot};
use read_models::{Differences, products, stock, users};
use sqlx::PgTransaction;
use tokio::task::spawn_blocking;

use crate::model::ReadModel;

/// Two generations at one position.
pub(crate) enum Comparison {
    Indexes {
        live: Snapshot,
        rebuilt: Snapshot,
    },
    Tables {
        model: ReadModel,
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
            } => {
                let connection = &mut *transaction;
                Ok(match model {
                    ReadModel::Products => products::compare(connection, live, rebuilt).await?,
                    ReadModel::Stock => stock::compare(connection, live, rebuilt).await?,
                    ReadModel::Users => users::compare(connection, live, rebuilt).await?,
                    ReadModel::Search => anyhow::bail!("an index is compared by its snapshots"),
                })
            }
        }
    }
}
