//! Whom a connection trusts.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::Verifier;

use crate::address::SettingError;
use crate::authority::CertificateAuthority;
use crate::reason::causes;

/// Trusts the system's authorities, and this one.
pub(crate) fn trusting(
    authority: Option<&CertificateAuthority>,
) -> Result<ClientConfig, SettingError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let extra = authority.map_or(&[][..], CertificateAuthority::certificates);
    let verifier = Verifier::new_with_extra_roots(extra.iter().cloned(), Arc::clone(&provider))
        .map_err(|error| unusable(&error))?;
    let config = builder(provider)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(finished(config))
}

/// Trusts nobody: for plain HTTP, which must not fail where the system has no certificates.
pub(crate) fn trusting_nobody() -> Result<ClientConfig, SettingError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = builder(provider)?.with_root_certificates(RootCertStore::empty());
    Ok(finished(config))
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, SettingError> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))
}

fn finished(config: ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig {
    config.with_no_client_auth()
}

fn unusable(error: &rustls::Error) -> SettingError {
    SettingError::new(format!("cannot be used: {}", causes(error)))
}
