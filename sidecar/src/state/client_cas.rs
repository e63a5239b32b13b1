//! The CAs of the policy in force, with the certificates of the built-in one.

use super::ApplyError;
use policy::certificate::{self, CertificateFault, ClientCa};
use policy::peer::PeerCertificate;
use policy::ruleset::Tls;
use rustls::DistinguishedName;
use rustls_pki_types::CertificateDer;
use std::time::Duration;

/// Who vouches for client certificates.
#[derive(Debug, Default)]
pub struct ClientCas {
    cas: Vec<ClientCa>,
    trust_domain: Box<str>,
    hints: Vec<DistinguishedName>,
    /// What it was made of, to tell whether anything changed.
    source: Vec<Source>,
}

#[derive(Debug, PartialEq)]
struct Source {
    name: Box<str>,
    built_in: bool,
    certificates: Vec<CertificateDer<'static>>,
    crls: Vec<Vec<u8>>,
}

impl ClientCas {
    /// The CAs of a policy; `built_in_ca` stands where the policy names the built-in one.
    ///
    /// # Errors
    /// Where a certificate cannot be used.
    pub fn new(tls: &Tls, built_in_ca: &[CertificateDer<'static>]) -> Result<Self, ApplyError> {
        let mut made = Self { trust_domain: tls.trust_domain.clone(), ..Self::default() };
        for ca in &tls.client_cas {
            let certificates = match &ca.certificates {
                None => built_in_ca.to_vec(),
                Some(own) => own.iter().map(|der| CertificateDer::from(der.clone())).collect(),
            };
            let built_in = ca.certificates.is_none();
            let usable = ClientCa::new(&ca.name, built_in, &certificates, &ca.crls)
                .map_err(|source| ApplyError::ClientCa { name: ca.name.to_string(), source })?;
            made.hints.extend(usable.subjects().iter().cloned().map(DistinguishedName::from));
            made.cas.push(usable);
            made.source.push(Source { name: ca.name.clone(), built_in, certificates, crls: ca.crls.clone() });
        }
        Ok(made)
    }

    /// Whether nobody can vouch for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.source.iter().all(|ca| ca.certificates.is_empty())
    }

    /// Whether it vouches for the same certificates as another.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.trust_domain == other.trust_domain && self.source == other.source
    }

    /// The names of the CAs, which a client chooses its certificate by.
    #[must_use]
    pub fn hints(&self) -> &[DistinguishedName] {
        &self.hints
    }

    /// The first moment from the second of `now` on, counted from 1970, at which one of them may say otherwise than now.
    #[must_use]
    pub fn next_change(&self, now: Duration) -> Option<Duration> {
        self.cas.iter().filter_map(|ca| ca.next_change(now)).min()
    }

    /// Verifies a chain; the first CA that vouches for it is the one whose word the names are.
    ///
    /// # Errors
    /// Where none does.
    pub fn verify(
        &self,
        chain: (&CertificateDer, &[CertificateDer]),
        now: Duration,
    ) -> Result<PeerCertificate, CertificateFault> {
        certificate::verify(&self.cas, &self.trust_domain, chain.0, chain.1, now)
    }
}
