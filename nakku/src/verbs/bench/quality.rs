//! How well products are found by their names, and what each part of the ranking is worth.

mod catalogue;
mod postgres;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use read_models::Checkpoint;
use read_models::search::quality::{DEPTH, Evaluation, KnownItem, mean};
use read_models::search::{Document, Ranking, SearchRequest, SearchWriter, Snapshot};
use serde::Serialize;
use tokio::task::spawn_blocking;

use self::postgres::Peer;
use super::Bed;
use super::figure::median;
use crate::cli::{Output, QualityBench};
use crate::output::{self, Listed};

/// What the queries are made of.
#[derive(Debug, Serialize)]
struct Sampled {
    catalogue: String,
    products: usize,
    seed: u64,
    /// Distinct names that were drawn; as many queries are the name as it is.
    names: usize,
    cut: usize,
    cut_left_out: usize,
    typo: usize,
    typo_left_out: usize,
}

/// Mean reciprocal ranks of one way to search; absent where it cannot be asked.
#[derive(Debug, Serialize)]
struct Quality {
    search: String,
    exact: Option<f64>,
    cut: Option<f64>,
    typo: Option<f64>,
    /// Of all the queries.
    median_milliseconds: Option<f64>,
    note: Option<String>,
}

/// One query's share of a figure.
#[derive(Debug, Clone, Copy)]
struct Asked {
    reciprocal_rank: f64,
    took: Duration,
}

pub(super) async fn measure(
    bed: &Bed<'_>,
    options: &QualityBench,
    format: Output,
) -> anyhow::Result<()> {
    let documents = catalogue::read(options.catalogue.as_deref())?;
    let products = documents
        .iter()
        .filter_map(|document| document.product.as_ref());
    let names = products.map(|product| product.name.clone());
    let evaluation = Evaluation::sample(names, options.sample.try_into()?, options.seed);
    let evaluation = Arc::new(evaluation);
    output::list(format, &[sampled(options, documents.len(), &evaluation)])?;

    let peer = Peer::prepare(bed.engine, &documents).await?;
    let directory = bed.engine.directory().join("quality");
    let writer = spawn_blocking(move || index(&directory, documents)).await??;
    let mut rows = Vec::new();
    let left_out = Ranking::WITHOUT_ONE;
    let left_out = left_out.map(|(part, ranking)| (format!("ours without {part}"), ranking));
    for (search, ranking) in [("ours".to_owned(), Ranking::ALL)]
        .into_iter()
        .chain(left_out)
    {
        let (snapshot, evaluation) = (writer.snapshot(), Arc::clone(&evaluation));
        let asked = spawn_blocking(move || ours(&snapshot, &evaluation, ranking)).await??;
        rows.push(Quality::new(search, &asked));
    }
    rows.extend(peer.measure(&evaluation).await?);
    peer.close().await;
    output::list(format, &rows)?;
    Ok(())
}

fn sampled(options: &QualityBench, products: usize, evaluation: &Evaluation) -> Sampled {
    let catalogue = options.catalogue.as_deref().map(Path::display);
    Sampled {
        catalogue: catalogue.map_or_else(|| "demo".to_owned(), |path| path.to_string()),
        products,
        seed: options.seed,
        names: evaluation.exact.items.len(),
        cut: evaluation.cut.items.len(),
        cut_left_out: evaluation.cut.left_out,
        typo: evaluation.typo.items.len(),
        typo_left_out: evaluation.typo.left_out,
    }
}

/// All that becomes of a catalogue in the index; one commit.
fn index(directory: &Path, documents: Vec<Document>) -> anyhow::Result<SearchWriter> {
    let mut writer = SearchWriter::create(directory)?;
    for document in documents {
        writer.put(document)?;
    }
    writer.commit(&Checkpoint::default())?;
    Ok(writer)
}

/// The queries of each kind, asked of the index.
fn ours(
    snapshot: &Snapshot,
    evaluation: &Evaluation,
    ranking: Ranking,
) -> anyhow::Result<[Vec<Asked>; 3]> {
    let mut asked = [Vec::new(), Vec::new(), Vec::new()];
    for (asked, items) in asked.iter_mut().zip(kinds(evaluation)) {
        for item in items {
            let request = SearchRequest {
                limit: DEPTH,
                ..SearchRequest::words(&item.query)
            };
            let began = Instant::now();
            let found = snapshot.search_ranked(&request, ranking);
            let took = began.elapsed();
            let hits = found
                .with_context(|| format!("search for {:?}", item.query))?
                .hits;
            asked.push(Asked {
                reciprocal_rank: item.reciprocal_rank(hits.iter().map(|hit| hit.name.as_str())),
                took,
            });
        }
    }
    Ok(asked)
}

fn kinds(evaluation: &Evaluation) -> [&[KnownItem]; 3] {
    [&evaluation.exact, &evaluation.cut, &evaluation.typo].map(|known| known.items.as_slice())
}

impl Quality {
    fn new(search: String, asked: &[Vec<Asked>; 3]) -> Self {
        let [exact, cut, typo] = asked.each_ref().map(|asked| {
            let ranks: Vec<f64> = asked.iter().map(|it| it.reciprocal_rank).collect();
            (!ranks.is_empty()).then(|| mean(&ranks))
        });
        let all = asked.iter().flatten();
        let median_milliseconds = median(all.map(|it| it.took.as_secs_f64() * 1_000.0));
        tracing::info!(search, exact, cut, typo, median_milliseconds, "measured");
        Self {
            search,
            exact,
            cut,
            typo,
            median_milliseconds: Some(median_milliseconds),
            note: None,
        }
    }

    fn unavailable(search: String, why: String) -> Self {
        Self {
            search,
            exact: None,
            cut: None,
            typo: None,
            median_milliseconds: None,
            note: Some(why),
        }
    }
}

impl Listed for Sampled {
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("catalogue", false),
        ("products", true),
        ("seed", true),
        ("exact", true),
        ("cut", true),
        ("left out", true),
        ("typo", true),
        ("left out", true),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.catalogue.clone(),
            self.products.to_string(),
            self.seed.to_string(),
            self.names.to_string(),
            self.cut.to_string(),
            self.cut_left_out.to_string(),
            self.typo.to_string(),
            self.typo_left_out.to_string(),
        ]
    }
}

impl Listed for Quality {
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("MRR@10", false),
        ("exact", true),
        ("cut", true),
        ("typo", true),
        ("median ms", true),
        ("note", false),
    ];

    fn cells(&self) -> Vec<String> {
        let rank = |rank: Option<f64>| rank.map(|rank| format!("{rank:.3}"));
        let milliseconds = self.median_milliseconds.map(|it| format!("{it:.1}"));
        let shown = [
            rank(self.exact),
            rank(self.cut),
            rank(self.typo),
            milliseconds,
        ];
        let mut cells = vec![self.search.clone()];
        cells.extend(shown.map(|cell| output::or_dash(cell.as_deref())));
        cells.push(self.note.clone().unwrap_or_default());
        cells
    }
}
