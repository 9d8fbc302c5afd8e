//! `nakku demo`: baskets replayed as customers of a running system, over its public API.
//!
//! | module | is |
//! |---|---|
//! | `baskets` | a file of baskets, read line by line |
//! | `plan` | pure: who orders what, where, and how it is paid |
//! | `system` | the running system: requests, and what is tried again |
//! | `staff`, `shelves` | a token that may fill shelves; products and stock that the plan needs |
//! | `customers` | a household's account and its session |
//! | `orders` | the replay itself: a closed loop of customers who wait |
//! | `outcomes` | what became of the orders, as a table |
//! | `progress` | a bar for each part of it |

mod baskets;
mod customers;
mod orders;
mod outcomes;
mod plan;
mod progress;
mod shelves;
mod staff;
mod system;

use anyhow::bail;
use tokio_util::sync::CancellationToken;

use self::baskets::Reading;
use self::customers::Customers;
use self::orders::Replay;
use self::plan::Plan;
use self::staff::Staff;
use self::system::System;
use super::Ended;
use super::import::input::Input;
use crate::cli::Demo;
use crate::config::Config;
use crate::shutdown;

/// 500 real baskets of three stores; where they are from stands beside them.
static BASKETS: &[u8] = include_bytes!("../../seed/demo-baskets.ndjson.gz");

pub(super) async fn run(config: &Config, arguments: Demo) -> anyhow::Result<Ended> {
    let input = match &arguments.file {
        Some(file) => Input::open(file)?,
        None => Input::embedded("the demo's baskets", BASKETS),
    };
    let shutdown = shutdown::on_signals()?;
    let system = System::new(&config.url)?;
    let preparing = prepare(config, &arguments, &system, input, &shutdown);
    let Some(prepared) = shutdown.run_until_cancelled(preparing).await else {
        bail!("interrupted before the first order");
    };
    let Prepared { reading, customers } = prepared?;

    let replay = Replay {
        system: &system,
        plan: &reading.plan,
        customers: &customers,
        options: &arguments,
    };
    let outcomes = replay.run(&shutdown).await;
    outcomes.print(arguments.output)?;
    let (settled, planned) = (outcomes.settled(), reading.plan.orders());
    if shutdown.is_cancelled() {
        bail!("interrupted after {settled} of {planned} orders");
    }
    if settled < u64::from(planned) {
        let url = &config.url;
        bail!("{url} does not answer any more: given up after {settled} of {planned} orders");
    }
    Ok(if reading.rejected == 0 && outcomes.all_ended() {
        Ended::Well
    } else {
        Ended::Badly
    })
}

struct Prepared<'a> {
    reading: Reading,
    customers: Customers<'a>,
}

/// Everything that the first order rests on.
async fn prepare<'a>(
    config: &Config,
    arguments: &Demo,
    system: &'a System,
    input: Input,
    shutdown: &CancellationToken,
) -> anyhow::Result<Prepared<'a>> {
    system.takes_orders().await?;
    let reading = baskets::read(input, arguments, shutdown.clone()).await?;
    let plan: &Plan = &reading.plan;
    shelves::fill(system, &Staff::new(config), plan).await?;
    let customers = Customers::of(system, plan);
    customers.log_in_all(plan).await?;
    Ok(Prepared { reading, customers })
}
