//! Other services, as this process calls them.

use http_client::{ServiceUrl, SettingError, Upstream, UpstreamSettings};

use crate::config::{Config, ConfigError};

/// One of our own services: it knows this process by the service token.
///
/// # Errors
/// When the token is not set, or no client can be set up.
pub(super) fn upstream(
    config: &Config,
    name: &'static str,
    instances: &[ServiceUrl],
) -> anyhow::Result<Upstream> {
    let token = config.service_token.clone();
    let token = token.ok_or(ConfigError::Missing("service_token"))?;
    let settings = UpstreamSettings {
        service_token: Some(token),
        ..UpstreamSettings::default()
    };
    let upstream: Result<Upstream, SettingError> = Upstream::new(name, instances, settings);
    Ok(upstream?)
}
