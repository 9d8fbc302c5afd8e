//! Every place where something can be found again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use nakku::topics::TOPICS;
use serde_json::Value;
use sqlx::PgPool;
use testing::until;

use super::{Installation, PUBLISHED_MAX};
use crate::api::Api;
use crate::process::{Nakku, Settings};
use crate::story_roles::kcat;

/// Everything that is at rest, by where it is.
pub struct Places {
    pub profiles: Vec<Content>,
    pub deliveries: Vec<Content>,
    pub others: Vec<Content>,
}

pub struct Content {
    pub place: String,
    text: String,
    small: String,
}

impl Content {
    /// What is no text is no canary either.
    fn new(place: impl Into<String>, bytes: &[u8]) -> Content {
        let text = String::from_utf8_lossy(bytes).into_owned();
        Content {
            place: place.into(),
            small: text.to_ascii_lowercase(),
            text,
        }
    }

    /// In any letters, and in any of the forms that bytes are written in.
    pub fn holds(&self, token: &str) -> bool {
        let small = token.to_ascii_lowercase();
        let spellings = [token, &small, &token.to_ascii_uppercase()];
        self.small.contains(&small)
            || spellings.iter().any(|token| {
                let in_base64 = in_base64(token);
                self.small.contains(&in_hexadecimal(token))
                    || in_base64.iter().any(|form| self.text.contains(form))
            })
    }
}

impl Places {
    pub async fn of(
        installation: &Installation,
        up: &Nakku,
        pool: &PgPool,
        visitor: &Api,
        admin: &Api,
        printed: &[String],
    ) -> Places {
        everything_is_published(&installation.settings).await;
        let (profiles, rest): (Vec<_>, Vec<_>) = contents(pool)
            .await
            .into_iter()
            .partition(|content| is_profile(&content.place));
        let (deliveries, mut others): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|content| content.place.starts_with("deliveries_"));
        let topics: BTreeSet<&str> = TOPICS.map(|(_, topic)| topic).into();
        for name in topics {
            let topic = format!("{}{name}", installation.topic_prefix);
            let records = kcat(&topic).await;
            assert!(!records.is_empty(), "{name}");
            others.push(Content::new(topic, records.as_bytes()));
        }
        files(installation.directory.path(), &mut others);
        let metrics = visitor.get_root("/metrics").await.expect(200).body;
        let events = admin.get("/admin/events?limit=200", &[]).await.expect(200);
        let read = installation.settings.succeed("events --output json").await;
        assert!(read.contains("user.address-added") && up.output().len() > 10_000);
        others.extend(
            [
                ("metrics", metrics.to_string()),
                ("what operators read", events.body.to_string()),
                ("what the verb reads", read),
                ("what `up` has printed", up.output()),
                ("what verbs have printed", printed.concat()),
            ]
            .map(|(place, content)| Content::new(place, content.as_bytes())),
        );
        Places {
            profiles,
            deliveries,
            others,
        }
    }
}

pub fn assert_absent(token: &str, places: &[Content]) {
    assert!(!places.is_empty());
    for content in places {
        assert!(!content.holds(token), "{token} is in {}", content.place);
    }
}

async fn everything_is_published(settings: &Settings) {
    until("everything is published", PUBLISHED_MAX, async || {
        let status = settings.succeed("outbox --output json").await;
        let status: Value = serde_json::from_str(&status).unwrap();
        status["pending"] == 0 && status["head"].as_i64() > Some(0)
    })
    .await;
}

/// PostgreSQL's `undefined_table`.
const NO_SUCH_TABLE: &str = "42P01";

/// Every row of every table, as text. A generation that goes away meanwhile is not there.
pub async fn contents(pool: &PgPool) -> Vec<Content> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname)
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'm', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
         order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.iter().any(|table| table == "public.snapshots"));
    let mut contents = Vec::new();
    for table in tables {
        let read: sqlx::Result<String> = sqlx::query_scalar(&format!(
            "select coalesce(string_agg(t::text, ' '), '') from {table} t"
        ))
        .fetch_one(pool)
        .await;
        match read {
            Ok(content) => contents.push(Content::new(table, content.as_bytes())),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NO_SUCH_TABLE) => {
            }
            Err(error) => panic!("{table}: {error}"),
        }
    }
    contents
}

pub fn is_profile(place: &str) -> bool {
    place.starts_with("users_")
}

/// All but the cluster of PostgreSQL, whose pages and write-ahead log hold what was until they are written over.
fn files(folder: &Path, into: &mut Vec<Content>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() && !path.ends_with("postgres/data") {
            files(&path, into);
        } else if kind.is_file() {
            // An index drops the files of its older commits while we look.
            let content = std::fs::read(&path).unwrap_or_default();
            into.push(Content::new(path.display().to_string(), &content));
        }
    }
}

fn in_hexadecimal(token: &str) -> String {
    token.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What is the same of it wherever it stands: three letters are four digits, so there are three ways to begin.
fn in_base64(token: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let whole = [&b"\0\0"[..before], token.as_bytes()].concat();
        let first = before.div_ceil(3) * 4;
        let last = whole.len() / 3 * 4;
        for encoded in [
            STANDARD_NO_PAD.encode(&whole),
            URL_SAFE_NO_PAD.encode(&whole),
        ] {
            forms.push(encoded[first..last].to_owned());
        }
    }
    forms
}

#[test]
fn a_token_is_found_in_every_form() {
    let token = "CanaryName7q";
    for before in ["", "x", "xy", "xyz"] {
        let said = format!("{before}{token}, she said");
        for content in [
            said.clone(),
            said.to_uppercase(),
            in_hexadecimal(&said).to_uppercase(),
            STANDARD_NO_PAD.encode(&said),
            URL_SAFE_NO_PAD.encode(said.to_lowercase()),
        ] {
            assert!(
                Content::new("", content.as_bytes()).holds(token),
                "{content}"
            );
        }
    }
    assert!(!Content::new("", b"Canary Name 7q").holds(token));
}
