//! What tests of the CA share: certificate requests, a verifier, the time.

use crate::hub::Names;
use jiff::Timestamp;
use policy::wire::IssuedCertificate;
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A request for a key, in PEM.
pub(super) fn csr(key: &KeyPair) -> String {
    CertificateParams::default().serialize_request(key).unwrap().pem().unwrap()
}

pub(super) fn names() -> Names {
    Names { spiffe: "spiffe://cluster.local/ns/shop/sa/web".to_owned(), dns: vec![DNS.to_owned()] }
}

pub(super) const DNS: &str = "web.shop.svc.cluster.local";

/// Whether a caller that knows this bundle accepts this chain for [`DNS`] at this time.
pub(super) fn verifies(issued: &IssuedCertificate, bundle: &str, now: Timestamp) -> Result<(), rustls::Error> {
    verifies_as(issued, bundle, now, DNS)
}

pub(super) fn verifies_as(
    issued: &IssuedCertificate,
    bundle: &str,
    now: Timestamp,
    name: &'static str,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    for root in super::pem::certificates(bundle.as_bytes()).unwrap() {
        roots.add(root)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let chain: Vec<CertificateDer> = super::pem::certificates(issued.chain.as_bytes()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().unsigned_abs()));
    let name = ServerName::try_from(name).unwrap();
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now).map(|_| ())
}
