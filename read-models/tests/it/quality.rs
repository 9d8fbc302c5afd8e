//! How well products are found, on both catalogues.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use read_models::products::{Money, Status};
use read_models::search::quality::{DEPTH, Evaluation, KnownItems, mean};
use read_models::search::{Document, ProductPart, SearchRequest, Snapshot};
use serde::Deserialize;

use crate::shop::Shop;

#[derive(Deserialize)]
struct Line {
    sku: String,
    name: String,
    brand: Option<String>,
    category: Vec<String>,
    size: Option<String>,
    price: Money,
}

fn catalogue(file: &str) -> Vec<Document> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nakku/seed");
    let opened = File::open(folder.join(file)).unwrap();
    let reader: Box<dyn Read> = if file.ends_with(".gz") {
        Box::new(GzDecoder::new(opened))
    } else {
        Box::new(opened)
    };
    BufReader::new(reader)
        .lines()
        .map(|line| document(&line.unwrap()))
        .collect()
}

fn document(line: &str) -> Document {
    let line: Line = serde_json::from_str(line).unwrap();
    Document {
        product: Some(ProductPart {
            id: format!("id-{}", line.sku),
            name: line.name,
            brand: line.brand,
            description: None,
            category: line.category,
            size: line.size,
            attributes: Default::default(),
            price: line.price,
            status: Status::Active,
            version: 1,
        }),
        ..Document::new(line.sku)
    }
}

/// Of both catalogues.
const SAMPLE: usize = 300;
const SEED: u64 = 20_251_122;

/// What must be kept of names as they are, names that are being typed, and misspelt names.
const FLOORS: [f64; 3] = [0.9, 0.85, 0.8];

/// The mean reciprocal rank of what these queries look for.
fn mean_reciprocal_rank(snapshot: &Snapshot, known: &KnownItems) -> f64 {
    let ranks = known.items.iter().map(|item| {
        let request = SearchRequest {
            limit: DEPTH,
            ..SearchRequest::words(&item.query)
        };
        let hits = snapshot.search(&request).unwrap().hits;
        item.reciprocal_rank(hits.iter().map(|hit| hit.name.as_str()))
    });
    mean(&ranks.collect::<Vec<_>>())
}

fn evaluate(file: &str) {
    let documents = catalogue(file);
    let products = documents
        .iter()
        .filter_map(|document| document.product.as_ref());
    let names: Vec<String> = products.map(|product| product.name.clone()).collect();
    let evaluation = Evaluation::sample(names, SAMPLE, SEED);
    let shop = Shop::with(documents);
    let snapshot = shop.writer.snapshot();
    let kinds = [&evaluation.exact, &evaluation.cut, &evaluation.typo];
    let measured = kinds.map(|known| mean_reciprocal_rank(&snapshot, known));
    println!("{file}, seed {SEED}, {SAMPLE} names: exact, cut, typo {measured:.3?}");
    for (kind, (measured, floor)) in ["exact", "cut", "typo"]
        .iter()
        .zip(measured.iter().zip(FLOORS))
    {
        assert!(
            *measured >= floor,
            "{file}: {kind} {measured:.3}, seed {SEED}"
        );
    }
}

#[test]
fn products_of_the_large_catalogue_are_found_by_name_beginning_and_misspelt() {
    evaluate("catalogue.ndjson.gz");
}

#[test]
fn products_of_the_demo_catalogue_are_found_by_name_beginning_and_misspelt() {
    evaluate("demo-catalogue.ndjson");
}
