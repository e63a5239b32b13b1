//! Bundles of CA certificates: what is in them, and whether it may vouch for anybody.

use policy::certificate::{AnchorFault, check_anchor, life_of};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use std::time::Duration;

use super::sink::Sink;
use crate::diagnostic::Code;

/// The most certificates of one bundle: a root and its successor per region leaves room.
const MAX_CERTIFICATES: usize = 64;

/// Reads a PEM bundle; faults are reported at `pointer`, and, where the present moment is known, what has expired.
pub(super) fn read(
    pem: &str,
    what: &str,
    pointer: &str,
    now: Option<Duration>,
    sink: &mut Sink,
) -> Vec<CertificateDer<'static>> {
    let hint =
        "write CA certificates in PEM, each between `-----BEGIN CERTIFICATE-----` and `-----END CERTIFICATE-----`";
    let Ok(certificates) = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>() else {
        sink.error(pointer, Code::BadCertificate, format!("{what} is not PEM"), hint);
        return Vec::new();
    };
    if certificates.is_empty() {
        sink.error(pointer, Code::BadCertificate, format!("{what} holds no certificate"), hint);
    }
    if certificates.len() > MAX_CERTIFICATES {
        sink.error(
            pointer,
            Code::OutOfBounds,
            format!("{what} holds more than {MAX_CERTIFICATES} certificates"),
            "split the bundle into several CAs",
        );
    }
    for (index, certificate) in certificates.iter().enumerate() {
        if let Err(fault) = check_anchor(certificate) {
            let hint = match fault {
                AnchorFault::NotACa => "write the certificate of the authority, not one that it issued",
                _ => "",
            };
            sink.error(pointer, Code::BadCertificate, format!("certificate {} of {what}: {fault}", index + 1), hint);
        }
        // No error: it vouches for nobody, and the others of the bundle go on.
        if now.is_some_and(|now| life_of(certificate).is_some_and(|life| life.end < now)) {
            let message = format!("certificate {} of {what} has expired and vouches for nobody", index + 1);
            sink.warning(pointer, Code::Expired, message, "write the authority's present certificate");
        }
    }
    certificates
}
