//! The command line: roles and verbs. Settings are flags too; they are added from the list in `config`.

mod arguments;
mod bench;
mod demo;
mod sagas;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use uuid::Uuid;

pub use arguments::StreamId;
pub use bench::{
    AppendBench, Bench, BenchSubject, GatewayBench, QualityBench, RelayBench, ReplayBench,
};
pub use demo::Demo;
pub use sagas::{Sagas, SagasAction};

use crate::config::{self, Flags, Scope};

/// Event-sourced CQRS backend for quick commerce: one program, every role.
///
/// `nakku up` runs everything in one process with what it needs embedded. Each setting is a flag, an environment variable
/// and a member of the configuration file.
#[derive(Debug, Parser)]
#[command(
    name = "nakku",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// The configuration file, YAML; `nakku config --default` prints one
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings", help = CONFIG_HELP)]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

const CONFIG_HELP: &str =
    "The configuration file, YAML; `nakku config --default` prints one [env: NAKKU_CONFIG]";

/// A role, which runs until it is told to end, or a verb.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all roles in one process, with a private PostgreSQL unless DATABASE_URL is set
    ///
    /// Migrates, and creates missing topics where KAFKA_BROKERS is set. The first start seeds the demo catalogue, stock for
    /// one store and an administrator, whose password is printed once. Prints `ready http://HOST:PORT` when everything
    /// answers. Ends cleanly on SIGINT and SIGTERM.
    Up,
    /// Role: the one public door, which passes requests on to the others (port 8080)
    ///
    /// Finds the services by USER_SERVICE_URL, ORDER_SERVICE_URL, QUERY_SERVICE_URL and so on, each one or several addresses,
    /// else at the roles' own ports on this machine, and is known to them by NAKKU_SERVICE_TOKEN. Needs neither a database
    /// nor the keys file: it verifies tokens by the keys that the user service publishes.
    Gateway,
    /// Role: commands, POST and PUT (port 8081)
    CommandApi,
    /// Role: queries, GET (port 8082)
    QueryApi,
    /// Role: publishes the log to Kafka (health and metrics on port 8083)
    Relay(Relay),
    /// Role: keeps read models up to date (health and metrics on port 8084)
    Project(Project),
    /// Role: acts on what happened, as the sagas and their participants do (health and metrics on port 8085)
    React(React),
    /// Role: the operators' API (port 8086)
    AdminApi,
    /// Create the schema, or bring it to this version
    Migrate,
    /// Create the Kafka topics that are missing
    Topics,
    /// Make an administrator; a random password is printed once unless NAKKU_ADMIN_PASSWORD is set
    CreateAdmin(CreateAdmin),
    /// Take in a catalogue, NDJSON, also compressed by gzip
    ///
    /// A line is the body of `POST products`; members that it does not know become attributes, as text. A SKU that is
    /// nobody's becomes a product, any other product is brought to what its line says; what is so already is left alone, so
    /// an import can be repeated, and one that was broken off goes on. Of several lines with one SKU the last one counts; a
    /// discontinued product stays so, and its line is rejected. Lines that cannot go in are listed with number and reason;
    /// the rest does. Ends when the read models have it; exit 1 if any line was rejected.
    Import(Import),
    /// Make a user's personal data unreadable for good, and free the e-mail address
    ///
    /// Destroys the key that everything was encrypted under: the log, Kafka and backups of both keep what nobody can open.
    /// Ends when no profile shows the user any more. Backups of the database that are older have the key: after a restore,
    /// erase again who was erased since. Doing it twice changes nothing.
    EraseUser(EraseUser),
    /// Rebuild read models from the log beside the live ones, compare, and switch
    Replay(Replay),
    /// The state of each read model
    Projections(Listing),
    /// The state of the relay: what of the log is published
    Outbox(Listing),
    /// The sagas of the orders, the newest first: what each waits for, which ones halt, how those ended that did
    Sagas(Sagas),
    /// Events that a consumer could not handle, and those that wait behind them
    DeadLetters(DeadLetters),
    /// Read the log
    Events(Events),
    /// Check the log (no holes, versions contiguous) and every read model against a rebuild; exit 1 on differences
    Verify(Listing),
    /// Replay real baskets as customers of a running system, over HTTP
    ///
    /// Households register at NAKKU_URL (as household-NUMBER@demo.nakku.invalid, with passwords that anybody can work out:
    /// nothing for a shop that is open to the world), log in and order what they bought; each waits for its order to end.
    /// Without a file 500 baskets of three stores, which are part of the program.
    ///
    /// What the baskets need is put there first, through the API: products that the shop does not have come from a
    /// catalogue that is part of the program too, and stores receive as many pieces as are missing. That takes staff: the
    /// account NAKKU_ADMIN_EMAIL where NAKKU_ADMIN_PASSWORD is set, else the keys file of this installation, with which the
    /// verb signs a token of its own. A system on this machine needs neither to be set.
    ///
    /// Of a hundred payments some two are declined and one fails at first, always the same ones. Ends with a table: what
    /// became of the orders, and the time from placing to completion. Exit 1 where a line could not be read, or an order
    /// was refused or did not end.
    Demo(Demo),
    /// Measure this program beside what bounds it, on an engine of its own
    ///
    /// Works in a private PostgreSQL that is thrown away, or in scratch databases of the server in DATABASE_URL and scratch
    /// topics of KAFKA_BROKERS; never in an installation's log. The sides take turns; figures are medians of the rounds.
    Bench(Bench),
    /// Print the OpenAPI document
    Openapi,
    /// Print the configuration in force, with the origin of each value and secrets masked
    Config(PrintConfig),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Table,
    /// For programs: one JSON value a line
    Json,
}

#[derive(Debug, Args)]
pub struct Listing {
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Relay {
    /// Publish again from this position of the log; for emptied topics
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    pub from: Option<i64>,
}

#[derive(Debug, Args)]
pub struct Project {
    /// The read models to keep; all of them without a name
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct React {
    /// The reactors to run: fulfilment, inventory, payment, delivery, notification; all of them without a name
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Go on after this position of the log; for a log that was rewound by a restore
    #[arg(long, value_name = "POSITION", requires = "names", value_parser = clap::value_parser!(i64).range(0..))]
    pub from: Option<i64>,
}

#[derive(Debug, Args)]
pub struct CreateAdmin {
    #[arg(value_name = "EMAIL")]
    pub email: String,
}

#[derive(Debug, Args)]
pub struct Import {
    /// The catalogue; `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct EraseUser {
    /// The user's id, as in profiles and tokens
    #[arg(value_name = "ID")]
    pub id: Uuid,
}

#[derive(Debug, Args)]
pub struct Replay {
    /// The read models to rebuild
    #[arg(
        value_name = "NAME",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub names: Vec<String>,
    /// Rebuild every read model
    #[arg(long)]
    pub all: bool,
    /// Rebuild and compare, but do not switch
    #[arg(long)]
    pub compare_only: bool,
    /// Do not switch where the rebuilt one differs; exit 1
    #[arg(long)]
    pub require_equal: bool,
    /// Switch back to the generation before
    #[arg(long, conflicts_with_all = ["compare_only", "require_equal"])]
    pub rollback: bool,
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct DeadLetters {
    /// What to do; lists them without a word
    #[command(subcommand)]
    pub action: Option<DeadLettersAction>,
    #[arg(long, value_enum, default_value_t, global = true)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum DeadLettersAction {
    /// List them (the default)
    List {
        /// What was discarded, by whom and why, instead of what waits
        #[arg(long)]
        discarded: bool,
    },
    /// Show one, with its event, its error and what waits behind it
    Show { id: Uuid },
    /// Handle it again, then what waits behind it, in order
    Retry { id: Uuid },
    /// Skip it for good, in later replays too
    Discard {
        id: Uuid,
        /// Why; recorded with who
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub struct Events {
    /// Only those of one stream, as product/0198c0de-…
    #[arg(long, value_name = "TYPE/ID")]
    pub stream: Option<StreamId>,
    /// Only those of one event type, as product.created
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Only those that one request caused, directly or through others
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// Begin at this position
    #[arg(long, value_name = "POSITION", default_value_t = 1, value_parser = clap::value_parser!(i64).range(0..))]
    pub from: i64,
    /// Go on with new events until told to end
    #[arg(long)]
    pub follow: bool,
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct PrintConfig {
    /// Print the commented file of defaults instead
    #[arg(long, conflicts_with = "output")]
    pub default: bool,
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Parses a command line, the program's name first.
///
/// # Errors
/// Clap's, to be printed by its `exit`: usage errors (exit 2), and what `--help` and `--version` print (exit 0).
pub fn parse<I, T>(arguments: I) -> Result<(Cli, Flags), clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = command().try_get_matches_from(arguments)?;
    let flags = matches
        .subcommand()
        .map(|(_, matches)| config::flags_of(matches))
        .unwrap_or_default();
    let cli = Cli::from_arg_matches(&matches)?;
    Ok((cli, flags))
}

/// The whole command line: what is declared here, and the flags of the settings.
fn command() -> clap::Command {
    Cli::command()
        .args(config::flag_arguments(Scope::Every))
        .mut_subcommands(|subcommand| {
            let scopes: &[Scope] = match subcommand.get_name() {
                "up" => &[Scope::Up, Scope::React],
                "react" => &[Scope::Role, Scope::React],
                "command-api" => &[Scope::Role, Scope::CommandApi, Scope::Services],
                "gateway" => &[Scope::Role, Scope::Gateway, Scope::Services],
                "demo" => &[Scope::Demo],
                "query-api" | "relay" | "project" | "admin-api" => &[Scope::Role],
                _ => &[],
            };
            scopes.iter().fold(subcommand, |subcommand, scope| {
                subcommand.args(config::flag_arguments(*scope))
            })
        })
}

#[cfg(test)]
mod tests;
