//! What a setting is: how it is called in the file, the environment and on the command line, and what is allowed.

mod list;

pub use list::SETTINGS;

/// One setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// In the file, in messages and in [`super::Config`].
    pub name: &'static str,
    /// In the environment.
    pub variable: &'static str,
    /// On the command line, without dashes. None: not to be given there.
    pub flag: Option<&'static str>,
    /// What a value looks like, for `--help`.
    pub value_name: &'static str,
    pub help: &'static str,
    /// What is allowed, for messages.
    pub allowed: &'static str,
    /// Which verbs take the flag.
    pub scope: Scope,
    /// How much of the value may be shown.
    pub secrecy: Secrecy,
    /// Whether the file may have a table of names and values.
    pub is_table: bool,
}

/// Which verbs take a setting's flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Every,
    /// `up`.
    Up,
    /// The roles, each alone.
    Role,
    /// `command-api`.
    CommandApi,
    /// `gateway`.
    Gateway,
    /// Those that ask other services: `command-api` and `gateway`.
    Services,
    /// `react`, and `up`, which reacts too.
    React,
    /// `demo`.
    Demo,
}

/// How much of a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    Open,
    /// A URL, all but its password.
    UrlPassword,
    /// Names and values, all but the values of secrets.
    SecretOptions,
    /// Nothing.
    Secret,
}

const fn setting(
    name: &'static str,
    variable: &'static str,
    flag: &'static str,
    value_name: &'static str,
    help: &'static str,
    allowed: &'static str,
) -> Setting {
    Setting {
        name,
        variable,
        flag: Some(flag),
        value_name,
        help,
        allowed,
        scope: Scope::Every,
        secrecy: Secrecy::Open,
        is_table: false,
    }
}

impl Setting {
    const fn only(self, scope: Scope) -> Setting {
        Setting { scope, ..self }
    }

    const fn masked(self, secrecy: Secrecy) -> Setting {
        Setting { secrecy, ..self }
    }

    const fn table(self) -> Setting {
        Setting {
            is_table: true,
            ..self
        }
    }

    const fn without_flag(self) -> Setting {
        Setting { flag: None, ..self }
    }

    /// A flag that takes no value and switches the setting off.
    pub(super) fn is_switch_off(&self) -> bool {
        self.flag.is_some_and(|flag| flag.starts_with("no-"))
    }
}
