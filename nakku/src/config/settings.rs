//! The list of settings: what each is called in the file, the environment and on the command line, and what is allowed.

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
        "users, products, inventory, orders, payments, deliveries; several by comma",
    )
    .only(Scope::CommandApi),
    setting(
        "user_service_url",
        "USER_SERVICE_URL",
        "user-service-url",
        "URL",
        "Who is asked for customers and couriers where this process does not host users; without it the log itself",
        "an http URL without user and query, as http://users:8081",
    )
    .only(Scope::CommandApi),
    setting(
        "product_service_url",
        "PRODUCT_SERVICE_URL",
        "product-service-url",
        "URL",
        "Who is asked for products where this process does not host them; without it the log itself",
        "an http URL without user and query, as http://products:8081",
    )
    .only(Scope::CommandApi),
    setting(
        "service_token",
        "NAKKU_SERVICE_TOKEN",
        "",
        "TOKEN",
        "What services know each other by; without it none of them is answered",
        "16 to 200 printable characters without blanks",
    )
    .masked(Secrecy::Secret)
    .without_flag(),
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
        "payment_url",
        "NAKKU_PAYMENT_URL",
        "payment-url",
        "URL",
        "The payment provider, by the protocol of docs/payments.md; without it a built-in one that moves no money",
        "an http URL without user and query, as https://pay.example.org/v1",
    )
    .only(Scope::React),
    setting(
        "payment_key",
        "NAKKU_PAYMENT_KEY",
        "",
        "TOKEN",
        "What the payment provider is called with, as a bearer token",
        "1 or more characters",
    )
    .masked(Secrecy::Secret)
    .without_flag(),
    setting(
        "payment_timeout",
        "NAKKU_PAYMENT_TIMEOUT",
        "payment-timeout",
        "SECONDS",
        "How long an order waits for its payment before it is cancelled",
        "0.1 to 86400 seconds",
    )
    .only(Scope::React),
    setting(
        "reply_timeout",
        "NAKKU_REPLY_TIMEOUT",
        "reply-timeout",
        "SECONDS",
        "How long an order waits for any other answer before it asks again; doubled with each try",
        "0.1 to 86400 seconds",
    )
    .only(Scope::React),
    setting(
        "smtp_url",
        "NAKKU_SMTP_URL",
        "",
        "URL",
        "The mail server for notifications; without it what would be mailed is logged",
        "an SMTP URL, as smtp://user:password@host:587?tls=required or smtps://host",
    )
    .masked(Secrecy::UrlPassword)
    .without_flag(),
    setting(
        "mail_from",
        "NAKKU_MAIL_FROM",
        "mail-from",
        "SENDER",
        "Who mail is from",
        "a sender, as Nakku <orders@example.org>",
    )
    .only(Scope::React),
    setting(
        "webhook_url",
        "NAKKU_WEBHOOK_URL",
        "webhook-url",
        "URL",
        "The web hook for notifications, called by Standard Webhooks",
        "an http URL without user and query, as https://shop.example.org/hooks",
    )
    .only(Scope::React),
    setting(
        "webhook_secret",
        "NAKKU_WEBHOOK_SECRET",
        "",
        "SECRET",
        "What calls of the web hook are signed with",
        "whsec_ and 24 to 64 bytes in base64",
    )
    .masked(Secrecy::Secret)
    .without_flag(),
    setting(
        "url",
        "NAKKU_URL",
        "url",
        "URL",
        "The running system that the demo's customers go to",
        "an http URL without user and query, as http://127.0.0.1:8080",
    )
    .only(Scope::Demo),
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
