//! Certificate revocation lists (RFC 5280, section 5): of the leaf, in date, and of its own issuer.

use super::anchor::same_algorithm;
use super::{CertificateFault, ClientCaFault, Life, SIGNATURE_ALGORITHMS};
use std::time::Duration;
use webpki::{
    CertRevocationList, Error, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth, RevocationOptions,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;
use x509_parser::x509::AlgorithmIdentifier;

/// Why a revocation list cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlFault {
    /// It is no X.509 CRL (RFC 5280, section 5.1).
    #[error("it cannot be read as a revocation list (X.509 CRL)")]
    Malformed,
    /// It is one whose version or extensions are not taken (RFC 5280, sections 5.1.2.1 and 5.2).
    #[error(
        "it is not a list of version 2 of all that its issuer revoked: indirect, partial and delta lists are not taken"
    )]
    Scope,
    /// Its signature is of an algorithm that is not among [`SIGNATURE_ALGORITHMS`]: nobody could tell whose it is.
    #[error("it is signed with an algorithm that is not taken")]
    Algorithm,
}

/// Looks whether bytes are a revocation list that can be used.
///
/// # Errors
/// See [`CrlFault`].
pub fn check_crl(der: &[u8]) -> Result<(), CrlFault> {
    List::parse(der).map(drop)
}

/// The issuer of a revocation list, DER, and how long it is in date (`thisUpdate`, `nextUpdate`); none where it cannot be read or does
/// not say.
#[must_use]
pub fn crl_of(der: &[u8]) -> Option<(Vec<u8>, Life)> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    Some((list.issuer().as_raw().to_vec(), life(&list)?))
}

fn life(list: &CertificateRevocationList) -> Option<Life> {
    let since_1970 = |time: ASN1Time| u64::try_from(time.timestamp()).ok().map(Duration::from_secs);
    Some(Life { begin: since_1970(list.last_update())?, end: since_1970(list.next_update()?)? })
}

/// A list, the distinguished name of its issuer, DER, and when it runs out, counted from 1970, where it says so.
#[derive(Debug)]
struct List {
    issuer: Vec<u8>,
    end: Option<Duration>,
    list: CertRevocationList<'static>,
}

impl List {
    fn parse(der: &[u8]) -> Result<Self, CrlFault> {
        let (_, parsed) = CertificateRevocationList::from_der(der).map_err(|_| CrlFault::Malformed)?;
        let list = OwnedCertRevocationList::from_der(der).map_err(|_| CrlFault::Scope)?;
        if !is_taken(&parsed.signature_algorithm) {
            return Err(CrlFault::Algorithm);
        }
        let end = life(&parsed).map(|life| life.end);
        Ok(Self { issuer: parsed.issuer().as_raw().to_vec(), end, list: list.into() })
    }
}

/// Whether a signature of this algorithm can be verified. Where it cannot, verification of a chain may end with another fault of
/// another path, and a list that names the leaf would pass for one that says nothing.
fn is_taken(algorithm: &AlgorithmIdentifier) -> bool {
    SIGNATURE_ALGORITHMS.iter().any(|taken| same_algorithm(&taken.signature_alg_id(), algorithm))
}

/// The lists of one CA.
#[derive(Debug)]
pub(super) struct RevocationLists(Vec<List>);

impl RevocationLists {
    pub(super) fn new(lists: &[Vec<u8>]) -> Result<Self, ClientCaFault> {
        let read = |(index, der): (usize, &Vec<u8>)| {
            List::parse(der).map_err(|fault| ClientCaFault::RevocationList(index + 1, fault))
        };
        lists.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is none: then nothing is asked of a certificate.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When each of them runs out, counted from 1970.
    pub(super) fn ends(&self) -> impl Iterator<Item = Duration> {
        self.0.iter().filter_map(|list| list.end)
    }

    /// Looks whether a chain that verified without lists holds under those of the leaf's issuer. `verify` verifies it under one:
    /// webpki itself looks at the first of a name and at no other, and one name may have several lists, an old one and a new one,
    /// or of the old key and of the new one.
    ///
    /// # Errors
    /// Where one of them names the leaf, or none covers it.
    pub(super) fn check(
        &self,
        issuer: &[u8],
        verify: impl Fn(RevocationOptions) -> Result<(), Error>,
    ) -> Result<(), CertificateFault> {
        let mut covered = false;
        for list in self.0.iter().filter(|list| list.issuer == issuer) {
            let Some(verified) = strict(&[&list.list]).map(&verify) else { continue };
            match verified {
                Ok(()) => covered = true,
                Err(error) if says_nothing(&error) => {}
                Err(_) => return Err(CertificateFault::Revoked),
            }
        }
        if covered { Ok(()) } else { Err(CertificateFault::Revoked) }
    }
}

/// How strictly lists are taken; none where there are none.
fn strict<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let builder = RevocationOptionsBuilder::new(lists).ok()?;
    let strict = builder
        .with_depth(RevocationCheckDepth::EndEntity)
        .with_status_policy(UnknownStatusPolicy::Deny)
        .with_expiration_policy(ExpirationPolicy::Enforce);
    Some(strict.build())
}

/// Whether a list leaves the leaf as it is. The path is proven by then, so all that verification may say for the first time is
/// about this list: it names the leaf, or there was more to look at than the library looks at. Everything else (another key's, for
/// other certificates, out of date) makes it one that does not count.
fn says_nothing(error: &Error) -> bool {
    !matches!(
        error,
        Error::CertRevoked
            // Refused when it is read: here only should the two readers ever differ.
            | Error::UnsupportedCrlSignatureAlgorithmContext(_)
            | Error::MaximumPathDepthExceeded
            | Error::MaximumSignatureChecksExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumNameConstraintComparisonsExceeded
    )
}
