//! Metrics of another process, from what it shows on `/metrics`.

use anyhow::Context;
use http_client::{Call, ServiceUrl};

use super::load;

/// What a process has counted so far.
pub(super) struct Metrics(String);

impl Metrics {
    pub(super) async fn of(url: &ServiceUrl) -> anyhow::Result<Self> {
        let client = load::client(url)?;
        let answer = load::send(&client, Call::get("/metrics"))
            .await
            .with_context(|| format!("read the metrics of {url}"))?;
        Ok(Self(String::from_utf8(answer.body.into())?))
    }

    /// The values of a metric, of those of its series that have this label.
    pub(super) fn values(&self, metric: &str, (name, value): (&str, &str)) -> Vec<f64> {
        let label = format!("{name}=\"{value}\"");
        let series = self.0.lines().filter_map(|line| {
            let (labels, number) = line
                .strip_prefix(metric)?
                .strip_prefix('{')?
                .split_once('}')?;
            let has_label = labels.split(',').any(|one| one == label);
            number.trim().parse().ok().filter(|_| has_label)
        });
        series.collect()
    }

    /// Their sum.
    pub(super) fn sum(&self, metric: &str, label: (&str, &str)) -> f64 {
        self.values(metric, label).iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_a_label() {
        let text = "# TYPE a_total counter\na_total{upstream=\"users\",outcome=\"x\"} 3\n\
                    a_total{outcome=\"y\",upstream=\"users\"} 4\na_total{upstream=\"orders\"} 9\na_total_other{upstream=\"users\"} 8\n";
        let metrics = Metrics(text.to_owned());
        assert_eq!(metrics.values("a_total", ("upstream", "users")), [3.0, 4.0]);
        assert!((metrics.sum("a_total", ("upstream", "users")) - 7.0).abs() < 1e-9);
        assert!(
            metrics
                .values("a_total", ("upstream", "payments"))
                .is_empty()
        );
    }
}
