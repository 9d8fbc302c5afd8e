//! The YAML file: a flat list of settings, and one table.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ::config::{FileFormat, Source, Value, ValueKind};

use super::error::ConfigError;
use super::settings::{SETTINGS, Setting};

/// Names more different than this are not what somebody meant.
const SIMILARITY_MIN: f64 = 0.7;

/// The texts of a file, by setting.
pub(super) struct FileValues(BTreeMap<&'static str, String>);

impl FileValues {
    pub(super) fn read(path: &Path) -> Result<FileValues, ConfigError> {
        let text = fs::read_to_string(path).map_err(|reason| ConfigError::Unreadable {
            file: path.to_owned(),
            reason,
        })?;
        FileValues::parse(&text, &path.display().to_string())
    }

    pub(super) fn parse(text: &str, file: &str) -> Result<FileValues, ConfigError> {
        let members = ::config::File::from_str(text, FileFormat::Yaml)
            .collect()
            .map_err(|error| ConfigError::Syntax {
                file: file.to_owned(),
                reason: error.to_string().replace('\n', " "),
            })?;
        let mut texts = BTreeMap::new();
        // In the order of names, so that of several mistakes the same one is told every time.
        for (name, value) in members.into_iter().collect::<BTreeMap<_, _>>() {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
                let nearest = nearest(&name);
                return Err(ConfigError::Unknown {
                    name,
                    file: file.to_owned(),
                    nearest,
                });
            };
            if let Some(text) = text_of(setting, value, file)? {
                texts.insert(setting.name, text);
            }
        }
        Ok(FileValues(texts))
    }

    /// None where the file leaves the setting out or empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

/// The text that the environment would have for the same value.
fn text_of(setting: &Setting, value: Value, file: &str) -> Result<Option<String>, ConfigError> {
    let shape = |found| ConfigError::Shape {
        name: setting.name.to_owned(),
        file: file.to_owned(),
        found,
        allowed: setting.allowed,
    };
    match value.kind {
        ValueKind::Table(members) => {
            if !setting.is_table {
                return Err(shape("a table"));
            }
            let mut pairs = Vec::new();
            for (name, value) in members.into_iter().collect::<BTreeMap<_, _>>() {
                let text = scalar(value.kind)
                    .ok_or_else(|| shape("a table with something else than plain values"))?;
                // The separators of the one-line form.
                if text.contains([',', '\n']) {
                    pairs.push(format!("{name}=\"{text}\""));
                } else {
                    pairs.push(format!("{name}={text}"));
                }
            }
            Ok((!pairs.is_empty()).then(|| pairs.join(",")))
        }
        ValueKind::Array(items) => {
            let texts: Option<Vec<String>> =
                items.into_iter().map(|item| scalar(item.kind)).collect();
            let texts = texts.ok_or_else(|| shape("a list of something else than plain values"))?;
            Ok((!texts.is_empty()).then(|| texts.join(",")))
        }
        kind => Ok(scalar(kind).filter(|text| !text.is_empty())),
    }
}

fn scalar(kind: ValueKind) -> Option<String> {
    match kind {
        ValueKind::Boolean(value) => Some(value.to_string()),
        ValueKind::I64(value) => Some(value.to_string()),
        ValueKind::I128(value) => Some(value.to_string()),
        ValueKind::U64(value) => Some(value.to_string()),
        ValueKind::U128(value) => Some(value.to_string()),
        ValueKind::Float(value) => Some(value.to_string()),
        ValueKind::String(value) => Some(value),
        ValueKind::Nil | ValueKind::Table(_) | ValueKind::Array(_) => None,
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    SETTINGS
        .iter()
        .map(|setting| (strsim::jaro_winkler(name, setting.name), setting.name))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}
