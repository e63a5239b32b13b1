//! Certificate revocation lists (RFC 5280, section 5): of the leaf, in date, and of its own issuer.

use webpki::{
    BorrowedCertRevocationList, CertRevocationList, Error, ExpirationPolicy, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
};

/// Why a revocation list cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be read as a revocation list (X.509 CRL, version 2)")]
pub struct CrlFault;

/// Looks whether bytes are a revocation list that can be used.
///
/// # Errors
/// Where they are none.
pub fn check_crl(der: &[u8]) -> Result<(), CrlFault> {
    BorrowedCertRevocationList::from_der(der).map(drop).map_err(|_| CrlFault)
}

/// The lists of one CA.
#[derive(Debug)]
pub(super) struct RevocationLists(Vec<CertRevocationList<'static>>);

impl RevocationLists {
    pub(super) fn new(lists: &[Vec<u8>]) -> Result<Self, CrlFault> {
        let parse =
            |der: &Vec<u8>| OwnedCertRevocationList::from_der(der).map(CertRevocationList::from).map_err(|_| CrlFault);
        lists.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn borrowed(&self) -> Vec<&CertRevocationList<'static>> {
        self.0.iter().collect()
    }
}

/// How strictly lists are taken; none where there are none.
pub(super) fn options<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let builder = RevocationOptionsBuilder::new(lists).ok()?;
    let strict = builder
        .with_depth(RevocationCheckDepth::EndEntity)
        .with_status_policy(UnknownStatusPolicy::Deny)
        .with_expiration_policy(ExpirationPolicy::Enforce);
    Some(strict.build())
}

/// Whether a chain failed for its lists alone.
pub(super) fn is_about(error: &Error) -> bool {
    matches!(
        error,
        Error::CertRevoked
            | Error::UnknownRevocationStatus
            | Error::CrlExpired { .. }
            | Error::InvalidCrlSignatureForPublicKey
    )
}
