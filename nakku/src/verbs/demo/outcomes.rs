//! What became of the orders, counted and as a table.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::cli::Output;
use crate::output::{self, Listed};
use crate::verbs::import::progress::rate;

/// What became of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// After this time.
    Completed(Duration),
    /// For this reason.
    Cancelled(String),
    Parked,
    /// Placed, and not at its end when it was last looked at.
    Unfinished,
    /// Not placed: the problem's code.
    Refused(String),
    /// Nobody said whether it was placed.
    Unanswered,
}

/// What became of all of them.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    latencies: Vec<Duration>,
    cancelled: BTreeMap<String, u64>,
    parked: u64,
    unfinished: u64,
    refused: BTreeMap<String, u64>,
    unanswered: u64,
    took: Duration,
}

/// As it is printed.
#[derive(Debug, Serialize)]
struct Report<'a> {
    placed: u64,
    completed: u64,
    /// By reason.
    cancelled: &'a BTreeMap<String, u64>,
    parked: u64,
    unfinished: u64,
    /// By the problem's code.
    refused: &'a BTreeMap<String, u64>,
    unanswered: u64,
    /// From placing to completion; none where no order was completed.
    latency_ms: Option<Latency>,
    seconds: f64,
    orders_per_second: f64,
}

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Latency {
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

/// A line of the table.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    what: String,
    figure: String,
    unit: &'static str,
}

impl Listed for Row {
    const COLUMNS: &'static [(&'static str, bool)] = &[("orders", false), ("", true), ("", false)];

    fn cells(&self) -> Vec<String> {
        vec![self.what.clone(), self.figure.clone(), self.unit.to_owned()]
    }
}

impl Outcomes {
    pub(super) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Completed(latency) => self.latencies.push(latency),
            Outcome::Cancelled(reason) => *self.cancelled.entry(reason).or_default() += 1,
            Outcome::Parked => self.parked += 1,
            Outcome::Unfinished => self.unfinished += 1,
            Outcome::Refused(code) => *self.refused.entry(code).or_default() += 1,
            Outcome::Unanswered => self.unanswered += 1,
        }
    }

    /// How long all of them took together.
    pub(super) fn took(&mut self, took: Duration) {
        self.took = took;
    }

    /// Orders that were dealt with, whatever became of them.
    pub(super) fn settled(&self) -> u64 {
        self.placed() + sum(&self.refused) + self.unanswered
    }

    /// Whether every order was placed, and ended.
    pub(super) fn all_ended(&self) -> bool {
        self.settled() == self.completed() + sum(&self.cancelled)
    }

    /// For the progress bar: what is worth knowing while they run.
    pub(super) fn in_short(&self) -> String {
        let others = [
            (sum(&self.cancelled), "cancelled"),
            (self.parked, "parked"),
            (self.unfinished, "unfinished"),
            (sum(&self.refused), "refused"),
            (self.unanswered, "unanswered"),
        ];
        let told = others.iter().filter(|(count, _)| *count > 0);
        let told: Vec<String> = told
            .map(|(count, what)| format!(", {count} {what}"))
            .collect();
        format!(", {} completed{}", self.completed(), told.concat())
    }

    /// Prints the table, or the same as one JSON value.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(super) fn print(&self, format: Output) -> std::io::Result<()> {
        let report = self.report();
        match format {
            Output::Json => output::json(&report),
            Output::Table => output::list(format, &report.rows()),
        }
    }

    fn completed(&self) -> u64 {
        self.latencies.len() as u64
    }

    fn placed(&self) -> u64 {
        self.completed() + sum(&self.cancelled) + self.parked + self.unfinished
    }

    fn report(&self) -> Report<'_> {
        Report {
            placed: self.placed(),
            completed: self.completed(),
            cancelled: &self.cancelled,
            parked: self.parked,
            unfinished: self.unfinished,
            refused: &self.refused,
            unanswered: self.unanswered,
            latency_ms: latency(&self.latencies),
            seconds: self.took.as_secs_f64(),
            orders_per_second: rate(self.placed(), self.took),
        }
    }
}

impl Report<'_> {
    fn rows(&self) -> Vec<Row> {
        let mut rows = vec![
            count("placed", self.placed),
            count("completed", self.completed),
        ];
        let by = |what: &str, counts: &BTreeMap<String, u64>| -> Vec<Row> {
            let counts = counts.iter();
            counts
                .map(|(why, of)| count(&format!("{what}, {why}"), *of))
                .collect()
        };
        rows.extend(by("cancelled", self.cancelled));
        rows.push(count("parked", self.parked));
        rows.push(count("unfinished", self.unfinished));
        rows.extend(by("refused", self.refused));
        if self.unanswered > 0 {
            rows.push(count("unanswered", self.unanswered));
        }
        if let Some(latency) = self.latency_ms {
            let milliseconds = [
                ("p50", latency.p50),
                ("p95", latency.p95),
                ("p99", latency.p99),
                ("max", latency.max),
            ];
            rows.extend(milliseconds.map(|(name, of)| Row {
                what: format!("placed to completed, {name}"),
                figure: format!("{of:.0}"),
                unit: "ms",
            }));
        }
        rows.push(Row {
            what: "duration".to_owned(),
            figure: format!("{:.1}", self.seconds),
            unit: "s",
        });
        rows.push(Row {
            what: "rate".to_owned(),
            figure: format!("{:.1}", self.orders_per_second),
            unit: "orders/s",
        });
        rows
    }
}

fn count(what: &str, of: u64) -> Row {
    Row {
        what: what.to_owned(),
        figure: of.to_string(),
        unit: "",
    }
}

fn sum(counts: &BTreeMap<String, u64>) -> u64 {
    counts.values().sum()
}

fn latency(latencies: &[Duration]) -> Option<Latency> {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let at = |percent| percentile(&sorted, percent).map(milliseconds);
    Some(Latency {
        p50: at(50)?,
        p95: at(95)?,
        p99: at(99)?,
        max: at(100)?,
    })
}

/// To the microsecond, as the system tells times.
// An order takes far less than 2^53 microseconds: exact as a float.
#[expect(clippy::cast_precision_loss)]
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

/// The smallest of them that so many percent do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcomes() -> Outcomes {
        let mut outcomes = Outcomes::default();
        for milliseconds in (1..=100).rev() {
            outcomes.count(Outcome::Completed(Duration::from_millis(milliseconds)));
        }
        for reason in ["payment-declined", "out-of-stock", "payment-declined"] {
            outcomes.count(Outcome::Cancelled(reason.to_owned()));
        }
        outcomes.took(Duration::from_secs(4));
        outcomes
    }

    #[test]
    fn percentiles_are_figures_that_were_measured() {
        let all: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let at =
            |count: usize, percent| percentile(&all[..count], percent).map(|at| at.as_millis());
        assert_eq!(at(200, 50), Some(100));
        assert_eq!(at(200, 99), Some(198));
        assert_eq!(at(200, 100), Some(200));
        assert_eq!(at(10, 95), Some(10));
        assert_eq!(at(3, 50), Some(2));
        assert_eq!(at(1, 50), Some(1));
        assert_eq!(at(0, 50), None);
    }

    #[test]
    fn what_did_not_end_is_told_and_counts() {
        assert!(outcomes().all_ended());
        assert_eq!(outcomes().in_short(), ", 100 completed, 3 cancelled");
        for outcome in [
            Outcome::Parked,
            Outcome::Unfinished,
            Outcome::Unanswered,
            Outcome::Refused("unknown-item".to_owned()),
        ] {
            let mut outcomes = outcomes();
            outcomes.count(outcome.clone());
            assert!(!outcomes.all_ended(), "{outcome:?}");
            assert_eq!(outcomes.settled(), 104);
            let was_placed = matches!(outcome, Outcome::Parked | Outcome::Unfinished);
            assert_eq!(outcomes.placed(), if was_placed { 104 } else { 103 });
        }
    }

    #[test]
    fn the_table_and_its_json_tell_the_same() {
        let mut outcomes = outcomes();
        outcomes.count(Outcome::Refused("overloaded".to_owned()));
        let report = outcomes.report();
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            json!({
                "placed": 103, "completed": 100, "cancelled": {"out-of-stock": 1, "payment-declined": 2},
                "parked": 0, "unfinished": 0, "refused": {"overloaded": 1}, "unanswered": 0,
                "latency_ms": {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0},
                "seconds": 4.0, "orders_per_second": 25.75,
            })
        );
        let rows: Vec<String> = report
            .rows()
            .iter()
            .map(|row| row.cells().join("|"))
            .collect();
        assert_eq!(
            rows,
            [
                "placed|103|",
                "completed|100|",
                "cancelled, out-of-stock|1|",
                "cancelled, payment-declined|2|",
                "parked|0|",
                "unfinished|0|",
                "refused, overloaded|1|",
                "placed to completed, p50|50|ms",
                "placed to completed, p95|95|ms",
                "placed to completed, p99|99|ms",
                "placed to completed, max|100|ms",
                "duration|4.0|s",
                "rate|25.8|orders/s",
            ]
        );
    }

    #[test]
    fn nothing_completed_has_no_percentiles() {
        let outcomes = Outcomes::default();
        assert_eq!(outcomes.report().latency_ms, None);
        assert!(outcomes.all_ended());
        assert_eq!(outcomes.report().rows().len(), 6);
    }
}
