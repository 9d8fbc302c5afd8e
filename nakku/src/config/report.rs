//! The effective configuration as `nakku config` prints it.

use std::fmt;
use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};

use super::masking::mask;
use super::settings::SETTINGS;
use super::{Origin, Texts};

/// A setting that is in force, or off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSetting {
    pub name: &'static str,
    /// Secrets masked; none where the setting is off.
    pub value: Option<String>,
    pub origin: Origin,
}

/// All settings, in the order of `config.default.yaml`.
#[derive(Debug, Clone)]
pub struct Report {
    pub settings: Vec<EffectiveSetting>,
}

impl Report {
    pub(super) fn new(texts: &Texts, keys_file: &Path) -> Report {
        let settings = SETTINGS
            .iter()
            .map(|setting| match texts.0.get(setting.name) {
                Some(given) => EffectiveSetting {
                    name: setting.name,
                    value: Some(mask(setting, &given.text)),
                    origin: given.origin.clone(),
                },
                None => EffectiveSetting {
                    name: setting.name,
                    value: (setting.name == "keys_file").then(|| keys_file.display().to_string()),
                    origin: Origin::Default,
                },
            })
            .collect();
        Report { settings }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(["setting", "value", "origin"]);
        for setting in &self.settings {
            table.add_row([
                setting.name,
                setting.value.as_deref().unwrap_or("-"),
                &setting.origin.to_string(),
            ]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}
