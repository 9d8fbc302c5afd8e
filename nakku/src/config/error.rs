//! What can be wrong with a configuration; each is one line.

use std::path::PathBuf;

use super::Origin;

/// Bad configuration. Nothing has been started; the exit code is 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Secrets in `value` are masked.
    #[error("bad configuration: {setting} is '{value}' ({origin}); allowed: {allowed}")]
    Value {
        setting: &'static str,
        value: String,
        origin: Origin,
        allowed: &'static str,
    },
    #[error("bad configuration: {0} has no value")]
    Missing(&'static str),
    #[error(
        "bad configuration: unknown setting '{name}' in {file}{}",
        hint(nearest)
    )]
    Unknown {
        name: String,
        file: String,
        nearest: Option<&'static str>,
    },
    #[error("bad configuration: {name} in {file} is {found}; allowed: {allowed}")]
    Shape {
        name: String,
        file: String,
        found: &'static str,
        allowed: &'static str,
    },
    #[error("bad configuration: {file} is not YAML: {reason}")]
    Syntax { file: String, reason: String },
    #[error("bad configuration: cannot read the file {}: {reason}; allowed: a YAML file, as `nakku config --default` prints it", file.display())]
    Unreadable {
        file: PathBuf,
        reason: std::io::Error,
    },
}

fn hint(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean '{name}'?"),
        None => "; `nakku config --default` lists them all".to_owned(),
    }
}
