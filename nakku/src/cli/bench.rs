//! What can be measured.

use std::path::PathBuf;

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
    /// How well products are found by their names: as they are, being typed, misspelt
    ///
    /// Prints the mean reciprocal rank of the first ten hits for names drawn from a catalogue: of the search, of the search
    /// without each of its parts, and of PostgreSQL's full text search and pg_trgm on the same queries.
    Quality(QualityBench),
    /// The gateway and its client where instances are killed, dead, slow, or close connections, and what a hop costs
    ///
    /// Starts this program several times, as the roles behind a gateway and as the gateway itself, on ports that the system
    /// chooses. Load comes on a fixed schedule: what had to wait for its turn has waited.
    Gateway(GatewayBench),
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

#[derive(Debug, Args)]
pub struct QualityBench {
    /// A catalogue as `import` takes it; the demo catalogue unless given
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,
    /// Distinct names that are drawn; all of them where there are fewer
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: u32,
    /// What they are drawn by
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub struct GatewayBench {
    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// How long each phase is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub seconds: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=3_600.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("allowed: 0.1 to 3600".to_owned()),
    }
}
