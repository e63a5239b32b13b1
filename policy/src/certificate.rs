//! Client certificates: each CA verifies on its own, and the one that succeeds says whose word the names are
//! (RFC 5280; SPIFFE X.509-SVID).

mod anchor;
mod names;
mod revocation;

pub use anchor::{AnchorFault, check_anchor, is_sound_key, public_key};
pub use names::{alternative_names, identify, service_account};
pub use revocation::{CrlFault, check_crl, crl_of};

use crate::peer::PeerCertificate;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use revocation::RevocationLists;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use std::borrow::Cow;
use std::time::Duration;
use webpki::aws_lc_rs as algorithms;
use webpki::{EndEntityCert, KeyUsage, RevocationOptions, VerifiedPath};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The signature algorithms in certificates: no SHA-1, no RSA below 2,048 bits.
pub static SIGNATURE_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ED25519,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
    algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// A certificate authority that may vouch for peers.
#[derive(Debug)]
pub struct ClientCa {
    name: Box<str>,
    built_in: bool,
    anchors: Vec<TrustAnchor<'static>>,
    /// How long each of them is valid, which webpki does not look at.
    lives: Vec<Life>,
    subjects: Vec<Vec<u8>>,
    revocation: RevocationLists,
}

/// Why a client certificate proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// It is not a certificate.
    #[error("it cannot be read")]
    Malformed,
    /// No CA of the policy vouches for it now, for clients.
    #[error("no CA of the policy vouches for it at this time as that of a client")]
    Untrusted,
    /// A revocation list of its CA names it, is out of date, or there is none of its issuer.
    #[error("a revocation list names it, or none that is in date covers it")]
    Revoked,
    /// It has no extended key usage.
    #[error("it has no extended key usage: `clientAuth` is asked for")]
    Usage,
    /// Its key is none with which a caller can sign a handshake here.
    #[error(
        "its key is none that signs a handshake here: RSA of 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519 do"
    )]
    Key,
}

/// Why a CA cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientCaFault {
    /// A certificate of its own, counted from 1, cannot be read.
    #[error("certificate {0} of it cannot be read")]
    Certificate(usize),
    /// One of its revocation lists cannot be used, counted from 1.
    #[error("revocation list {0} of it: {1}")]
    RevocationList(usize, CrlFault),
}

impl ClientCa {
    /// A CA with its certificates and its revocation lists (RFC 5280, section 5), DER. Where it has lists, a certificate
    /// whose issuer has none among them is refused: not known to be good is not good.
    ///
    /// # Errors
    /// See [`ClientCaFault`].
    pub fn new(
        name: &str,
        built_in: bool,
        certificates: &[CertificateDer],
        crls: &[Vec<u8>],
    ) -> Result<Self, ClientCaFault> {
        let (mut anchors, mut lives, mut subjects) = (Vec::new(), Vec::new(), Vec::new());
        for (index, certificate) in certificates.iter().enumerate() {
            let malformed = || ClientCaFault::Certificate(index + 1);
            let anchor = webpki::anchor_from_trusted_cert(certificate).map_err(|_| malformed())?;
            anchors.push(anchor.to_owned());
            lives.push(life_of(certificate).ok_or_else(malformed)?);
            subjects.push(subject_of(certificate).ok_or_else(malformed)?);
        }
        let revocation = RevocationLists::new(crls)?;
        Ok(Self { name: name.into(), built_in, anchors, lives, subjects, revocation })
    }

    /// Whether it shares the key of a trust anchor with another: then it would be open whose word a certificate is.
    #[must_use]
    pub fn shares_anchor(&self, other: &Self) -> bool {
        let same = |one: &TrustAnchor, two: &TrustAnchor| one.subject_public_key_info == two.subject_public_key_info;
        self.anchors.iter().any(|ours| other.anchors.iter().any(|theirs| same(ours, theirs)))
    }

    /// The certificates that are valid: what has expired vouches for nobody.
    fn anchors_at(&self, now: Duration) -> Cow<'_, [TrustAnchor<'static>]> {
        let valid = |life: &Life| life.begin <= now && now <= life.end;
        if self.lives.iter().all(valid) {
            return Cow::Borrowed(&self.anchors);
        }
        let both = self.anchors.iter().zip(&self.lives);
        both.filter(|(_, life)| valid(life)).map(|(anchor, _)| anchor.clone()).collect()
    }

    /// The first moment from the second of `now` on, counted from 1970, at which its word may be another: a certificate of its
    /// own begins or ends, or a revocation list runs out. Verification counts in whole seconds, and takes what ends in this one.
    #[must_use]
    pub fn next_change(&self, now: Duration) -> Option<Duration> {
        let own = self.lives.iter().flat_map(|life| [life.begin, life.end]);
        own.chain(self.revocation.ends()).filter(|moment| moment.as_secs() >= now.as_secs()).min()
    }

    /// Its name in the policy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the built-in one.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.built_in
    }

    /// The distinguished names of its certificates, DER (what a server sends as a hint, RFC 8446, section 4.2.4).
    #[must_use]
    pub fn subjects(&self) -> &[Vec<u8>] {
        &self.subjects
    }
}

/// The distinguished name of a certificate, DER; none where it cannot be read.
#[must_use]
pub fn subject_of(certificate: &CertificateDer) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.subject().as_raw().to_vec())
}

/// The distinguished name of a certificate's issuer, DER; none where it cannot be read.
#[must_use]
pub fn issuer_of(certificate: &CertificateDer) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.issuer().as_raw().to_vec())
}

/// Verifies a chain against each CA in turn.
///
/// # Errors
/// Where no CA vouches for it at `now`, or it is not for client authentication.
pub fn verify(
    cas: &[ClientCa],
    trust_domain: &str,
    end_entity: &CertificateDer,
    intermediates: &[CertificateDer],
    now: Duration,
) -> Result<PeerCertificate, CertificateFault> {
    let certificate = EndEntityCert::try_from(end_entity).map_err(|_| CertificateFault::Malformed)?;
    let (_, parsed) = X509Certificate::from_der(end_entity).map_err(|_| CertificateFault::Malformed)?;
    let ca = vouching(cas, &certificate, parsed.issuer().as_raw(), intermediates, now)?;
    // webpki takes an absent extension as any usage; a server's certificate without one must not call as a client.
    let for_clients = parsed.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.client_auth);
    if !for_clients {
        return Err(CertificateFault::Usage);
    }
    if !anchor::is_handshake_key(parsed.public_key()) {
        return Err(CertificateFault::Key);
    }
    Ok(identity(&parsed, end_entity, ca, trust_domain))
}

/// The first CA that vouches for a certificate of an issuer.
fn vouching<'a>(
    cas: &'a [ClientCa],
    certificate: &EndEntityCert,
    issuer: &[u8],
    intermediates: &[CertificateDer],
    now: Duration,
) -> Result<&'a ClientCa, CertificateFault> {
    let mut fault = CertificateFault::Untrusted;
    for ca in cas {
        let anchors = ca.anchors_at(now);
        let Ok(path) = chain(certificate, &anchors, intermediates, now, None) else { continue };
        if ca.revocation.is_empty() {
            return Ok(ca);
        }
        // From here on this path alone: what else the caller sent is not to change what a list says.
        let (anchor, used) = ([path.anchor().clone()], path.intermediate_certificates());
        let used: Vec<CertificateDer> = used.map(|certificate| certificate.der()).collect();
        let under = |lists: RevocationOptions| chain(certificate, &anchor, &used, now, Some(lists)).map(drop);
        match ca.revocation.check(issuer, under) {
            Ok(()) => return Ok(ca),
            Err(revoked) => fault = revoked,
        }
    }
    Err(fault)
}

fn chain<'p>(
    certificate: &'p EndEntityCert,
    anchors: &'p [TrustAnchor],
    intermediates: &'p [CertificateDer],
    now: Duration,
    lists: Option<RevocationOptions>,
) -> Result<VerifiedPath<'p>, webpki::Error> {
    let (now, usage) = (UnixTime::since_unix_epoch(now), KeyUsage::client_auth());
    certificate.verify_for_usage(SIGNATURE_ALGORITHMS, anchors, intermediates, now, usage, lists, None)
}

/// When the first certificate of a chain ends, counted from 1970; none where one cannot be read.
#[must_use]
pub fn end_of(chain: &[CertificateDer]) -> Option<Duration> {
    let end = |certificate: &CertificateDer| {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        u64::try_from(parsed.validity().not_after.timestamp()).ok().map(Duration::from_secs)
    };
    chain.iter().map(end).collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// From when until when a certificate is valid, both counted from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its `notBefore`.
    pub begin: Duration,
    /// Its `notAfter`.
    pub end: Duration,
}

/// How long a certificate is valid; none where it cannot be read.
#[must_use]
pub fn life_of(certificate: &CertificateDer) -> Option<Life> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let since_1970 = |seconds| u64::try_from(seconds).ok().map(Duration::from_secs);
    let validity = parsed.validity();
    Some(Life { begin: since_1970(validity.not_before.timestamp())?, end: since_1970(validity.not_after.timestamp())? })
}

/// The identity that a certificate would prove, were it verified by `ca`: for tools that are told to believe it.
///
/// # Errors
/// Where it is no certificate.
pub fn names_of(
    end_entity: &CertificateDer,
    ca: &ClientCa,
    trust_domain: &str,
) -> Result<PeerCertificate, CertificateFault> {
    let (_, parsed) = X509Certificate::from_der(end_entity).map_err(|_| CertificateFault::Malformed)?;
    Ok(identity(&parsed, end_entity, ca, trust_domain))
}

fn identity(parsed: &X509Certificate, der: &CertificateDer, ca: &ClientCa, trust_domain: &str) -> PeerCertificate {
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, der)).into();
    PeerCertificate {
        ca: ca.name.clone(),
        thumbprint: Some(thumbprint),
        ..names::read(parsed, ca.built_in, trust_domain)
    }
}

#[cfg(test)]
mod tests;
