//! What signs now, and the operator's own certificate: read by every connection, replaced as a whole.

use super::issue::{IssueError, dns_name, pod_names, requested_key, sign};
use super::pair::Pair;
use super::{pem, vouch};
use crate::hub::Names;
use crate::limits::CERTIFICATE_LIFE;
use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use policy::wire::IssuedCertificate;
use rcgen::KeyPair;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// The name of HTTP/1.1 in a handshake (RFC 7301, section 6).
const HTTP_1_1: &[u8] = b"http/1.1";

/// A CA as far as issuing needs it.
#[derive(Clone, Debug)]
pub(crate) struct Material {
    /// What signs.
    pub(crate) signer: Pair,
    /// What stands between the signer and the bundle, nearest first.
    pub(crate) intermediates: Vec<CertificateDer<'static>>,
    /// Who vouches, in PEM.
    pub(crate) bundle: Arc<str>,
}

impl Material {
    fn is_same(&self, other: &Self) -> bool {
        self.signer.certificate() == other.signer.certificate()
            && self.intermediates == other.intermediates
            && self.bundle == other.bundle
    }
}

/// The CA of this replica. Empty until [`run`](super::run) loaded it: nothing is issued and no handshake succeeds.
pub struct Authority {
    names: Vec<String>,
    material: ArcSwapOption<Material>,
    serving: Arc<Serving>,
    bundle: watch::Sender<Option<Arc<str>>>,
}

/// The operator's own certificate.
#[derive(Debug, Default)]
struct Serving(ArcSwapOption<Own>);

#[derive(Debug)]
struct Own {
    certificate: Arc<CertifiedKey>,
    signer: CertificateDer<'static>,
    renewed_from: Timestamp,
    ends: Timestamp,
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello) -> Option<Arc<CertifiedKey>> {
        self.0.load().as_ref().map(|own| Arc::clone(&own.certificate))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The DNS names under which the API server and pods know a Service.
#[must_use]
pub fn service_names(service: &str, namespace: &str, cluster_domain: &str) -> [String; 2] {
    [format!("{service}.{namespace}.svc"), format!("{service}.{namespace}.svc.{cluster_domain}")]
}

impl Authority {
    /// Without a CA yet; `names` are the DNS names of the operator's own certificate.
    #[must_use]
    pub fn new(names: Vec<String>) -> Arc<Self> {
        Arc::new(Self {
            names,
            material: ArcSwapOption::empty(),
            serving: Arc::default(),
            bundle: watch::Sender::new(None),
        })
    }

    /// Who vouches today, in PEM, the next CA included; none before the CA is loaded.
    #[must_use]
    pub fn bundle(&self) -> Option<Arc<str>> {
        self.bundle.borrow().clone()
    }

    /// The same, now and after every change.
    #[must_use]
    pub fn bundles(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.bundle.subscribe()
    }

    /// Issues a certificate for the key of a request, after the proof that the private key is at hand. Valid for at most
    /// [`CERTIFICATE_LIFE`], never longer than its CA.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue(&self, csr: &str, names: &Names, now: Timestamp) -> Result<IssuedCertificate, IssueError> {
        let material = self.material.load_full().ok_or(IssueError::NotLoaded)?;
        let key = requested_key(csr)?;
        let (chain, _) = sign(&material, &key, pod_names(names)?, now)?;
        Ok(IssuedCertificate {
            chain: chain.iter().map(pem::certificate).collect(),
            bundle: material.bundle.as_ref().to_owned(),
        })
    }

    /// How the operator's servers speak TLS: the certificate is the one of the moment.
    ///
    /// # Errors
    /// None in practice: the provider has cipher suites for both versions.
    pub fn serving_config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.serving) as _);
        // Sidecars connect once an hour: what could be resumed would only be kept.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Arc::new(config))
    }

    /// Whether handshakes succeed.
    #[must_use]
    pub fn is_serving(&self, now: Timestamp) -> bool {
        self.serving.0.load().as_ref().is_some_and(|own| now < own.ends)
    }

    /// Puts a CA into force, and renews the operator's own certificate where that is due.
    ///
    /// # Errors
    /// Where it cannot sign, or does not vouch for what it signs; what was in force stays.
    pub(crate) fn install(&self, material: Material, now: Timestamp) -> Result<(), IssueError> {
        if self.material.load().as_ref().is_none_or(|known| !known.is_same(&material)) {
            vouch::check(&material, now)?;
        }
        self.renew(&material, now)?;
        let bundle = Arc::clone(&material.bundle);
        self.material.store(Some(Arc::new(material)));
        self.bundle.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&bundle);
            *known = Some(bundle);
            changed
        });
        Ok(())
    }

    /// At two thirds of its life, and where another CA signs.
    fn renew(&self, material: &Material, now: Timestamp) -> Result<(), IssueError> {
        let signer = material.signer.certificate();
        let fresh = |own: &Own| own.signer == *signer && now < own.renewed_from;
        if self.serving.0.load().as_ref().is_some_and(|own| fresh(own)) {
            return Ok(());
        }
        let internal = || IssueError::Unavailable(super::CaError::Internal);
        let key = KeyPair::generate().map_err(|_| internal())?;
        let names = self.names.iter().map(|name| dns_name(name)).collect::<Result<_, _>>()?;
        let (chain, ends) = sign(material, &key, names, now)?;
        let certificate = CertifiedKey::from_der(chain, PrivateKeyDer::from(key), &aws_lc_rs::default_provider());
        let own = Own {
            certificate: Arc::new(certificate.map_err(|_| internal())?),
            signer: signer.clone(),
            renewed_from: now + CERTIFICATE_LIFE * 2 / 3,
            ends,
        };
        self.serving.0.store(Some(Arc::new(own)));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
