//! A file of baskets. What a line needs is checked here; the rest of it is passed over.

use std::pin::pin;

use anyhow::{anyhow, bail};
use command_api::products::Lines;
use domain::{Quantity, Sku, StoreId};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::plan::Plan;
use crate::cli::{Demo, Output};
use crate::output;
use crate::verbs::import::input::{Input, NoMore};

/// Characters of a basket's and of a household's number: they become part of keys and e-mail addresses.
const NUMBER_LENGTH_MAX: usize = 40;

/// What a file came to.
pub(super) struct Reading {
    pub(super) plan: Plan,
    /// Lines that could not be used.
    pub(super) rejected: u64,
}

/// A basket as a line has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Basket {
    pub(super) basket: String,
    pub(super) store: String,
    pub(super) household: String,
    pub(super) items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Item {
    pub(super) sku: String,
    pub(super) quantity: u32,
}

#[derive(Serialize)]
struct Rejected<'a> {
    line: u64,
    detail: &'a str,
}

/// Reads as many baskets as are to be replayed, and says which lines are none.
///
/// # Errors
/// When it cannot be read to the end, or holds no basket, or more than a run takes.
pub(super) async fn read(
    input: Input,
    arguments: &Demo,
    shutdown: CancellationToken,
) -> anyhow::Result<Reading> {
    let mut source = pin!(input.into_stream(shutdown));
    let mut lines = Lines::default();
    let mut reading = Reading {
        plan: Plan::new(arguments.all_ok),
        rejected: 0,
    };
    let mut is_read = false;
    while !is_read && !reading.has_enough(arguments) {
        match source.next().await {
            Some(Ok(piece)) => lines.feed(&piece),
            Some(Err(NoMore::Interrupted)) => bail!("interrupted before the first order"),
            Some(Err(NoMore::Unreadable { name, source })) => {
                return Err(anyhow!("cannot read {name}: {source}"));
            }
            None => is_read = true,
        }
        reading.take(&mut lines, is_read, arguments)?;
        // A flood of lines must not keep others from this thread.
        tokio::task::consume_budget().await;
    }
    reading.settle(arguments)
}

impl Reading {
    fn take(&mut self, lines: &mut Lines, is_read: bool, arguments: &Demo) -> anyhow::Result<()> {
        while !self.has_enough(arguments) {
            let next = if is_read {
                lines.finish()?
            } else {
                lines.next_line()?
            };
            let Some(line) = next else { break };
            let parsed = line
                .text
                .map_err(|too_long| too_long.to_string())
                .and_then(|text| parse(&text));
            match parsed {
                Ok(basket) => self.plan.add(&basket),
                Err(detail) => {
                    self.rejected += 1;
                    reject(line.number, &detail, arguments.output)?;
                }
            }
        }
        Ok(())
    }

    fn has_enough(&self, arguments: &Demo) -> bool {
        // One more than a run takes shows that there are too many.
        let enough = arguments.orders.unwrap_or(Demo::ORDERS_MAX + 1);
        self.plan.baskets() >= enough as usize
    }

    fn settle(mut self, arguments: &Demo) -> anyhow::Result<Reading> {
        let baskets = self.plan.baskets();
        if baskets == 0 {
            bail!("there is no basket to replay");
        }
        let orders = match arguments.orders {
            Some(orders) => orders,
            None => u32::try_from(baskets).unwrap_or(u32::MAX),
        };
        if orders > Demo::ORDERS_MAX {
            let most = Demo::ORDERS_MAX;
            bail!("there are more than {most} baskets: say how many of them with --orders");
        }
        self.plan.settle(orders);
        Ok(self)
    }
}

fn reject(line: u64, detail: &str, format: Output) -> anyhow::Result<()> {
    match format {
        Output::Json => output::json(&Rejected { line, detail })?,
        Output::Table => output::line(&format!("line {line}: {detail}"))?,
    }
    Ok(())
}

/// # Errors
/// Why the line is no basket that could be ordered.
fn parse(line: &[u8]) -> Result<Basket, String> {
    let basket: Basket = serde_json::from_slice(line).map_err(not_json)?;
    let is_number = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=NUMBER_LENGTH_MAX).contains(&text.len()) && text.bytes().all(allowed)
    };
    for (member, text) in [("basket", &basket.basket), ("household", &basket.household)] {
        if !is_number(text) {
            return Err(format!(
                "{member} must be 1 to {NUMBER_LENGTH_MAX} of A-Z, a-z, 0-9, '-' and '_'"
            ));
        }
    }
    basket
        .store
        .parse::<StoreId>()
        .map_err(|error| format!("store: {error}"))?;
    if basket.items.is_empty() {
        return Err("items must not be empty".to_owned());
    }
    for (place, item) in basket.items.iter().enumerate() {
        item.sku
            .parse::<Sku>()
            .map_err(|error| format!("items/{place}/sku: {error}"))?;
        Quantity::new(item.quantity).map_err(|error| format!("items/{place}/quantity: {error}"))?;
    }
    Ok(basket)
}

/// The line has a number of its own already.
#[expect(
    clippy::needless_pass_by_value,
    reason = "what `map_err` calls has this signature"
)]
fn not_json(error: serde_json::Error) -> String {
    error
        .to_string()
        .replace(" at line 1 column ", " at column ")
}

#[cfg(test)]
mod tests;
