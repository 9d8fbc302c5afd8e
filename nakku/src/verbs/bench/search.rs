//! Replay into the search index, beside Tantivy alone with the same documents.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use domain::product::{Command, Create};
use domain::{Product, ProductId, Sku};
use eventstore::{CommandContext, EventStore, FeedSource, Feeds, Stream};
use futures::{StreamExt, TryStreamExt, stream};
use projections::{ReadModel, Worker};
use read_models::products::{Money, Status};
use read_models::search::{Document, Encoded, ProductPart, index_plainly};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Bed;
use super::append::rate;
use super::figure::{Bounds, Figure, Rate};
use crate::cli::ReplayBench;
use crate::seed;

const BOUNDS: Bounds = Bounds {
    floor: 0.5,
    goal: 0.7,
};

/// Enough commands to fill batches.
const CREATED_AT_ONCE: usize = 1_024;

pub(super) async fn measure(bed: &Bed<'_>, options: &ReplayBench) -> anyhow::Result<Figure> {
    let (scratch, store) = bed.engine.log().await?;
    let products = products(options.products)?;
    create(&store, &products).await?;
    sqlx::query("vacuum (analyze) events")
        .execute(&scratch.pool)
        .await?;
    let documents: Vec<Document> = products.iter().map(document).collect();
    drop(products);
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        let directory = bed.engine.directory().join(format!("index-{number}"));
        let ours = replay(&store, &directory).await?;
        let limit = plainly(&documents, directory.join("plain")).await?;
        tracing::info!(
            number,
            ours = ours.round(),
            limit = limit.round(),
            "measured"
        );
        rounds.push((ours, limit));
        std::fs::remove_dir_all(&directory)
            .with_context(|| format!("remove {}", directory.display()))?;
    }
    store.close().await;
    scratch.pool.close().await;
    Ok(Figure::new(
        "replay into the search index",
        "events/s",
        "Tantivy alone",
        BOUNDS,
        rounds,
    ))
}

/// The demo catalogue again and again, under SKUs of their own.
fn products(count: u64) -> anyhow::Result<Vec<Create>> {
    let catalogue = seed::catalogue();
    let numbers = 0..count;
    numbers
        .zip(catalogue.iter().cycle())
        .map(|(number, product)| {
            Ok(Create {
                product_id: ProductId::from(Uuid::now_v7()),
                sku: format!("{}-{number}", product.sku).parse::<Sku>()?,
                price: product.price,
                details: product.details.clone(),
            })
        })
        .collect()
}

async fn create(store: &EventStore, products: &[Create]) -> anyhow::Result<()> {
    let create = |create: &Create| {
        let create = create.clone();
        async move {
            let stream = Stream::<Product>::beginning(create.product_id.to_string());
            let decide = move |product: &Product| product.decide(Command::Create(create.clone()));
            let context = CommandContext::new("fill");
            store.execute(stream, context, decide).await?;
            anyhow::Ok(())
        }
    };
    stream::iter(products.iter().map(create))
        .buffer_unordered(CREATED_AT_ONCE)
        .try_collect::<()>()
        .await
        .context("fill the log")
}

/// What becomes of the product in the index.
pub(super) fn document(create: &Create) -> Document {
    let details = create.details.clone();
    Document {
        product: Some(ProductPart {
            id: create.product_id.to_string(),
            name: details.name.into(),
            brand: details.brand.map(Into::into),
            description: details.description.map(Into::into),
            category: details.category.into(),
            size: details.size.map(Into::into),
            attributes: details.attributes.as_map().clone(),
            price: Money {
                amount_minor: create.price.amount_minor(),
                currency: create.price.currency().code().to_owned(),
            },
            status: Status::Active,
            version: 1,
        }),
        ..Document::new(create.sku.as_str())
    }
}

/// All that `nakku replay search` does where nothing was built yet, up to an index that is at the head and answers.
async fn replay(store: &EventStore, directory: &Path) -> anyhow::Result<Rate> {
    std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let head = store.read_head().await?.position;
    let feeds = Feeds::new(store.clone(), FeedSource::Store);
    let worker = Worker::new(feeds, ReadModel::Search, directory, "bench".to_owned())?;
    let began = Instant::now();
    let worked = worker.run_until_idle(&CancellationToken::new()).await?;
    let elapsed = began.elapsed();
    let reached: Option<i64> =
        sqlx::query_scalar("select max(position) from checkpoints where consumer = $1")
            .bind(worker.consumer())
            .fetch_one(store.pool())
            .await?;
    anyhow::ensure!(
        worked && reached == Some(head),
        "the index is at {reached:?} of {head}"
    );
    Ok(rate(u64::try_from(head)?, elapsed))
}

/// Documents that lie ready in memory; one commit.
async fn plainly(documents: &[Document], directory: std::path::PathBuf) -> anyhow::Result<Rate> {
    let encoded: Vec<Encoded> = documents
        .iter()
        .map(Encoded::new)
        .collect::<Result<_, _>>()?;
    let count = u64::try_from(encoded.len())?;
    let elapsed = spawn_blocking(move || index_plainly(&directory, encoded)).await??;
    Ok(rate(count, elapsed))
}
