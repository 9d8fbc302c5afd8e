//! What PostgreSQL finds for the same queries, in a table of the same products.

use std::time::Instant;

use anyhow::Context;
use read_models::search::Document;
use read_models::search::quality::{DEPTH, Evaluation};
use sqlx::PgPool;

use super::super::engine::Engine;
use super::{Asked, Quality, kinds};

/// Rows of one insert.
const INSERTED_AT_ONCE: usize = 5_000;

/// The name before the brand before the category, as ours.
const TABLE: &str = "
create table products (
  sku text primary key,
  name text not null,
  words tsvector not null
)";

const INSERT: &str = "
insert into products (sku, name, words)
select sku, name,
  setweight(to_tsvector('english', name), 'A')
    || setweight(to_tsvector('english', brand), 'B')
    || setweight(to_tsvector('english', category), 'C')
from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as t (sku, name, brand, category)";

const FULL_TEXT: &str = "
select name from products, plainto_tsquery('english', $1) as query
where words @@ query order by ts_rank(words, query) desc, sku limit $2";

const FULL_TEXT_UNFINISHED: &str = "
select name from products, to_tsquery('english', $1) as query
where words @@ query order by ts_rank(words, query) desc, sku limit $2";

// Of what is similar enough by the extension's own thresholds. Ordering the whole table by distance (an index of the kind
// `gist`) finds more beginnings of names and takes twenty times as long: nobody would have a search field wait for that.
const SIMILARITY: &str = "
select name from products where name % $1
order by similarity(name, $1) desc, sku limit $2";

const WORD_SIMILARITY: &str = "
select name from products where $1 <% name
order by word_similarity($1, name) desc, sku limit $2";

/// A way to search, and what it makes of a query.
struct Way {
    search: &'static str,
    statement: &'static str,
    text: fn(&str) -> String,
}

const FULL_TEXT_WAYS: [Way; 2] = [
    Way {
        search: "PostgreSQL full text",
        statement: FULL_TEXT,
        text: str::to_owned,
    },
    Way {
        search: "PostgreSQL full text, last word unfinished",
        statement: FULL_TEXT_UNFINISHED,
        text: unfinished,
    },
];

const TRIGRAM_WAYS: [Way; 2] = [
    Way {
        search: "pg_trgm, similarity",
        statement: SIMILARITY,
        text: str::to_owned,
    },
    Way {
        search: "pg_trgm, word similarity",
        statement: WORD_SIMILARITY,
        text: str::to_owned,
    },
];

pub(super) struct Peer {
    pool: PgPool,
    /// Why there is no pg_trgm, where there is none.
    no_trigrams: Option<String>,
}

impl Peer {
    pub(super) async fn prepare(engine: &Engine, documents: &[Document]) -> anyhow::Result<Self> {
        let pool = engine.database(1).await?.pool;
        sqlx::query(TABLE).execute(&pool).await?;
        for documents in documents.chunks(INSERTED_AT_ONCE) {
            insert(&pool, documents).await.context("fill the table")?;
        }
        sqlx::query("create index on products using gin (words)")
            .execute(&pool)
            .await?;
        // An extension that not every server comes with.
        let no_trigrams = match sqlx::query("create extension pg_trgm").execute(&pool).await {
            Ok(_) => {
                sqlx::query("create index on products using gin (name gin_trgm_ops)")
                    .execute(&pool)
                    .await?;
                None
            }
            Err(error) => Some(format!("not available: {error}")),
        };
        sqlx::query("vacuum (analyze) products")
            .execute(&pool)
            .await?;
        Ok(Self { pool, no_trigrams })
    }

    /// A row a way to search.
    pub(super) async fn measure(&self, evaluation: &Evaluation) -> anyhow::Result<Vec<Quality>> {
        let mut rows = Vec::new();
        for way in FULL_TEXT_WAYS {
            rows.push(self.ask(&way, evaluation).await?);
        }
        for way in TRIGRAM_WAYS {
            rows.push(match &self.no_trigrams {
                None => self.ask(&way, evaluation).await?,
                Some(why) => Quality::unavailable(way.search.to_owned(), why.clone()),
            });
        }
        Ok(rows)
    }

    async fn ask(&self, way: &Way, evaluation: &Evaluation) -> anyhow::Result<Quality> {
        let mut asked = [Vec::new(), Vec::new(), Vec::new()];
        for (asked, items) in asked.iter_mut().zip(kinds(evaluation)) {
            for item in items {
                let text = (way.text)(&item.query);
                let began = Instant::now();
                let names: Vec<String> = sqlx::query_scalar(way.statement)
                    .bind(text)
                    .bind(i64::try_from(DEPTH)?)
                    .fetch_all(&self.pool)
                    .await
                    .with_context(|| format!("{}: {:?}", way.search, item.query))?;
                let took = began.elapsed();
                let reciprocal_rank = item.reciprocal_rank(names.iter().map(String::as_str));
                asked.push(Asked {
                    reciprocal_rank,
                    took,
                });
            }
        }
        Ok(Quality::new(way.search.to_owned(), &asked))
    }

    pub(super) async fn close(self) {
        self.pool.close().await;
    }
}

async fn insert(pool: &PgPool, documents: &[Document]) -> anyhow::Result<()> {
    let (mut skus, mut names) = (Vec::new(), Vec::new());
    let (mut brands, mut categories) = (Vec::new(), Vec::new());
    for document in documents {
        if let Some(product) = &document.product {
            skus.push(document.sku.as_str());
            names.push(product.name.as_str());
            brands.push(product.brand.as_deref().unwrap_or_default());
            categories.push(product.category.join(" "));
        }
    }
    sqlx::query(INSERT)
        .bind(skus)
        .bind(names)
        .bind(brands)
        .bind(categories)
        .execute(pool)
        .await?;
    Ok(())
}

/// All words, the last of which may go on.
fn unfinished(query: &str) -> String {
    let words = query.split(|char: char| !char.is_alphanumeric());
    let words = words
        .filter(|word| !word.is_empty())
        .map(|word| format!("'{word}'"));
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        return String::new();
    }
    words.join(" & ") + ":*"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_of_a_query_is_an_operator() {
        assert_eq!(
            unfinished("Ben & Jerry's | (ice:*)"),
            "'Ben' & 'Jerry' & 's' & 'ice':*"
        );
        assert_eq!(unfinished(" - "), "");
    }
}
