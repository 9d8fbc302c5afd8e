//! The configuration: every setting with its origin, checked before anything is started.
//!
//! This is the only place that reads settings from the environment. `config.default.yaml` is embedded: the documentation is
//! the default.

mod error;
mod file;
mod flags;
mod masking;
mod report;
mod services;
mod settings;
mod values;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::fulfilment::Patience;
use http_server::TrustedProxies;
use http_server::edge::CorsOrigins;
use secrecy::SecretString;

pub use error::ConfigError;
pub use flags::{flag_arguments, flags_of};
pub use report::{EffectiveSetting, Report};
pub use services::ServiceUrls;
pub use settings::{SETTINGS, Scope, Setting};
pub use values::{Context, LogFormat};

use file::FileValues;
use masking::mask;

/// The commented file with all defaults, as `nakku config --default` prints it.
pub const DEFAULT_FILE: &str = include_str!("../config.default.yaml");

/// Names the configuration file where no `--config` does.
pub const FILE_VARIABLE: &str = "NAKKU_CONFIG";

/// Settings given on the command line, by name.
pub type Flags = BTreeMap<&'static str, String>;

/// Everything that can be set. Each field is a setting of `config.default.yaml`, which says what it means.
#[derive(Debug, Clone)]
pub struct Config {
    /// None: the private server of the data directory.
    pub database_url: Option<SecretString>,
    pub database_connections: u32,
    /// None: the feed from the store, and nothing is published.
    pub kafka_brokers: Option<String>,
    /// Settings of librdkafka, in the order of their names.
    pub kafka_options: Vec<(String, String)>,
    pub topic_prefix: String,
    pub topic_partitions: i32,
    pub data_dir: PathBuf,
    pub keys_file: PathBuf,
    pub host: IpAddr,
    pub port: u16,
    pub listen: Option<SocketAddr>,
    /// Without repetition.
    pub contexts: Vec<Context>,
    /// The instances of other services. Empty: command-api has users and products in its own log; the gateway takes the
    /// roles' ports on this machine.
    pub services: ServiceUrls,
    /// None: no other service is answered.
    pub service_token: Option<SecretString>,
    pub trusted_proxies: TrustedProxies,
    /// None: no page of another origin may call.
    pub cors_origins: Option<CorsOrigins>,
    pub rate_per_second: u32,
    pub rate_burst: u32,
    pub requests_max: usize,
    pub connections_max: usize,
    pub seed: bool,
    pub admin_email: String,
    /// None: a random one.
    pub admin_password: Option<SecretString>,
    /// None: the built-in provider.
    pub payment_url: Option<String>,
    pub payment_key: Option<SecretString>,
    pub payment_timeout: Duration,
    pub reply_timeout: Duration,
    /// None: mail is logged instead.
    pub smtp_url: Option<SecretString>,
    pub mail_from: String,
    pub webhook_url: Option<String>,
    pub webhook_secret: Option<SecretString>,
    /// Of a running system, without a slash at its end.
    pub url: String,
    /// A filter of tracing-subscriber.
    pub log: String,
    pub log_format: LogFormat,
    report: Report,
}

/// Where a value comes from; later ones win.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Default,
    /// The configuration file.
    File(PathBuf),
    /// The variable of this name.
    Environment(&'static str),
    /// The flag of this name, without dashes.
    Flag(&'static str),
}

/// The text of a setting that is in force.
#[derive(Debug, Clone)]
struct Given {
    setting: &'static Setting,
    text: String,
    origin: Origin,
}

/// All texts in force, by setting. Settings without a value are absent.
struct Texts(BTreeMap<&'static str, Given>);

impl Config {
    /// Reads the configuration of this process.
    ///
    /// # Errors
    /// One line that names the setting, its value and what is allowed.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Config, ConfigError> {
        // Text that is not Unicode becomes a value that its setting refuses by name.
        let environment =
            |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Config::read(file, &environment, flags)
    }

    /// As [`Config::load`], from an environment of the caller's.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(
        file: Option<&Path>,
        environment: &dyn Fn(&str) -> Option<String>,
        flags: &Flags,
    ) -> Result<Config, ConfigError> {
        let named_by_environment = environment(FILE_VARIABLE)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
        let file = file.map(Path::to_owned).or(named_by_environment);
        let texts = Texts::gather(file.as_deref(), environment, flags)?;
        Config::check(&texts)
    }

    fn check(texts: &Texts) -> Result<Config, ConfigError> {
        let data_dir: PathBuf = texts.required("data_dir", values::path)?;
        let keys_file = texts
            .optional("keys_file", values::path)?
            .unwrap_or_else(|| data_dir.join("keys.json"));
        Ok(Config {
            database_url: texts.optional("database_url", values::database_url)?,
            database_connections: texts
                .required("database_connections", values::in_range(2..=1000))?,
            kafka_brokers: texts.optional("kafka_brokers", values::brokers)?,
            kafka_options: texts
                .optional("kafka_options", values::options)?
                .unwrap_or_default(),
            topic_prefix: texts
                .optional("topic_prefix", values::topic_prefix)?
                .unwrap_or_default(),
            topic_partitions: texts.required("topic_partitions", values::in_range(1..=1000))?,
            host: texts.required("host", values::parsed)?,
            port: texts.required("port", values::parsed)?,
            listen: texts.optional("listen", values::parsed)?,
            contexts: texts.required("contexts", values::contexts)?,
            services: ServiceUrls::check(texts)?,
            service_token: texts.optional("service_token", values::service_token)?,
            trusted_proxies: texts
                .optional("trusted_proxies", values::parsed)?
                .unwrap_or_default(),
            cors_origins: texts.optional("cors_origins", values::parsed)?,
            rate_per_second: texts.required("rate_per_second", values::in_range(1..=u32::MAX))?,
            rate_burst: texts.required("rate_burst", values::in_range(1..=u32::MAX))?,
            requests_max: texts.required("requests_max", values::in_range(1..=100_000))?,
            connections_max: texts.required("connections_max", values::in_range(1..=1_000_000))?,
            seed: texts.required("seed", values::boolean)?,
            admin_email: texts.required("admin_email", values::email)?,
            admin_password: texts.optional("admin_password", values::password)?,
            payment_url: texts.optional("payment_url", values::http_url)?,
            payment_key: texts.optional("payment_key", values::secret)?,
            payment_timeout: texts.required("payment_timeout", values::seconds)?,
            reply_timeout: texts.required("reply_timeout", values::seconds)?,
            smtp_url: texts.optional("smtp_url", values::secret)?,
            mail_from: texts.required("mail_from", values::text)?,
            webhook_url: texts.optional("webhook_url", values::http_url)?,
            webhook_secret: texts.optional("webhook_secret", values::secret)?,
            url: texts.required("url", values::http_url)?,
            log: texts.required("log", values::log_filter)?,
            log_format: texts.required("log_format", values::log_format)?,
            report: Report::new(texts, &keys_file),
            data_dir,
            keys_file,
        })
    }

    /// The address of a role that runs alone: what is set, else the host with the role's own port.
    pub fn listen_or(&self, port: u16) -> SocketAddr {
        self.listen.unwrap_or(SocketAddr::new(self.host, port))
    }

    /// The address of `nakku up`.
    pub fn up_address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// How long the sagas wait for answers.
    pub fn patience(&self) -> Patience {
        Patience {
            payment: self.payment_timeout,
            reply: self.reply_timeout,
        }
    }

    /// What is in force and where it comes from, secrets masked.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

impl Texts {
    fn gather(
        file: Option<&Path>,
        environment: &dyn Fn(&str) -> Option<String>,
        flags: &Flags,
    ) -> Result<Texts, ConfigError> {
        let defaults = FileValues::parse(DEFAULT_FILE, "the embedded defaults")?;
        let from_file = match file {
            Some(path) => Some((FileValues::read(path)?, path)),
            None => None,
        };
        let mut texts = BTreeMap::new();
        for setting in SETTINGS {
            let mut given = defaults
                .text(setting.name)
                .map(|text| (text, Origin::Default));
            if let Some((values, path)) = &from_file
                && let Some(text) = values.text(setting.name)
            {
                given = Some((text, Origin::File((*path).to_owned())));
            }
            // Empty is unset: that is how a variable is taken back in a compose file or a unit.
            if let Some(text) = environment(setting.variable).filter(|text| !text.is_empty()) {
                given = Some((text, Origin::Environment(setting.variable)));
            }
            if let (Some(text), Some(flag)) = (flags.get(setting.name), setting.flag) {
                given = Some((text.clone(), Origin::Flag(flag)));
            }
            if let Some((text, origin)) = given {
                texts.insert(
                    setting.name,
                    Given {
                        setting,
                        text,
                        origin,
                    },
                );
            }
        }
        Ok(Texts(texts))
    }

    fn optional<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(given) = self.0.get(name) else {
            return Ok(None);
        };
        match parse(&given.text) {
            Some(value) => Ok(Some(value)),
            None => Err(ConfigError::Value {
                setting: given.setting.name,
                value: mask(given.setting, &given.text),
                origin: given.origin.clone(),
                allowed: given.setting.allowed,
            }),
        }
    }

    fn required<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        self.optional(name, parse)?
            .ok_or(ConfigError::Missing(name))
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::Environment(variable) => write!(f, "environment {variable}"),
            Origin::Flag(flag) => write!(f, "flag --{flag}"),
        }
    }
}

#[cfg(test)]
mod tests;
