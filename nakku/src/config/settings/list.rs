//! The list of settings.

use super::{Scope, Secrecy, Setting, setting};

const SERVICE_URLS: &str =
    "http URLs without user and query, as http://users:8081; several instances by comma";

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
        "URL,…",
        "Where users are: for the gateway, and for a command-api that does not host them; without it that one's own log",
        SERVICE_URLS,
    )
    .only(Scope::Services),
    setting(
        "product_service_url",
        "PRODUCT_SERVICE_URL",
        "product-service-url",
        "URL,…",
        "Where products are: as users",
        SERVICE_URLS,
    )
    .only(Scope::Services),
    setting(
        "inventory_service_url",
        "INVENTORY_SERVICE_URL",
        "inventory-service-url",
        "URL,…",
        "Where commands on stock go",
        SERVICE_URLS,
    )
    .only(Scope::Gateway),
    setting(
        "order_service_url",
        "ORDER_SERVICE_URL",
        "order-service-url",
        "URL,…",
        "Where commands on orders go",
        SERVICE_URLS,
    )
    .only(Scope::Gateway),
    setting(
        "payment_service_url",
        "PAYMENT_SERVICE_URL",
        "payment-service-url",
        "URL,…",
        "Where commands on payments go",
        SERVICE_URLS,
    )
    .only(Scope::Gateway),
    setting(
        "delivery_service_url",
        "DELIVERY_SERVICE_URL",
        "delivery-service-url",
        "URL,…",
        "Where commands on deliveries go",
        SERVICE_URLS,
    )
    .only(Scope::Gateway),
    setting(
        "query_service_url",
        "QUERY_SERVICE_URL",
        "query-service-url",
        "URL,…",
        "Where queries go",
        SERVICE_URLS,
    )
    .only(Scope::Gateway),
    setting(
        "admin_service_url",
        "ADMIN_SERVICE_URL",
        "admin-service-url",
        "URL,…",
        "Where the operators' API is",
        SERVICE_URLS,
    )
    .only(Scope::Gateway),
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
        "trusted_proxies",
        "NAKKU_TRUSTED_PROXIES",
        "trusted-proxies",
        "ADDRESS,…",
        "Proxies whose word on a client's address counts (Forwarded, X-Forwarded-For)",
        "addresses and networks, as 10.0.0.7,192.0.2.0/24; several by comma",
    ),
    setting(
        "cors_origins",
        "NAKKU_CORS_ORIGINS",
        "cors-origins",
        "ORIGIN,…",
        "Pages that may call the API from a browser",
        "origins, as https://shop.example.org, several by comma; or * for all, without credentials",
    ),
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
