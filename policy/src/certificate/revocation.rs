//! Certificate revocation lists (RFC 5280, section 5): of the leaf, in date, and of its own issuer.

use super::Life;
use std::time::Duration;
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, Error, ExpirationPolicy, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

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

/// The issuer of a revocation list, DER, and how long it is in date (`thisUpdate`, `nextUpdate`); none where it cannot be read or does
/// not say.
#[must_use]
pub fn crl_of(der: &[u8]) -> Option<(Vec<u8>, Life)> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    let since_1970 = |time: ASN1Time| u64::try_from(time.timestamp()).ok().map(Duration::from_secs);
    let life = Life { begin: since_1970(list.last_update())?, end: since_1970(list.next_update()?)? };
    Some((list.issuer().as_raw().to_vec(), life))
}

/// The lists of one CA.
#[derive(Debug)]
pub(super) struct RevocationLists {
    lists: Vec<CertRevocationList<'static>>,
    ends: Vec<Duration>,
}

impl RevocationLists {
    pub(super) fn new(lists: &[Vec<u8>]) -> Result<Self, CrlFault> {
        let parse =
            |der: &Vec<u8>| OwnedCertRevocationList::from_der(der).map(CertRevocationList::from).map_err(|_| CrlFault);
        let ends = lists.iter().filter_map(|der| crl_of(der)).map(|(_, life)| life.end).collect();
        Ok(Self { lists: lists.iter().map(parse).collect::<Result<_, _>>()?, ends })
    }

    /// When each of them runs out, counted from 1970.
    pub(super) fn ends(&self) -> impl Iterator<Item = Duration> {
        self.ends.iter().copied()
    }

    pub(super) fn borrowed(&self) -> Vec<&CertRevocationList<'static>> {
        self.lists.iter().collect()
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
