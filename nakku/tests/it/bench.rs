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

#[tokio::test]
async fn the_gateway_is_measured_where_things_go_wrong() {
    let directory = DataDirectory::new();
    let line = "bench gateway --rate 40 --seconds 1 --output json";
    let printed = settings(&directory).succeed(line).await;
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let rows = &lines[1..];
    let text = |row: &Value, member: &str| row[member].as_str().unwrap().to_owned();
    let measured: Vec<String> = rows
        .iter()
        .map(|row| format!("{}: {}", text(row, "scenario"), text(row, "measured")))
        .collect();
    assert_eq!(
        measured,
        [
            "killed: failed requests",
            "killed: keys without exactly one effect",
            "killed: p99 after it, beyond that before",
            "all dead: time to be told, p50",
            "all dead: time to be told, p99",
            "two hops: attempts a call, the end answers 503",
            "two hops: attempts a call, the end dead",
            "idle race: failed requests",
            "idle race: keys with several effects",
            "slow instance: its share of the first 2 s",
            "overhead: p50 beyond that of a direct call",
        ]
    );
    for row in rows {
        let met = row["ours"].as_f64() <= row["goal"].as_f64();
        assert_eq!(row["met"], met, "{row}");
        // Times and shares are the machine's; that nobody notices is not.
        assert!(met || row["goal"].as_f64() > Some(0.0), "{row}");
    }
}

#[tokio::test]
async fn the_quality_of_the_search_is_measured_beside_postgres() {
    let directory = DataDirectory::new();
    let line = "bench quality --sample 40 --seed 3 --output json";
    let printed = settings(&directory).succeed(line).await;
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let sampled = &lines[1];
    assert_eq!(
        (&sampled["products"], &sampled["names"], &sampled["seed"]),
        (&708.into(), &40.into(), &3.into())
    );
    let rows = &lines[2..];
    let searches: Vec<&str> = rows
        .iter()
        .map(|row| row["search"].as_str().unwrap())
        .collect();
    assert_eq!((searches[0], searches.len()), ("ours", 13), "{searches:?}");
    for (kind, floor) in [("exact", 0.9), ("cut", 0.85), ("typo", 0.8)] {
        assert!(rows[0][kind].as_f64() >= Some(floor), "{kind}: {}", rows[0]);
    }
    let without = |part: &str| {
        let search = format!("ours without {part}");
        rows.iter().find(|row| row["search"] == search).unwrap()
    };
    assert!(without("unfinished last word")["cut"].as_f64() < Some(0.5));
    assert!(without("typing errors")["typo"].as_f64() < Some(0.5));

    let refused = settings(&directory)
        .run("bench quality --catalogue /nowhere/catalogue.ndjson")
        .await;
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("cannot read /nowhere/catalogue.ndjson"),
        "{said}"
    );
}
