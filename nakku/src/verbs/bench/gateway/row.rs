//! A figure beside the most that it may be.

use serde::Serialize;

use crate::output::Listed;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    pub(super) scenario: &'static str,
    pub(super) measured: &'static str,
    pub(super) unit: &'static str,
    /// More is a defect.
    pub(super) at_most: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    scenario: &'static str,
    measured: &'static str,
    unit: &'static str,
    ours: f64,
    /// The most that it may be.
    goal: f64,
    met: bool,
    details: String,
}

impl Goal {
    pub(super) fn beside(self, ours: f64, details: String) -> Row {
        let Goal {
            scenario,
            measured,
            unit,
            at_most,
        } = self;
        Row {
            scenario,
            measured,
            unit,
            ours,
            goal: at_most,
            met: ours <= at_most,
            details,
        }
    }
}

impl Listed for Row {
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("scenario", false),
        ("measured", false),
        ("unit", false),
        ("ours", true),
        ("at most", true),
        ("met", false),
        ("details", false),
    ];

    fn cells(&self) -> Vec<String> {
        let met = if self.met { "yes" } else { "NO" };
        vec![
            self.scenario.to_owned(),
            self.measured.to_owned(),
            self.unit.to_owned(),
            shown(self.ours),
            shown(self.goal),
            met.to_owned(),
            self.details.clone(),
        ]
    }
}

/// Counts without decimals.
fn shown(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: Goal = Goal {
        scenario: "it",
        measured: "that",
        unit: "ms",
        at_most: 0.5,
    };

    #[test]
    fn a_goal_is_met_up_to_its_bound() {
        let cells = |ours| GOAL.beside(ours, String::new()).cells();
        assert_eq!(cells(0.0)[3..6], ["0", "0.50", "yes"]);
        assert_eq!(cells(0.5)[3..6], ["0.50", "0.50", "yes"]);
        assert_eq!(cells(0.501)[3..6], ["0.50", "0.50", "NO"]);
    }
}
