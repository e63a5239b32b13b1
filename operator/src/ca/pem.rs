//! Textual encoding of certificates and keys (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Characters of a line (RFC 7468, section 2).
const LINE: usize = 64;

/// One certificate.
pub(super) fn certificate(der: &CertificateDer) -> String {
    encode("CERTIFICATE", der)
}

/// One private key as PKCS #8.
pub(super) fn key(pkcs8: &[u8]) -> String {
    encode("PRIVATE KEY", pkcs8)
}

/// All certificates in a text; none where one cannot be read or there is none.
pub(super) fn certificates(text: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().ok()?;
    (!all.is_empty()).then_some(all)
}

/// The first private key in a text.
pub(super) fn private_key(text: &[u8]) -> Option<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(text).ok()
}

fn encode(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII.
        let (line, after) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for length in [1, 47, 48, 49, 96, 500] {
            let der = CertificateDer::from(vec![7_u8; length]);
            let text = certificate(&der);
            assert!(text.lines().all(|line| line.len() <= LINE), "{text}");
            assert_eq!(certificates(text.as_bytes()), Some(vec![der]));
        }
        assert_eq!(certificates(b"nothing"), None);
    }
}
