//! What can be measured.

use clap::{Args, Subcommand};

use super::Output;

/// Rounds of a measurement: the sides take turns, so that what drifts on the machine drifts for all.
const ROUNDS: &str = "5";

#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure
    #[command(subcommand)]
    pub subject: BenchSubject,
    #[arg(long, value_enum, default_value_t, global = true)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum BenchSubject {
    /// Durable commands beside pgbench's single-row inserts and postgres-es, and the rate of a log that grows
    Append(AppendBench),
    /// The relay beside a bare producer of the same records; needs KAFKA_BROKERS
    Relay(RelayBench),
    /// Replay into a trivial view beside a binary scan, and into the search index beside Tantivy alone
    Replay(ReplayBench),
}

#[derive(Debug, Args)]
pub struct AppendBench {
    #[arg(long, value_name = "N", default_value = ROUNDS, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub rounds: u32,
    /// How long each side works in a round; pgbench counts whole seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub seconds: f64,
    /// Events of the log that grows while a snapshot is held open
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub events: u64,
}

#[derive(Debug, Args)]
pub struct RelayBench {
    #[arg(long, value_name = "N", default_value = ROUNDS, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub rounds: u32,
    /// Events that are published in a round
    #[arg(long, value_name = "N", default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub events: u64,
}

#[derive(Debug, Args)]
pub struct ReplayBench {
    #[arg(long, value_name = "N", default_value = ROUNDS, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub rounds: u32,
    /// Events that are replayed into the trivial view
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub events: u64,
    /// Events of products, each a document, that are replayed into the search index
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub products: u64,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=3_600.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("allowed: 0.1 to 3600".to_owned()),
    }
}
