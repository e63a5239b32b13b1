//! The certificate that callers see, and certificates from files.

use super::provider;
use arc_swap::ArcSwapOption;
use policy::certificate::{AnchorFault, check_anchor};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A chain and its key, found to belong together.
#[derive(Debug)]
pub struct ServerCertificate(CertifiedKey);

/// The certificate that callers see; replaced as a whole, and every handshake sees one or the other. Without one handshakes
/// fail.
#[derive(Debug, Default)]
pub struct CurrentCertificate(ArcSwapOption<CertifiedKey>);

impl CurrentCertificate {
    /// Shows another one from now on.
    pub fn replace(&self, certificate: ServerCertificate) {
        self.0.store(Some(Arc::new(certificate.0)));
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.0.load().is_some()
    }
}

impl From<ServerCertificate> for CurrentCertificate {
    fn from(certificate: ServerCertificate) -> Self {
        Self(ArcSwapOption::from_pointee(certificate.0))
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file that cannot be read, or holds no PEM of the wanted kind.
    #[error("`{}` cannot be read as PEM", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// A file without a certificate.
    #[error("`{}` holds no certificate", .0.display())]
    Empty(PathBuf),
    /// A certificate that may not vouch for others.
    #[error("certificate {number} in `{}` is that of no authority", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// Which certificate in it, from 1.
        number: usize,
        /// Why.
        source: AnchorFault,
    },
    /// A chain or key that cannot be used, or that do not belong together.
    #[error("certificate and key cannot be used together")]
    Pair(#[from] rustls::Error),
}

impl ServerCertificate {
    /// From memory, the end entity first.
    ///
    /// # Errors
    /// Where chain and key cannot be used together.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, CertificateError> {
        Ok(Self(CertifiedKey::from_der(chain, key, &provider())?))
    }

    /// From two PEM files.
    ///
    /// # Errors
    /// Where one cannot be read, or they cannot be used together.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let certificates = certificates_in(chain)?;
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|source| CertificateError::File { path: key.to_owned(), source })?;
        Self::new(certificates, key)
    }
}

/// The certificates of authorities in a PEM file, at least one.
///
/// # Errors
/// Where the file cannot be read, holds none, or one that may not vouch for others.
pub fn authorities_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let certificates = certificates_in(path)?;
    for (index, certificate) in certificates.iter().enumerate() {
        let fault = |source| CertificateError::Authority { path: path.to_owned(), number: index + 1, source };
        check_anchor(certificate).map_err(fault)?;
    }
    Ok(certificates)
}

/// The certificates in a PEM file, at least one.
///
/// # Errors
/// Where the file cannot be read or holds none.
fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let fault = |source| CertificateError::File { path: path.to_owned(), source };
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(fault)?.collect::<Result<Vec<_>, _>>().map_err(fault)?;
    if certificates.is_empty() { Err(CertificateError::Empty(path.to_owned())) } else { Ok(certificates) }
}
