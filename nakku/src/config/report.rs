//! The effective configuration as `nakku config` prints it.

use std::path::Path;

use serde::{Serialize, Serializer};

use super::masking::mask;
use super::settings::SETTINGS;
use super::{Origin, Texts};
use crate::output::{Listed, or_dash};

/// A setting that is in force, or off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EffectiveSetting {
    pub name: &'static str,
    /// Secrets masked; none where the setting is off.
    pub value: Option<String>,
    #[serde(serialize_with = "as_text")]
    pub origin: Origin,
}

fn as_text<S: Serializer>(origin: &Origin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(origin)
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

impl Listed for EffectiveSetting {
    const COLUMNS: &'static [(&'static str, bool)] =
        &[("setting", false), ("value", false), ("origin", false)];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.to_owned(),
            or_dash(self.value.as_deref()),
            self.origin.to_string(),
        ]
    }
}
