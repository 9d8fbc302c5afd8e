//! The program's entry: command line and configuration first, so that nothing is started on a bad one.

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use nakku::cli::{self, Cli, Command};
use nakku::config::{Config, ConfigError};
use nakku::one_line::one_line;
use nakku::roles::UnknownReactor;
use nakku::roles::alone::{self, Role};
use nakku::roles::{gateway, up};
use nakku::verbs::{self, Ended};
use nakku::{output, telemetry};
use projections::UnknownModel;
use reactors::SettingError;

/// A rebuild allocates on every thread what it lets go of in the end: glibc's arenas would keep much of that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Usage and configuration errors.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let (cli, flags) = match cli::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    let ended = match verbs::without_configuration(&cli.command) {
        Some(ended) => ended,
        None => Config::load(cli.config.as_deref(), &flags)
            .map_err(Into::into)
            .and_then(|config| run(cli, config)),
    };
    match ended {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Badly) => ExitCode::FAILURE,
        // Whoever read the results has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nakku: {}", one_line(&error));
            exit_code(&error)
        }
    }
}

fn run(cli: Cli, config: Config) -> anyhow::Result<Ended> {
    if let Command::Config(print) = &cli.command {
        output::list(print.output, &config.report().settings)?;
        return Ok(Ended::Well);
    }
    telemetry::install(&config)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be set up")?
        .block_on(run_role_or_verb(cli.command, config))
}

async fn run_role_or_verb(command: Command, config: Config) -> anyhow::Result<Ended> {
    let role = match command {
        Command::Up => return up::run(config).await.map(|()| Ended::Well),
        Command::Gateway => return gateway::run(config).await.map(|()| Ended::Well),
        Command::CommandApi => Role::CommandApi,
        Command::QueryApi => Role::QueryApi,
        Command::Relay(relay) => Role::Relay { from: relay.from },
        Command::Project(project) => Role::Project {
            names: project.names,
        },
        Command::React(react) => Role::React {
            names: react.names,
            from: react.from,
        },
        Command::AdminApi => Role::AdminApi,
        verb => return verbs::run(verb, &config).await,
    };
    alone::run(role, config).await.map(|()| Ended::Well)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_usage = error.is::<ConfigError>()
        || error.is::<SettingError>()
        || error.is::<UnknownModel>()
        || error.is::<UnknownReactor>();
    if is_usage {
        ExitCode::from(EXIT_USAGE)
    } else {
        ExitCode::FAILURE
    }
}
