//! Keeping read models up to date.

use std::str::FromStr;

use projections::ReadModel;
use read_models::search::SearchReader;
use tokio_util::sync::CancellationToken;

use super::checks;
use super::part::{Part, Resources};
use super::workers::Worker;

/// The read models of these names, or all. `reader` is woken by the writer of the index.
pub(super) async fn part(
    resources: &Resources,
    names: &[String],
    reader: Option<SearchReader>,
) -> anyhow::Result<Part> {
    let feeds = resources.feeds().await?;
    let mut part = Part {
        needs_kafka: true,
        ..Part::default()
    };
    for model in models(names)? {
        let mut projecting = projections::Worker::new(
            feeds.clone(),
            model,
            &resources.config.data_dir,
            resources.holder.clone(),
        )?;
        if model == ReadModel::Search
            && let Some(reader) = &reader
        {
            projecting = projecting.waking(reader.clone());
        }
        let pool = resources.pool.clone();
        part.checks
            .push(checks::projection(pool, projecting.consumer().to_owned()));
        part.workers.push(Worker::new(
            model.name(),
            async move |stop: CancellationToken| projecting.run(stop).await,
        ));
    }
    Ok(part)
}

/// The read models that are named, each once; all where none is.
pub(crate) fn models(names: &[String]) -> anyhow::Result<Vec<ReadModel>> {
    if names.is_empty() {
        return Ok(ReadModel::ALL.to_vec());
    }
    let mut models = Vec::new();
    for name in names {
        let model = ReadModel::from_str(name)?;
        if !models.contains(&model) {
            models.push(model);
        }
    }
    Ok(models)
}
