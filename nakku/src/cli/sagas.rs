//! `nakku sagas`.

use clap::{Args, Subcommand};
use read_models::sagas::{SagaId, State};

use super::Output;

/// Sagas listed unless more are asked for: some screens full.
const LISTED: i64 = 1_000;

#[derive(Debug, Args)]
pub struct Sagas {
    /// What to do; lists them without a word
    #[command(subcommand)]
    pub action: Option<SagasAction>,
    /// List only those that are running, parked, completed or cancelled
    #[arg(long, value_name = "STATUS")]
    pub status: Option<State>,
    /// List at most so many
    #[arg(long, value_name = "NUMBER", default_value_t = LISTED, value_parser = clap::value_parser!(i64).range(1..))]
    pub limit: i64,
    #[arg(long, value_enum, default_value_t, global = true)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum SagasAction {
    /// Show one, with the events of its stream
    Show { id: SagaId },
    /// Let one go on that halts: it asks again for the step at which it does
    Retry { id: SagaId },
}
