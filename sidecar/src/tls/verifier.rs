//! The verifier of one connection's client certificate.

use crate::clock::Clock;
use crate::state::ClientCas;
use policy::certificate::CertificateFault;
use policy::peer::PeerCertificate;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What a handshake needs from the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    /// A certificate at all.
    pub(crate) certificate: bool,
    /// That a certificate verifies; under a policy in Audit one that does not is nobody's.
    pub(crate) proof: bool,
}

/// Verifies against the CAs that were in force when the connection came, and keeps what was proven.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    cas: Arc<ClientCas>,
    demand: Demand,
    provider: Arc<CryptoProvider>,
    clock: Clock,
    proven: OnceLock<PeerCertificate>,
    /// That whoever sent the certificate holds its key.
    possessed: AtomicBool,
}

impl PeerVerifier {
    pub(super) fn new(cas: Arc<ClientCas>, demand: Demand, provider: Arc<CryptoProvider>, clock: Clock) -> Self {
        Self { cas, demand, provider, clock, proven: OnceLock::new(), possessed: AtomicBool::new(false) }
    }

    /// What the certificate proves; to be asked only after the handshake, which proves that the caller holds its key.
    pub(crate) fn proven(&self) -> Option<&PeerCertificate> {
        self.proven.get()
    }

    /// Whether the caller has shown that it holds the key of the certificate. Without that nobody may ever be known by it.
    pub(crate) fn is_possessed(&self) -> bool {
        self.possessed.load(Ordering::Relaxed)
    }

    /// A signature of the handshake (RFC 8446, section 4.4.3). Under a policy in Audit nobody is kept out by a certificate that proves
    /// nothing, whatever is wrong with the signature; but nobody is ever known by it.
    fn signed(&self, verified: Result<HandshakeSignatureValid, Error>) -> Result<HandshakeSignatureValid, Error> {
        match verified {
            Err(_) if !self.demand.proof && self.proven.get().is_none() => Ok(HandshakeSignatureValid::assertion()),
            Ok(valid) => {
                self.possessed.store(true, Ordering::Relaxed);
                Ok(valid)
            }
            refused => refused,
        }
    }

    /// The CAs that it was verified against.
    pub(crate) fn cas(&self) -> &Arc<ClientCas> {
        &self.cas
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.demand.certificate
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.cas.hints()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer,
        intermediates: &[CertificateDer],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let fault = |fault: CertificateFault| {
            Error::InvalidCertificate(match fault {
                CertificateFault::Malformed => CertificateError::BadEncoding,
                CertificateFault::Untrusted => CertificateError::UnknownIssuer,
                CertificateFault::Revoked => CertificateError::Revoked,
                CertificateFault::Usage | CertificateFault::Key => CertificateError::InvalidPurpose,
            })
        };
        let proven = match self.cas.verify((end_entity, intermediates), self.clock.unix_time()) {
            Ok(proven) => proven,
            Err(_) if !self.demand.proof => return Ok(ClientCertVerified::assertion()),
            Err(unproven) => return Err(fault(unproven)),
        };
        // A second certificate on one connection would be renegotiation, which rustls does not do.
        self.proven.set(proven).map_err(|_| Error::General("a second client certificate".to_owned()))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        self.signed(verify_tls12_signature(message, certificate, signed, known))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        self.signed(verify_tls13_signature(message, certificate, signed, known))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
