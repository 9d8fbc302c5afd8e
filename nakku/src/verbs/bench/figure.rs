//! A figure beside its bound.

use serde::Serialize;

use crate::output::{Listed, or_dash};

/// What one side did in one round, a second.
pub(super) type Rate = f64;

/// The ratios that are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Below it is a defect.
    pub floor: f64,
    pub goal: f64,
}

/// Medians of the rounds.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub measured: String,
    /// What is counted.
    pub unit: &'static str,
    pub ours: Rate,
    pub beside: String,
    pub limit: Rate,
    /// The median of the rounds' ratios: within a round both sides met the same machine.
    pub ratio: f64,
    pub floor: f64,
    pub goal: f64,
    pub verdict: Verdict,
    /// Ours and the limit's, in the order measured.
    pub rounds: Vec<(Rate, Rate)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Goal,
    Ok,
    Below,
}

impl Figure {
    /// From at least one round.
    pub(super) fn new(
        measured: impl Into<String>,
        unit: &'static str,
        beside: impl Into<String>,
        bounds: Bounds,
        rounds: Vec<(Rate, Rate)>,
    ) -> Self {
        let ratio = median(rounds.iter().map(|(ours, limit)| ours / limit));
        let verdict = if ratio >= bounds.goal {
            Verdict::Goal
        } else if ratio >= bounds.floor {
            Verdict::Ok
        } else {
            Verdict::Below
        };
        Self {
            measured: measured.into(),
            unit,
            ours: median(rounds.iter().map(|(ours, _)| *ours)),
            beside: beside.into(),
            limit: median(rounds.iter().map(|(_, limit)| *limit)),
            ratio,
            floor: bounds.floor,
            goal: bounds.goal,
            verdict,
            rounds,
        }
    }
}

impl Listed for Figure {
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("measured", false),
        ("unit", false),
        ("ours", true),
        ("limit", true),
        ("beside", false),
        ("ratio", true),
        ("floor", true),
        ("goal", true),
        ("verdict", false),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.measured.clone(),
            self.unit.to_owned(),
            format!("{:.0}", self.ours),
            format!("{:.0}", self.limit),
            self.beside.clone(),
            format!("{:.2}", self.ratio),
            format!("{:.2}", self.floor),
            format!("{:.2}", self.goal),
            or_dash(Some(self.verdict.text())),
        ]
    }
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Self::Goal => "goal met",
            Self::Ok => "ok",
            Self::Below => "BELOW THE FLOOR",
        }
    }
}

/// The middle one; of an even number the mean of the two in the middle. 0 of none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        floor: 0.5,
        goal: 0.9,
    };

    fn of(rounds: &[(Rate, Rate)]) -> Figure {
        Figure::new("it", "a/s", "that", BOUNDS, rounds.to_vec())
    }

    #[test]
    fn one_bad_round_moves_no_figure() {
        let figure = of(&[(60.0, 100.0), (1.0, 100.0), (70.0, 100.0)]);
        assert_eq!((figure.ours, figure.limit), (60.0, 100.0));
        assert!((figure.ratio - 0.6).abs() < 1e-9);
    }

    #[test]
    fn the_verdict_is_the_ratios() {
        assert_eq!(of(&[(95.0, 100.0)]).verdict, Verdict::Goal);
        assert_eq!(of(&[(50.0, 100.0)]).verdict, Verdict::Ok);
        assert_eq!(of(&[(49.0, 100.0)]).verdict, Verdict::Below);
    }

    #[test]
    fn of_an_even_number_the_median_is_between_the_two_in_the_middle() {
        assert!((median([4.0, 1.0, 2.0, 100.0].into_iter()) - 3.0).abs() < 1e-9);
        assert!(median(std::iter::empty()).abs() < 1e-9);
    }
}
