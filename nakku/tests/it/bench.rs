//! The bench works; what it measures here says nothing.

use serde_json::Value;

use crate::process::{DataDirectory, Settings};

/// On the test server, in scratch databases that are gone afterwards.
fn settings(directory: &DataDirectory) -> Settings {
    Settings::default()
        .with("DATABASE_URL", testing::server_url())
        .with("NAKKU_DATA_DIR", directory.path())
}

/// The machine, then a figure a line; the rows of the latter.
async fn figures(line: &str, settings: &Settings) -> Vec<Value> {
    let printed = settings.succeed(line).await;
    let mut lines = printed.lines().map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    let machine = lines.next().unwrap();
    assert!(machine["cores"].as_u64() > Some(0), "{machine}");
    assert_eq!(machine["fsync"], "on");
    let figures: Vec<Value> = lines.collect();
    for figure in &figures {
        for member in ["ours", "limit", "ratio", "floor", "goal"] {
            assert!(figure[member].as_f64() > Some(0.0), "{member}: {figure}");
        }
        assert!(
            ["goal", "ok", "below"].contains(&figure["verdict"].as_str().unwrap()),
            "{figure}"
        );
    }
    figures
}

fn measured(figures: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    figures
        .iter()
        .map(|figure| {
            format!(
                "{} / {}",
                text(&figure["measured"]),
                text(&figure["beside"])
            )
        })
        .collect()
}

#[tokio::test]
async fn appending_is_measured_beside_pgbench_and_postgres_es() {
    let directory = DataDirectory::new();
    let line = "bench append --rounds 1 --seconds 0.2 --events 2000 --output json";
    let figures = figures(line, &settings(&directory)).await;
    assert_eq!(
        measured(&figures),
        [
            "append, 1 client / pgbench, 1",
            "append, 8 clients / pgbench, 8",
            "append, 32 clients / pgbench, 32",
            "append, 64 clients / pgbench, 64",
            "append, 1024 in flight / pgbench, 64",
            "append, 32 clients / postgres-es, 32",
            "append, last of 2000 events, snapshot held / the first tenth",
        ]
    );
}

#[tokio::test]
async fn replaying_is_measured_beside_a_scan_and_tantivy() {
    let directory = DataDirectory::new();
    let line = "bench replay --rounds 1 --events 2000 --products 500 --output json";
    let figures = figures(line, &settings(&directory)).await;
    assert_eq!(
        measured(&figures),
        [
            "replay into a trivial view / binary COPY",
            "replay into the search index / Tantivy alone",
        ]
    );
}

#[tokio::test]
async fn the_relay_is_measured_beside_a_bare_producer() {
    let directory = DataDirectory::new();
    let refused = settings(&directory).run("bench relay").await;
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("KAFKA_BROKERS"));

    let settings = settings(&directory).with("KAFKA_BROKERS", testing::kafka_brokers());
    let line = "bench relay --rounds 1 --events 2000 --output json";
    let figures = figures(line, &settings).await;
    assert_eq!(measured(&figures), ["relay / bare producer"]);
}
