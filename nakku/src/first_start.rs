//! What a first start puts into an empty installation: an administrator, and a shop to look at.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, anyhow};
use command_api::products::NewProduct;
use command_api::users::create_administrator;
use command_api::{Password, derived_context, inventory, products};
use domain::stock::StockId;
use domain::{Email, Quantity};
use eventstore::{CommandContext, EventStore};
use futures::{StreamExt, TryStreamExt, stream};
use http_server::Problem;
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::config::Config;
use crate::seed;

/// The store that gets the demo stock.
pub const STORE: &str = "store-1";

/// Scope of the seeding's command ids. A start that was killed in the middle of it is completed by the next one: what has
/// happened does not happen again.
const SCOPE: &str = "demo-catalogue";

/// Commands under way at once: enough to fill batches, far below what the queue takes.
const COMMANDS_AT_ONCE: usize = 256;

/// An administrator that was made.
#[derive(Debug)]
pub struct Administrator {
    pub email: String,
    /// Where it was drawn: to be told now, it cannot be had again.
    pub drawn_password: Option<Password>,
}

/// The only time that a drawn password is told.
impl fmt::Display for Administrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "administrator {}", self.email)?;
        match &self.drawn_password {
            Some(password) => write!(f, " password {}", password.as_str()),
            None => Ok(()),
        }
    }
}

/// Makes the first administrator, unless there is any user.
///
/// # Errors
/// The address or the password is not one, or the log cannot be written.
pub async fn administrator(
    config: &Config,
    store: &EventStore,
) -> anyhow::Result<Option<Administrator>> {
    if has_streams(store, &["user"]).await? {
        return Ok(None);
    }
    make_administrator(config, store, &config.admin_email)
        .await
        .map(Some)
}

/// Makes an administrator with the password of the configuration, or a random one.
///
/// # Errors
/// As [`administrator`], and where the address belongs to a user.
pub async fn make_administrator(
    config: &Config,
    store: &EventStore,
    email: &str,
) -> anyhow::Result<Administrator> {
    let address = Email::from_str(email).with_context(|| format!("'{email}'"))?;
    let password = match &config.admin_password {
        Some(password) => Some(
            password
                .expose_secret()
                .parse::<Password>()
                .context("admin_password")?,
        ),
        None => None,
    };
    let made = create_administrator(store, address, password)
        .await
        .map_err(|problem| refused(&problem))
        .with_context(|| format!("the administrator {email} was not made"))?;
    Ok(Administrator {
        email: email.to_owned(),
        drawn_password: made.drawn_password,
    })
}

/// Puts the demo catalogue and its stock into an empty shop, and completes what an earlier start began.
///
/// # Errors
/// When the log cannot be written.
pub async fn demo_catalogue(store: &EventStore) -> anyhow::Result<()> {
    let Some(seeding) = Seeding::needed(store).await? else {
        return Ok(());
    };
    tracing::info!(
        products = seeding.catalogue.len(),
        store = STORE,
        "seeding the demo catalogue"
    );
    seeding.run().await
}

struct Seeding<'a> {
    store: &'a EventStore,
    catalogue: Vec<NewProduct>,
    correlation_id: String,
}

impl<'a> Seeding<'a> {
    /// None where the shop has other products or stock, or the seeding is complete.
    async fn needed(store: &'a EventStore) -> anyhow::Result<Option<Seeding<'a>>> {
        let seeding = Seeding {
            store,
            catalogue: seed::catalogue(),
            correlation_id: Uuid::now_v7().to_string(),
        };
        if seeding.has_happened("end").await? {
            return Ok(None);
        }
        let is_empty = !has_streams(store, &["product", "sku", "stock"]).await?;
        Ok((is_empty || seeding.has_happened("begin").await?).then_some(seeding))
    }

    /// The first product marks the beginning, so it goes alone; the last receipt marks the end.
    async fn run(&self) -> anyhow::Result<()> {
        let [first, others @ ..] = self.catalogue.as_slice() else {
            return Ok(());
        };
        let mut stocked: Vec<&NewProduct> = self.catalogue.iter().collect();
        stocked.retain(|product| quantity(product.sku.as_str()) > 0);
        let last = stocked.pop();

        self.create(first, "begin").await?;
        at_once(
            others
                .iter()
                .map(|product| self.create(product, product.sku.as_str())),
        )
        .await?;
        at_once(
            stocked
                .into_iter()
                .map(|product| self.receive(product, product.sku.as_str())),
        )
        .await?;
        match last {
            Some(last) => self.receive(last, "end").await,
            None => Ok(()),
        }
    }

    fn context(&self, name: &'static str, id: &str) -> CommandContext {
        CommandContext {
            correlation_id: Some(self.correlation_id.clone()),
            ..derived_context(self.store, name, SCOPE, &format!("{name} {id}"))
        }
    }

    async fn create(&self, product: &NewProduct, id: &str) -> anyhow::Result<()> {
        let context = self.context("create", id);
        let created = products::create(self.store, context, product.clone()).await;
        done(created).with_context(|| product.sku.to_string())
    }

    async fn receive(&self, product: &NewProduct, id: &str) -> anyhow::Result<()> {
        let context = self.context("receive", id);
        let stock = StockId::from_str(&format!("{STORE}:{}", product.sku))?;
        let quantity = Quantity::new(quantity(product.sku.as_str()))?;
        done(inventory::receive(self.store, context, stock, quantity).await)
            .with_context(|| product.sku.to_string())
    }

    /// Whether the marked command is in the log.
    async fn has_happened(&self, marker: &str) -> anyhow::Result<bool> {
        let name = if marker == "begin" {
            "create"
        } else {
            "receive"
        };
        let Some(command) = self.context(name, marker).command else {
            return Ok(false);
        };
        let happened =
            sqlx::query_scalar("select exists (select from events where command_id = $1)")
                .bind(command.id)
                .fetch_one(self.store.pool())
                .await?;
        Ok(happened)
    }
}

/// Runs commands, many at once; the first that fails ends it.
async fn at_once<F>(commands: impl Iterator<Item = F>) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    stream::iter(commands)
        .buffer_unordered(COMMANDS_AT_ONCE)
        .try_for_each(|()| std::future::ready(Ok(())))
        .await
}

/// A refusal by a rule leaves the shop as somebody else wanted it: a SKU that was taken meanwhile stays theirs.
fn done<T>(outcome: Result<T, Problem>) -> anyhow::Result<()> {
    match outcome {
        Ok(_) => Ok(()),
        Err(problem) if problem.kind().status.is_client_error() => {
            tracing::warn!(%problem, "left out of the demo catalogue");
            Ok(())
        }
        Err(problem) => Err(refused(&problem)),
    }
}

fn refused(problem: &Problem) -> anyhow::Error {
    let document = problem.document(None);
    anyhow!(document.detail)
}

/// Pieces of a product at first: the same on every machine, mostly plenty, sometimes few, now and then none. FNV-1a.
fn quantity(sku: &str) -> u32 {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let digest = sku.bytes().fold(OFFSET, |digest, byte| {
        (digest ^ u32::from(byte)).wrapping_mul(PRIME)
    });
    match digest % 100 {
        0..=3 => 0,
        4..=11 => 1 + digest / 100 % 9,
        _ => 12 + digest / 100 % 109,
    }
}

/// Whether the log holds any stream of these types: one index probe each.
async fn has_streams(store: &EventStore, types: &[&str]) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from unnest($1::text[]) t (name)
                        where exists (select from events e where e.aggregate_type = t.name))",
    )
    .bind(types)
    .fetch_one(store.pool())
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_of_the_catalogue_can_have_stock() {
        for product in seed::catalogue() {
            StockId::from_str(&format!("{STORE}:{}", product.sku)).unwrap();
        }
    }

    #[test]
    fn most_of_the_catalogue_is_in_stock_and_some_of_it_is_not() {
        let catalogue = seed::catalogue();
        let out = catalogue
            .iter()
            .filter(|product| quantity(product.sku.as_str()) == 0)
            .count();
        assert!((5..=70).contains(&out), "{out}");
        assert!(
            catalogue
                .iter()
                .all(|product| quantity(product.sku.as_str()) < 121)
        );
        assert_eq!(quantity("AB-BEE-001"), quantity("AB-BEE-001"));
    }
}
