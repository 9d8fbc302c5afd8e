//! The gateway and its client where things go wrong: processes of this very program on a log of their own, and backends of
//! this process that are slow, refuse, or close what is idle. Each figure beside the most that it may be.

mod backend;
mod child;
mod dead;
mod exposition;
mod hops;
mod idle;
mod killed;
mod load;
mod overhead;
mod row;
mod shop;
mod slow;

use std::time::Duration;

use self::shop::{Fleet, Shop};
use super::Bed;
use crate::cli::{GatewayBench, Output};
use crate::output;

/// How much is asked, and for how long.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Requests a second.
    rate: u32,
    /// Of one measured phase.
    phase: Duration,
}

pub(super) async fn measure(
    bed: &Bed<'_>,
    options: &GatewayBench,
    format: Output,
) -> anyhow::Result<()> {
    let pace = Pace {
        rate: options.rate,
        phase: Duration::from_secs_f64(options.seconds),
    };
    let shop = Shop::open(bed.engine).await?;
    let mut fleet = Fleet::start(&shop).await?;
    let mut rows = killed::measure(&shop, &mut fleet, pace).await?;
    tracing::info!(scenario = "killed", "measured");
    rows.extend(dead::measure(&shop, &mut fleet, pace).await?);
    tracing::info!(scenario = "all dead", "measured");
    fleet.end().await?;
    rows.extend(hops::measure(&shop, pace).await?);
    tracing::info!(scenario = "two hops", "measured");
    rows.extend(idle::measure(pace).await?);
    tracing::info!(scenario = "idle race", "measured");
    rows.push(slow::measure(pace).await?);
    tracing::info!(scenario = "slow instance", "measured");
    rows.push(overhead::measure(&shop, pace).await?);
    tracing::info!(scenario = "overhead", "measured");
    shop.close().await;
    output::list(format, &rows)?;
    Ok(())
}
