//! Metrics in Prometheus' text format; the recorder is one per process.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Between two sweeps of recorded samples into their buckets: without a scraper they would pile
/// up.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Buckets of every histogram in seconds: from an in-process append to a waiting query.
const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Commands in one append.
const BATCH_SIZES: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0,
];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder, the first time it is called; returns the handle to render from.
///
/// # Panics
/// If another recorder was installed before: two cannot both see every sample.
pub fn install() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        // Unset buckets would render histograms as summaries, which cannot be added up.
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
            .and_then(|builder| {
                let batch_size = Matcher::Full("nakku_append_batch_size".to_owned());
                builder.set_buckets_for_metric(batch_size, BATCH_SIZES)
            })
            .and_then(PrometheusBuilder::install_recorder)
            .expect("buckets are given and this is the process's only recorder");
        describe();
        keep_up(handle.clone());
        handle
    })
}

/// Sets `nakku_build_info{version,role}` to 1.
pub(crate) fn set_build_info(version: &'static str, role: &str) {
    metrics::gauge!("nakku_build_info", "version" => version, "role" => role.to_owned()).set(1.0);
}

fn describe() {
    metrics::describe_counter!(
        "http_requests_total",
        "Requests answered, by route and status"
    );
    metrics::describe_histogram!(
        "http_request_duration_seconds",
        metrics::Unit::Seconds,
        "Time from a request's head to its answer's"
    );
    metrics::describe_gauge!("nakku_build_info", "1; what runs is in the labels");
}

fn keep_up(handle: PrometheusHandle) {
    let upkeep = move || {
        loop {
            std::thread::sleep(UPKEEP_EVERY);
            handle.run_upkeep();
        }
    };
    let spawned = std::thread::Builder::new()
        .name("metrics-upkeep".to_owned())
        .spawn(upkeep);
    if let Err(error) = spawned {
        tracing::warn!(%error, "metrics are swept by scrapes only");
    }
}
