//! Certificates for pods and for the operator itself. Names come from the caller of these functions, never from a request.

use super::CaError;
use super::authority::Material;
use super::pair::set_validity;
use crate::hub::Names;
use crate::limits::{BACKDATE, CERTIFICATE_LIFE, DNS_NAMES, SERIAL};
use jiff::Timestamp;
use policy::certificate::is_sound_key;
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA};
use x509_parser::prelude::FromDer;

/// Why no certificate is issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Not a request.
    #[error("`csr` is no PKCS #10 request in PEM")]
    Malformed,
    /// The proof of possession does not verify, or is made with an algorithm that proves nothing.
    #[error("the signature of the request does not prove that its key is at hand")]
    Proof,
    /// A key that is too short or of an unknown kind.
    #[error("the key is no RSA key of 2048 to 8192 bits, no P-256 or P-384 and no Ed25519 key")]
    WeakKey,
    /// More names than a certificate of ours has.
    #[error("{0} Services select the pod, and a certificate has at most {DNS_NAMES} names")]
    TooManyNames(usize),
    /// A name that no certificate can hold.
    #[error("a name of the pod cannot stand in a certificate")]
    Name,
    /// There is no CA that could sign.
    #[error("the CA cannot sign now")]
    Unavailable(#[source] CaError),
    /// No CA was loaded yet.
    #[error("the CA is not loaded yet")]
    NotLoaded,
}

impl IssueError {
    /// Stable for answers, logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "csr_malformed",
            Self::Proof => "csr_proof",
            Self::WeakKey => "csr_weak_key",
            Self::TooManyNames(_) => "too_many_names",
            Self::Name => "name_invalid",
            Self::Unavailable(fault) => fault.code(),
            Self::NotLoaded => "ca_not_loaded",
        }
    }
}

/// The public key of a request in PEM, after the proof that its owner has the private one. Everything else in the request
/// is ignored.
pub(super) fn requested_key(csr: &str) -> Result<SubjectPublicKeyInfo, IssueError> {
    let der = CertificateSigningRequestDer::from_pem_slice(csr.as_bytes()).map_err(|_| IssueError::Malformed)?;
    let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| IssueError::Malformed)?;
    if !rest.is_empty() {
        return Err(IssueError::Malformed);
    }
    let key = &request.certification_request_info.subject_pki;
    if !is_sound_key(key.raw) {
        return Err(IssueError::WeakKey);
    }
    let algorithm = &request.signature_algorithm.algorithm;
    if [OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA].contains(algorithm) || request.verify_signature().is_err() {
        return Err(IssueError::Proof);
    }
    SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| IssueError::WeakKey)
}

/// The names of a pod as a certificate has them.
pub(super) fn pod_names(names: &Names) -> Result<Vec<SanType>, IssueError> {
    if names.dns.len() > DNS_NAMES {
        return Err(IssueError::TooManyNames(names.dns.len()));
    }
    let uri = names.spiffe.as_str().try_into().map(SanType::URI).map_err(|_| IssueError::Name)?;
    let dns = names.dns.iter().map(|name| dns_name(name));
    std::iter::once(Ok(uri)).chain(dns).collect()
}

/// A DNS name as a certificate has it.
pub(super) fn dns_name(name: &str) -> Result<SanType, IssueError> {
    name.try_into().map(SanType::DnsName).map_err(|_| IssueError::Name)
}

/// Signs; the chain comes back, its own certificate first, and the time at which it ends.
pub(super) fn sign(
    material: &Material,
    key: &impl PublicKeyData,
    names: Vec<SanType>,
    now: Timestamp,
) -> Result<(Vec<CertificateDer<'static>>, Timestamp), IssueError> {
    let signer = &material.signer;
    signer.check_time(now).map_err(IssueError::Unavailable)?;
    let ends = (now + CERTIFICATE_LIFE).min(signer.not_after());
    let mut params = CertificateParams::default();
    set_validity(&mut params, (now - BACKDATE).max(signer.not_before()), ends);
    params.serial_number = Some(serial().map_err(IssueError::Unavailable)?);
    // Who this is stands in the alternative names alone (SPIFFE X.509-SVID, section 2).
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(key, signer.issuer()).map_err(|_| IssueError::Unavailable(CaError::Internal))?;
    let chain = std::iter::once(certificate.der().clone()).chain(material.intermediates.iter().cloned());
    Ok((chain.collect(), ends))
}

/// Random and positive.
fn serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; SERIAL];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CaError::Internal)?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests;
