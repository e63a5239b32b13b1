//! Whom to trust about a server: the public authorities, or a bundle of one's own in their place.

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// Who vouches for servers.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

/// A bundle that vouches for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the CA bundle holds no usable certificate in PEM")]
pub struct BadBundle;

impl Trust {
    /// The authorities that browsers trust (Mozilla's list, as it was built in).
    ///
    /// # Errors
    /// None in practice: the provider of cryptography has the versions of TLS that are asked for.
    pub fn public() -> Result<Self, rustls::Error> {
        Self::of(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// The certificates of a PEM text, and nobody else.
    ///
    /// # Errors
    /// [`BadBundle`] where one of them cannot be used, or there is none.
    pub fn bundle(pem: &str) -> Result<Self, BadBundle> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate.map_err(|_| BadBundle)?).map_err(|_| BadBundle)?;
        }
        if roots.is_empty() {
            return Err(BadBundle);
        }
        Self::of(roots).map_err(|_| BadBundle)
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    fn of(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // One connection in minutes: nothing to win, and every connection is verified in full.
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }
}
