//! Whom a client trusts beside the system's authorities.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::address::SettingError;

/// Certificates (PEM, one or several) that are trusted beside the system's: of a company's own authority.
#[derive(Debug, Clone)]
pub struct CertificateAuthority(Vec<CertificateDer<'static>>);

impl CertificateAuthority {
    /// Certificates in PEM.
    ///
    /// # Errors
    /// When there is none in it, or one is damaged.
    pub fn new(pem: impl AsRef<[u8]>) -> Result<Self, SettingError> {
        let refused = || SettingError::new("must hold certificates in PEM");
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(pem.as_ref()).collect();
        let certificates = certificates.map_err(|_| refused())?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|_| refused())?;
        }
        if roots.is_empty() {
            return Err(refused());
        }
        Ok(Self(certificates))
    }

    /// Each certificate in DER, for clients of other protocols.
    pub fn der(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_pem() {
        for pem in [
            "",
            "not a certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(CertificateAuthority::new(pem).is_err(), "{pem}");
        }
    }
}
