//! The list of settings: what each is called in the file, the environment and on the command line, and what is allowed.

use clap::{Arg, ArgAction, ArgMatches};

use super::Flags;

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
    fn is_switch_off(&self) -> bool {
        self.flag.is_some_and(|flag| flag.starts_with("no-"))
    }
}

/// All settings, in the order of `config.default.yaml`.
pub const SETTINGS: &[Setting] = &[
    setting(
        "database_url",
        "DATABASE_URL",
        "database-url",
        "URL",
        "PostgreSQL database of the log and the read models; without it a private server in the data directory",
        "a PostgreSQL URL, as postgres://user:password@host:5432/database",
    )
    .masked(Secrecy::UrlPassword),
    setting(
        "database_connections",
        "NAKKU_DATABASE_CONNECTIONS",
        "database-connections",
        "N",
        "Connections of one pool to the database",
        "2 to 1000",
    ),
    setting(
        "kafka_brokers",
        "KAFKA_BROKERS",
        "kafka-brokers",
        "HOST:PORT,…",
        "Kafka's bootstrap brokers; without them workers follow the log in the database",
        "HOST:PORT, several by comma",
    ),
    setting(
        "kafka_options",
        "NAKKU_KAFKA_OPTIONS",
        "kafka-options",
        "NAME=VALUE,…",
        "Settings of librdkafka, passed through",
        "librdkafka settings as NAME=VALUE, several by comma (a value with a comma in double quotes)",
    )
    .masked(Secrecy::SecretOptions)
    .table(),
    setting(
        "topic_prefix",
        "NAKKU_TOPIC_PREFIX",
        "topic-prefix",
        "TEXT",
        "Stands before the name of every topic",
        "letters, digits, '.', '_' and '-', at most 100",
    ),
    setting(
        "topic_partitions",
        "NAKKU_TOPIC_PARTITIONS",
        "topic-partitions",
        "N",
        "Partitions of topics that nakku creates",
        "1 to 1000",
    ),
    setting(
        "data_dir",
        "NAKKU_DATA_DIR",
        "data-dir",
        "DIRECTORY",
        "Where the private server, the search index and the keys file are",
        "a directory",
    ),
    setting(
        "keys_file",
        "NAKKU_KEYS_FILE",
        "keys-file",
        "FILE",
        "The secrets that all processes of an installation share; without it keys.json in the data directory",
        "a file",
    ),
    setting(
        "host",
        "NAKKU_HOST",
        "host",
        "ADDRESS",
        "The address that servers listen on",
        "an IP address, as 127.0.0.1 or 0.0.0.0",
    ),
    setting("port", "NAKKU_PORT", "port", "PORT", "The port; 0 takes a free one", "0 to 65535").only(Scope::Up),
    setting(
        "listen",
        "NAKKU_LISTEN",
        "listen",
        "ADDRESS:PORT",
        "Where this role listens; without it the host with the role's own port",
        "ADDRESS:PORT, as 0.0.0.0:8081",
    )
    .only(Scope::Role),
    setting(
        "contexts",
        "NAKKU_CONTEXTS",
        "contexts",
        "CONTEXT,…",
        "The contexts to host",
        "users, products, inventory; several by comma",
    )
    .only(Scope::CommandApi),
    setting(
        "rate_per_second",
        "NAKKU_RATE_PER_SECOND",
        "rate-per-second",
        "N",
        "Requests of one client per second",
        "1 or more",
    ),
    setting(
        "rate_burst",
        "NAKKU_RATE_BURST",
        "rate-burst",
        "N",
        "Requests of one client at once after a pause",
        "1 or more",
    ),
    setting(
        "requests_max",
        "NAKKU_REQUESTS_MAX",
        "requests-max",
        "N",
        "Requests running at a time; one more is refused at once",
        "1 to 100000",
    ),
    setting(
        "connections_max",
        "NAKKU_CONNECTIONS_MAX",
        "connections-max",
        "N",
        "Connections at a time; when all are taken, the one that is longest without a request gives way",
        "1 to 1000000",
    ),
    setting(
        "seed",
        "NAKKU_SEED",
        "no-seed",
        "BOOLEAN",
        "No demo catalogue and no stock on the first start; the administrator is made all the same",
        "true or false",
    )
    .only(Scope::Up),
    setting(
        "admin_email",
        "NAKKU_ADMIN_EMAIL",
        "admin-email",
        "EMAIL",
        "The first administrator",
        "an e-mail address",
    )
    .only(Scope::Up),
    setting(
        "admin_password",
        "NAKKU_ADMIN_PASSWORD",
        "",
        "PASSWORD",
        "The password of a new administrator; without it a random one, printed once",
        "10 to 200 characters",
    )
    .masked(Secrecy::Secret)
    .without_flag(),
    setting(
        "log",
        "NAKKU_LOG",
        "log",
        "FILTER",
        "What is logged to standard error",
        "error, warn, info, debug or trace, also by module, as info,sqlx=warn",
    ),
    setting("log_format", "NAKKU_LOG_FORMAT", "log-format", "FORMAT", "How it is logged", "text or json"),
];

/// The flags of all settings in a scope.
pub fn flag_arguments(scope: Scope) -> impl Iterator<Item = Arg> {
    SETTINGS
        .iter()
        .filter(move |setting| setting.scope == scope)
        .filter_map(move |setting| {
            let flag = setting.flag?;
            let argument = Arg::new(setting.name)
                .long(flag)
                .help(format!("{} [env: {}]", setting.help, setting.variable))
                .help_heading("Settings")
                .global(scope == Scope::Every);
            Some(if setting.is_switch_off() {
                argument.action(ArgAction::SetTrue)
            } else {
                argument
                    .value_name(setting.value_name)
                    .action(ArgAction::Set)
            })
        })
}

/// The settings that were given as flags.
pub fn flags_of(matches: &ArgMatches) -> Flags {
    let mut flags = Flags::new();
    for setting in SETTINGS {
        if setting.is_switch_off() {
            if let Ok(Some(true)) = matches.try_get_one::<bool>(setting.name) {
                flags.insert(setting.name, false.to_string());
            }
        } else if let Ok(Some(text)) = matches.try_get_one::<String>(setting.name) {
            flags.insert(setting.name, text.clone());
        }
    }
    flags
}
