//! Certificates and revocation lists as they stand in the corpus, but with keys that the runner holds: all else of them, the names,
//! serial numbers, times and extensions, stays byte for byte.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cli::dev::Issued;
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

/// An authority: its certificate in the corpus, and the key in place of its own.
pub(crate) struct StandIn {
    original: Vec<u8>,
    key: KeyPair,
}

impl StandIn {
    pub(crate) fn new(original: &[u8]) -> Self {
        Self { original: original.to_vec(), key: KeyPair::generate().unwrap() }
    }

    /// Its certificate with that key.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        let content = with_key(&self.original, &self.key);
        signed(&content, &self.original, &self.key)
    }

    fn signed_by_original(&self, content: &[u8], signature: &[u8]) -> bool {
        let (_, original) = X509Certificate::from_der(&self.original).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &original.public_key().subject_public_key.data);
        key.verify(content, signature).is_ok()
    }
}

/// A certificate of a caller with a key of the runner, signed for the authority that signed the original. Where that is none of them,
/// a key signs that nobody trusts.
pub(crate) fn caller(pem: &str, authorities: &[StandIn]) -> Issued {
    let original = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, parsed) = X509Certificate::from_der(&original).unwrap();
    let nobody = KeyPair::generate().unwrap();
    let issuer = signer(parsed.tbs_certificate.as_ref(), &parsed.signature_value.data, authorities).unwrap_or(&nobody);
    let key = KeyPair::generate().unwrap();
    let certificate = signed(&with_key(&original, &key), &original, issuer);
    let certificate = STANDARD.encode(certificate);
    let certificate = format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n");
    Issued { certificate, key: key.serialize_pem() }
}

/// A revocation list, signed for the authority that signed it; as it is where that is none of them.
pub(crate) fn list(original: &[u8], authorities: &[StandIn]) -> Vec<u8> {
    let (_, parsed) = CertificateRevocationList::from_der(original).unwrap();
    let content = parsed.tbs_cert_list.as_ref();
    match signer(content, &parsed.signature_value.data, authorities) {
        Some(key) => signed(content, original, key),
        None => original.to_vec(),
    }
}

fn signer<'a>(content: &[u8], signature: &[u8], authorities: &'a [StandIn]) -> Option<&'a KeyPair> {
    authorities.iter().find(|authority| authority.signed_by_original(content, signature)).map(|found| &found.key)
}

/// What is signed of a certificate, with another key in place of one of the same kind, which is just as long.
fn with_key(certificate: &[u8], key: &KeyPair) -> Vec<u8> {
    let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
    let (old, new) = (parsed.public_key().raw, key.subject_public_key_info());
    assert_eq!(old.len(), new.len(), "certificates of the corpus have P-256 keys");
    let content = parsed.tbs_certificate.as_ref();
    let at = content.windows(old.len()).position(|window| window == old).unwrap();
    [&content[..at], &new, &content[at + old.len()..]].concat()
}

/// Content with the signature algorithm of the original and a signature of the key (RFC 5280, sections 4.1 and 5.1).
fn signed(content: &[u8], original: &[u8], key: &KeyPair) -> Vec<u8> {
    /// ecdsa-with-SHA256 (RFC 5758, section 3.2).
    const ALGORITHM: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    assert!(original.windows(ALGORITHM.len()).any(|window| window == ALGORITHM), "the corpus has this algorithm alone");
    let signature = element(0x03, &[&[0][..], &key.sign(content).unwrap()].concat());
    element(0x30, &[content, ALGORITHM, &signature].concat())
}

/// A tag, a length and what it holds (X.690, section 8.1).
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let head = match length {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, content.to_vec()].concat()
}
