//! From the text of a setting to its value; `None` where it is not allowed. What is allowed stands in the settings' list.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http_client::ServiceUrl;
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use tracing_subscriber::EnvFilter;

/// Kafka takes 249 characters for a topic's name; the longest of ours has 19.
const TOPIC_PREFIX_LENGTH_MAX: usize = 100;

/// Less is shorter than a busy machine takes for anything; more is longer than anybody waits for groceries.
const SECONDS_MIN: f64 = 0.1;
const SECONDS_MAX: f64 = 86_400.0;

/// Of the token by which services know each other.
const SERVICE_TOKEN_LENGTHS: RangeInclusive<usize> = 16..=200;

/// A context whose commands command-api can host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Context {
    Users,
    Products,
    Inventory,
    Orders,
    Payments,
    Deliveries,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

pub(super) fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

pub(super) fn in_range<T: FromStr + PartialOrd>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Option<T> {
    move |text| parsed(text).filter(|value| range.contains(value))
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text))
}

pub(super) fn database_url(text: &str) -> Option<SecretString> {
    let is_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
    let is_parsed = is_postgres && PgConnectOptions::from_str(text).is_ok();
    is_parsed.then(|| SecretString::from(text))
}

pub(super) fn brokers(text: &str) -> Option<String> {
    let is_broker = |broker: &str| {
        broker.trim().rsplit_once(':').is_some_and(|(host, port)| {
            let is_host = !host.is_empty()
                && !host.contains(|c: char| c.is_whitespace() || c == '/' || c == '@');
            is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
    };
    let brokers: Vec<&str> = text.split(',').map(str::trim).collect();
    brokers
        .iter()
        .copied()
        .all(is_broker)
        .then(|| brokers.join(","))
}

/// `NAME=VALUE`, several by comma; a value in double quotes may hold commas.
pub(super) fn options(text: &str) -> Option<Vec<(String, String)>> {
    let mut options: Vec<(String, String)> = Vec::new();
    for part in split_outside_quotes(text) {
        let (name, value) = part.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let is_name = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
        if !is_name || options.iter().any(|(other, _)| other == name) {
            return None;
        }
        let value = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(value);
        options.push((name.to_owned(), value.to_owned()));
    }
    options.sort();
    Some(options)
}

/// The parts between commas that are not inside double quotes; empty parts are left out.
pub(super) fn split_outside_quotes(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let parts = text.split(move |character| {
        if character == '"' {
            quoted = !quoted;
        }
        character == ',' && !quoted
    });
    parts.filter(|part| !part.trim().is_empty()).collect()
}

pub(super) fn topic_prefix(text: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (text.len() <= TOPIC_PREFIX_LENGTH_MAX && text.chars().all(is_allowed)).then(|| text.to_owned())
}

pub(super) fn contexts(text: &str) -> Option<Vec<Context>> {
    let mut contexts = Vec::new();
    for name in text.split(',') {
        let context = match name.trim() {
            "users" => Context::Users,
            "products" => Context::Products,
            "inventory" => Context::Inventory,
            "orders" => Context::Orders,
            "payments" => Context::Payments,
            "deliveries" => Context::Deliveries,
            _ => return None,
        };
        contexts.push(context);
    }
    contexts.sort();
    contexts.dedup();
    Some(contexts)
}

pub(super) fn email(text: &str) -> Option<String> {
    text.parse::<domain::Email>()
        .is_ok()
        .then(|| text.trim().to_owned())
}

pub(super) fn password(text: &str) -> Option<SecretString> {
    text.parse::<command_api::Password>()
        .is_ok()
        .then(|| SecretString::from(text))
}

/// Whoever speaks to the API has a token; a password in an address would end up in messages.
pub(super) fn http_url(text: &str) -> Option<String> {
    parsed::<ServiceUrl>(text).map(|url| url.to_string())
}

/// The instances of a service, each once.
pub(super) fn service_urls(text: &str) -> Option<Vec<ServiceUrl>> {
    let mut urls: Vec<ServiceUrl> = Vec::new();
    for part in text.split(',') {
        let url = parsed(part)?;
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    Some(urls)
}

/// Sent as a header, and nothing that could be guessed.
pub(super) fn service_token(text: &str) -> Option<SecretString> {
    let text = text.trim();
    let is_allowed = SERVICE_TOKEN_LENGTHS.contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_allowed.then(|| SecretString::from(text))
}

/// Of something that is sent as a header.
pub(super) fn secret(text: &str) -> Option<SecretString> {
    (!text.trim().is_empty()).then(|| SecretString::from(text.trim()))
}

pub(super) fn text(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

pub(super) fn seconds(text: &str) -> Option<Duration> {
    parsed(text)
        .filter(|seconds: &f64| (SECONDS_MIN..=SECONDS_MAX).contains(seconds))
        .map(Duration::from_secs_f64)
}

pub(super) fn log_filter(text: &str) -> Option<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    // A lone word that is no level would be taken for a module's name, and log everything of it and nothing else.
    let is_level = |part: &str| {
        part.contains('=') || part.contains("::") || part.contains('[') || LEVELS.contains(&part)
    };
    let is_filter =
        text.split(',').map(str::trim).all(is_level) && EnvFilter::try_new(text).is_ok();
    is_filter.then(|| text.to_owned())
}

pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    match text.trim() {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

impl Context {
    /// As in the setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Context::Users => "users",
            Context::Products => "products",
            Context::Inventory => "inventory",
            Context::Orders => "orders",
            Context::Payments => "payments",
            Context::Deliveries => "deliveries",
        }
    }
}
