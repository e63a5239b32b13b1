//! The certificate of the pod: a key that is made here and never leaves, a request to the operator, and the chain that comes
//! back; made anew in time.

mod keeper;

pub(crate) use keeper::{Held, Keeper, Needs};

use crate::limits::CERTIFICATE_ANSWER;
use crate::link::{self, Link, LinkError};
use crate::tls::{CertificateError, ServerCertificate};
use bytes::Bytes;
use policy::certificate::{Life, alternative_names, life_of};
use policy::wire::{CERTIFICATE_PATH, CertificateRequest, IssuedCertificate, certificate_revision};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Key, chain and bundle, all in PEM.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) key: String,
    pub(crate) chain: String,
    pub(crate) bundle: String,
}

/// An identity that was found to be whole.
#[derive(Debug)]
pub(crate) struct Usable {
    pub(crate) certificate: ServerCertificate,
    pub(crate) bundle: Vec<CertificateDer<'static>>,
    pub(crate) life: Life,
    /// What it says, for the operator to compare.
    pub(crate) revision: String,
}

impl Usable {
    /// What is to be remembered of it.
    pub(crate) fn held(&self) -> Held {
        Held { life: self.life, revision: self.revision.clone() }
    }
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("no key or request for a certificate can be made")]
    Make(#[source] rcgen::Error),
    #[error("the operator's answer to the request for a certificate cannot be read")]
    Answer(#[source] serde_json::Error),
    #[error("the chain, its key or the bundle is not PEM")]
    Pem,
    #[error("the chain cannot be used")]
    Chain(#[from] CertificateError),
    #[error("certificate and key cannot be written")]
    Write(#[source] std::io::Error),
}

impl Identity {
    /// Asks the operator for a certificate for a new P-256 key.
    pub(crate) async fn request(link: &Link) -> Result<Self, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Make)?;
        let mut params = CertificateParams::default();
        // Whose it is the operator knows better.
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).and_then(|request| request.pem()).map_err(IdentityError::Make)?;
        let body = serde_json::to_vec(&CertificateRequest { csr }).map_err(IdentityError::Answer)?;
        let mut dialled = link.dial().await?;
        let answer = link.post(&mut dialled, CERTIFICATE_PATH, Bytes::from(body), CERTIFICATE_ANSWER).await?;
        let IssuedCertificate { chain, bundle } = serde_json::from_slice(&answer).map_err(IdentityError::Answer)?;
        Ok(Self { key: key.serialize_pem(), chain, bundle })
    }

    /// Reads everything, and finds that chain and key belong together and that the bundle can vouch.
    pub(crate) fn check(&self) -> Result<Usable, IdentityError> {
        let chain = certificates(&self.chain)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|_| IdentityError::Pem)?;
        let own = chain.first().ok_or(IdentityError::Pem)?;
        let life = life_of(own).ok_or(IdentityError::Pem)?;
        let names = alternative_names(own).unwrap_or_default();
        let revision = certificate_revision(names.iter().map(String::as_str), &self.bundle);
        let bundle = certificates(&self.bundle)?;
        link::roots(&bundle)?;
        Ok(Usable { certificate: ServerCertificate::new(chain, key)?, bundle, life, revision })
    }
}

/// The key stays unsaid.
impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.debug_struct("Identity").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// The certificates of a PEM text, at least one.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    found.ok().filter(|found| !found.is_empty()).ok_or(IdentityError::Pem)
}
