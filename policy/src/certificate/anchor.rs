//! Whether a certificate may vouch for others at all (RFC 5280, section 4.2.1).

use x509_parser::asn1_rs::{Any, Oid};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// Why a certificate is no trust anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorFault {
    /// Not X.509.
    #[error("it cannot be read")]
    Malformed,
    /// Basic constraints without the CA flag.
    #[error("it is not the certificate of a CA")]
    NotACa,
    /// A key usage that does not allow to sign certificates.
    #[error("its key usage lacks `keyCertSign`")]
    KeyUsage,
    /// A key that is too short or of an unknown kind.
    #[error("its key is no RSA key of 2048 to 8192 bits, no P-256 or P-384 and no Ed25519 key")]
    Weak,
}

/// Checks a certificate that is to be trusted as a CA.
///
/// # Errors
/// See [`AnchorFault`].
pub fn check_anchor(der: &[u8]) -> Result<(), AnchorFault> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| AnchorFault::Malformed)?;
    if !rest.is_empty() || webpki::anchor_from_trusted_cert(&der.into()).is_err() {
        return Err(AnchorFault::Malformed);
    }
    if !certificate.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca) {
        return Err(AnchorFault::NotACa);
    }
    match certificate.key_usage() {
        Ok(Some(usage)) if !usage.value.key_cert_sign() => return Err(AnchorFault::KeyUsage),
        Ok(_) => {}
        Err(_) => return Err(AnchorFault::Malformed),
    }
    if is_sound_key(certificate.public_key().raw) { Ok(()) } else { Err(AnchorFault::Weak) }
}

/// The public key of a certificate, DER: what two certificates of one authority share.
#[must_use]
pub fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

/// Whether a handshake can be signed with a key so that it verifies here (RFC 8446, section 4.2.3): the library has an algorithm for
/// it, and of RSA none below 2048 bits and above 8192.
pub(super) fn is_handshake_key(key: &SubjectPublicKeyInfo) -> bool {
    let has_algorithm =
        webpki::ALL_VERIFICATION_ALGS.iter().any(|known| same_algorithm(&known.public_key_alg_id(), &key.algorithm));
    has_algorithm && !matches!(key.parsed(), Ok(PublicKey::RSA(rsa)) if !(2048..=8192).contains(&rsa.key_size()))
}

/// Whether an algorithm is the one whose content (DER without tag and length of the sequence, RFC 5280, section 4.1.1.2) is known.
pub(super) fn same_algorithm(known: &[u8], algorithm: &AlgorithmIdentifier) -> bool {
    let Ok((parameters, oid)) = Oid::from_der(known) else { return false };
    let parameters = (!parameters.is_empty()).then(|| Any::from_der(parameters).map(|(_, parameters)| parameters));
    oid == algorithm.algorithm && parameters.transpose().is_ok_and(|parameters| parameters == algorithm.parameters)
}

/// Whether a public key (`SubjectPublicKeyInfo`, DER) is strong and of a kind that certificates may have: an RSA key of 2048
/// to 8192 bits, a P-256, P-384 or Ed25519 key.
#[must_use]
pub fn is_sound_key(der: &[u8]) -> bool {
    /// Ed25519 (RFC 8410, section 3).
    const ED25519: &str = "1.3.101.112";
    /// P-256 and P-384 (RFC 5480, section 2.1.1.1): other curves have keys of the same lengths.
    const CURVES: [&str; 2] = ["1.2.840.10045.3.1.7", "1.3.132.0.34"];
    let Ok(([], key)) = SubjectPublicKeyInfo::from_der(der) else { return false };
    let curve = || key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => (2048..=8192).contains(&rsa.key_size()),
        Ok(PublicKey::EC(_)) => curve().is_some_and(|curve| CURVES.contains(&&*curve.to_id_string())),
        _ => key.algorithm.algorithm.to_id_string() == ED25519,
    }
}
