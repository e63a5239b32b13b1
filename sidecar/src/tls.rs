//! TLS as every connection is accepted with it.
//!
//! A configuration is built for each connection from shared parts: its verifier keeps the names that the verification
//! itself proved, so which CA vouched is never found out a second time.

mod certificate;
mod folder;
mod verifier;

pub use certificate::{CertificateError, CurrentCertificate, ServerCertificate, authorities_in};
pub use folder::CertificateFolder;
pub(crate) use verifier::{Demand, PeerVerifier};

use crate::clock::Clock;
use crate::state::{ClientCas, InForce};
use policy::wire::{TlsMode, TlsVersion};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use std::sync::Arc;

/// The name of HTTP/2 in a handshake (RFC 9113, section 3.2).
pub(crate) const H2: &[u8] = b"h2";
/// The name of HTTP/1.1 in a handshake (RFC 7301, section 6).
const H1: &[u8] = b"http/1.1";

const FROM_1_2: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
const FROM_1_3: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// What all connections share.
#[derive(Debug)]
pub(crate) struct TlsParts {
    provider: Arc<CryptoProvider>,
    certificate: Arc<CurrentCertificate>,
    clock: Clock,
}

/// The one cryptographic provider, its default groups kept: X25519MLKEM768 comes first.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl TlsParts {
    pub(crate) fn new(certificate: Arc<CurrentCertificate>, clock: Clock) -> Self {
        Self { provider: provider(), certificate, clock }
    }

    /// The configuration for one connection. Without a policy no certificate is asked for: every request is refused, and a
    /// policy that comes while the connection lasts judges it anew.
    pub(crate) fn for_connection(
        &self,
        in_force: Option<&InForce>,
    ) -> Result<(ServerConfig, Arc<PeerVerifier>), rustls::Error> {
        let (cas, mode, lowest) = match in_force {
            Some(in_force) => {
                (Arc::clone(&in_force.client_cas), Some(in_force.ruleset.accepts()), in_force.ruleset.tls().min_version)
            }
            None => (Arc::new(ClientCas::default()), None, TlsVersion::Tls12),
        };
        let demand = Demand {
            certificate: mode == Some(TlsMode::Mutual),
            proof: !in_force.is_some_and(|in_force| in_force.ruleset.is_audit()),
        };
        let verifier = Arc::new(PeerVerifier::new(cas, demand, Arc::clone(&self.provider), self.clock));
        let versions = match lowest {
            TlsVersion::Tls12 => FROM_1_2,
            TlsVersion::Tls13 => FROM_1_3,
        };
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&self.provider)).with_protocol_versions(versions)?;
        let builder = match mode {
            Some(_) => builder.with_client_cert_verifier(Arc::clone(&verifier) as _),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.certificate) as _);
        // A resumed session would skip the client's chain. (Early data is off, rustls' default, and a test holds it there.)
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.alpn_protocols = vec![H2.to_vec(), H1.to_vec()];
        Ok((config, verifier))
    }
}
