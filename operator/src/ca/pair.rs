//! A certificate that signs others, with its key.

use super::{CaError, pem};
use crate::limits::{BACKDATE, CA_LIFE};
use jiff::Timestamp;
use policy::certificate::{AnchorFault, check_anchor, public_key};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use std::fmt;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate of a CA with its key. Cheap to clone; the key is never shown.
#[derive(Clone)]
pub struct Pair {
    certificate: CertificateDer<'static>,
    not_before: Timestamp,
    not_after: Timestamp,
    issuer: Arc<Issuer<'static, KeyPair>>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Pair {
    /// A new P-256 key with its self-signed certificate.
    ///
    /// # Errors
    /// [`CaError::Internal`] in theory.
    pub(super) fn generate(now: Timestamp) -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| CaError::Internal)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // The time in it keeps two of our CAs apart where people read a bundle.
        params.distinguished_name.push(DnType::CommonName, format!("Doorward {now:.0}"));
        set_validity(&mut params, now - BACKDATE, now + CA_LIFE);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.self_signed(&key).map_err(|_| CaError::Internal)?;
        Self::new("tls.crt", certificate.der().clone(), key)
    }

    /// Reads and checks a certificate and its key; `name` is where the certificate stands.
    ///
    /// # Errors
    /// See [`CaError`]. Whether its time has come or is over is not looked at.
    pub(super) fn read(name: &'static str, certificate: CertificateDer<'static>, key: &[u8]) -> Result<Self, CaError> {
        let unreadable = CaError::Unreadable(if name == "next.crt" { "next.key" } else { "tls.key" });
        let key = pem::private_key(key).ok_or_else(|| unreadable.clone())?;
        Self::new(name, certificate, KeyPair::try_from(&key).map_err(|_| unreadable)?)
    }

    fn new(name: &'static str, certificate: CertificateDer<'static>, key: KeyPair) -> Result<Self, CaError> {
        check_anchor(&certificate).map_err(|fault| CaError::Anchor(name, fault))?;
        if public_key(&certificate) != Some(key.subject_public_key_info()) {
            return Err(CaError::KeyMismatch);
        }
        let (not_before, not_after) = validity(name, &certificate)?;
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(|_| CaError::Anchor(name, AnchorFault::Malformed))?;
        Ok(Self { certificate, not_before, not_after, issuer: Arc::new(issuer) })
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate in PEM.
    pub(super) fn certificate_pem(&self) -> String {
        pem::certificate(&self.certificate)
    }

    /// The key as PKCS #8 in PEM: for the Secret alone.
    pub(super) fn key_pem(&self) -> String {
        pem::key(self.issuer.key().serialized_der())
    }

    /// When its time begins.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// When its time ends.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// What signs.
    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// Whether its time has come and is not over.
    ///
    /// # Errors
    /// [`CaError::NotYetValid`], [`CaError::Expired`].
    pub(super) fn check_time(&self, now: Timestamp) -> Result<(), CaError> {
        if now < self.not_before {
            return Err(CaError::NotYetValid(self.not_before));
        }
        if self.not_after <= now { Err(CaError::Expired(self.not_after)) } else { Ok(()) }
    }
}

/// From when until when a certificate is valid.
pub(super) fn validity(name: &'static str, der: &CertificateDer) -> Result<(Timestamp, Timestamp), CaError> {
    let malformed = || CaError::Anchor(name, AnchorFault::Malformed);
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| malformed())?;
    let validity = certificate.validity();
    let at = |second: i64| Timestamp::from_second(second).map_err(|_| malformed());
    Ok((at(validity.not_before.timestamp())?, at(validity.not_after.timestamp())?))
}

/// Sets from when until when a certificate is valid.
pub(super) fn set_validity(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    let epoch = date_time_ymd(1970, 1, 1);
    let since = |at: Timestamp| at.duration_since(Timestamp::UNIX_EPOCH).unsigned_abs();
    params.not_before = epoch + since(from);
    params.not_after = epoch + since(until);
}
