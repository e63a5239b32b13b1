//! Whether those who know the bundle believe what the CA signs: one that is told to them and does not would lock them all out.

use super::CaError;
use super::authority::Material;
use super::issue::{IssueError, dns_name, sign};
use super::pem;
use jiff::Timestamp;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{ServerName, UnixTime};
use std::sync::Arc;
use std::time::Duration;

/// A name for a certificate that nobody gets (RFC 6761, section 6.4).
const NOBODY: &str = "vouched.invalid";

/// Signs a certificate, and verifies it as a sidecar does.
///
/// # Errors
/// [`CaError::NotVouched`], and all of signing.
pub(super) fn check(material: &Material, now: Timestamp) -> Result<(), IssueError> {
    let internal = || IssueError::Unavailable(CaError::Internal);
    let key = KeyPair::generate().map_err(|_| internal())?;
    let (chain, _) = sign(material, &key, vec![dns_name(NOBODY)?], now)?;
    let mut roots = RootCertStore::empty();
    for root in pem::certificates(material.bundle.as_bytes()).ok_or_else(internal)? {
        roots.add(root).map_err(|_| internal())?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|_| internal())?;
    let (own, rest) = chain.split_first().ok_or_else(internal)?;
    let name = ServerName::try_from(NOBODY).map_err(|_| internal())?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()));
    let verified = verifier.verify_server_cert(own, rest, &name, &[], now);
    verified.map(drop).map_err(|_| IssueError::Unavailable(CaError::NotVouched))
}
