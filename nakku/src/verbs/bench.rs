//! `nakku bench`: this program beside what bounds it, in turns on one machine.
//!
//! Absolute figures are those of the machine; what counts is the ratio to the bound, measured in the same minutes on the
//! same engine.

mod append;
mod baskets;
mod engine;
mod figure;
mod gateway;
mod growth;
mod machine;
mod peer;
mod pgbench;
mod producer;
mod quality;
mod relay;
mod search;
mod view;

use anyhow::bail;

use self::engine::Engine;
use self::machine::Machine;
use crate::cli::{Bench, BenchSubject};
use crate::config::Config;
use crate::{output, shutdown, topics};

/// What every measurement gets.
struct Bed<'a> {
    config: &'a Config,
    engine: &'a Engine,
    /// Distinguishes what this run leaves for others to see, as topics.
    run: String,
}

pub(super) async fn run(config: &Config, arguments: Bench) -> anyhow::Result<()> {
    let needs_kafka = matches!(arguments.subject, BenchSubject::Relay(_));
    let kafka = topics::kafka_settings(config);
    if needs_kafka && kafka.is_none() {
        bail!("measuring the relay needs a broker: name one in KAFKA_BROKERS");
    }
    let shutdown = shutdown::on_signals()?;
    let Some(engine) = shutdown.run_until_cancelled(Engine::start(config)).await else {
        bail!("interrupted");
    };
    let engine = engine?;
    let bed = Bed {
        config,
        engine: &engine,
        run: format!("nakku-bench-{}", uuid::Uuid::now_v7().simple()),
    };
    let measured = shutdown.run_until_cancelled(measure(&bed, arguments)).await;
    // What was made is removed whatever became of the measurement.
    let cleared = match kafka.filter(|_| needs_kafka) {
        Some(settings) => relay::remove_topics(&settings, &bed.run).await,
        None => Ok(()),
    };
    let closed = engine.close().await;
    match measured {
        Some(measured) => measured.and(cleared).and(closed),
        None => {
            cleared.and(closed)?;
            bail!("interrupted")
        }
    }
}

async fn measure(bed: &Bed<'_>, arguments: Bench) -> anyhow::Result<()> {
    let machine = Machine::look(bed.engine).await?;
    machine.print(arguments.output)?;
    let figures = match &arguments.subject {
        BenchSubject::Append(options) => {
            let mut figures = append::measure(bed, options).await?;
            figures.push(growth::measure(bed, options.events).await?);
            figures
        }
        BenchSubject::Relay(options) => vec![relay::measure(bed, options).await?],
        BenchSubject::Replay(options) => vec![
            view::measure(bed, options).await?,
            search::measure(bed, options).await?,
        ],
        BenchSubject::Quality(options) => {
            return quality::measure(bed, options, arguments.output).await;
        }
        BenchSubject::Gateway(options) => {
            return gateway::measure(bed, options, arguments.output).await;
        }
    };
    output::list(arguments.output, &figures)?;
    Ok(())
}
