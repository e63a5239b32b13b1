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
use x509_parser::x509::AlgorithmIdentifier;

/// A certificate of the corpus, and the key in place of its own.
pub(crate) struct StandIn {
    original: Vec<u8>,
    key: KeyPair,
}

impl StandIn {
    pub(crate) fn new(original: &[u8]) -> Self {
        Self { original: original.to_vec(), key: KeyPair::generate().unwrap() }
    }

    /// Its certificate with that key, signed by itself.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.signed_by(self)
    }

    fn signed_by(&self, issuer: &Self) -> Vec<u8> {
        let (_, parsed) = X509Certificate::from_der(&self.original).unwrap();
        signed(&with_key(&parsed, &self.key), &parsed.signature_algorithm, &issuer.key)
    }

    fn subject(&self) -> Vec<u8> {
        policy::certificate::subject_of(&self.original.as_slice().into()).unwrap()
    }

    fn signed_by_original(&self, content: &[u8], signature: &[u8]) -> bool {
        let (_, original) = X509Certificate::from_der(&self.original).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &original.public_key().subject_public_key.data);
        key.verify(content, signature).is_ok()
    }
}

/// The chain of a caller with keys of the runner. Each certificate is signed for whoever signed the original: an authority, the
/// certificate behind it, or itself. A stranger thus sends its own CA along.
pub(crate) fn caller(pem: &str, authorities: &[StandIn]) -> Issued {
    let originals = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let sent: Vec<StandIn> = originals.iter().map(|original| StandIn::new(original)).collect();
    let mut chain = String::new();
    for (index, certificate) in sent.iter().enumerate() {
        let (_, parsed) = X509Certificate::from_der(&certificate.original).unwrap();
        let (content, signature) = (parsed.tbs_certificate.as_ref(), &parsed.signature_value.data);
        let own = sent.get(index + 1).into_iter().chain([certificate]);
        let issuer = authorities.iter().chain(own).find(|issuer| issuer.signed_by_original(content, signature));
        let issuer = issuer.unwrap_or_else(|| panic!("certificate {index} does not stand before that of its issuer"));
        let certificate = STANDARD.encode(certificate.signed_by(issuer));
        chain += &format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n");
    }
    Issued { certificate: chain, key: sent[0].key.serialize_pem() }
}

/// A revocation list, signed for the authority that signed it; as it is where its issuer is none of them.
pub(crate) fn list(original: &[u8], authorities: &[StandIn]) -> Vec<u8> {
    let (_, parsed) = CertificateRevocationList::from_der(original).unwrap();
    let content = parsed.tbs_cert_list.as_ref();
    let of_name = authorities.iter().find(|authority| authority.subject() == parsed.issuer().as_raw());
    let Some(issuer) = of_name else { return original.to_vec() };
    assert!(issuer.signed_by_original(content, &parsed.signature_value.data), "a list of the corpus is its issuer's");
    signed(content, &parsed.signature_algorithm, &issuer.key)
}

/// What is signed of a certificate, with another key in place of one of the same kind, which is just as long.
fn with_key(certificate: &X509Certificate, key: &KeyPair) -> Vec<u8> {
    let (old, new) = (certificate.public_key().raw, key.subject_public_key_info());
    assert_eq!(old.len(), new.len(), "certificates of the corpus have P-256 keys");
    let content = certificate.tbs_certificate.as_ref();
    let at = content.windows(old.len()).position(|window| window == old).unwrap();
    [&content[..at], &new, &content[at + old.len()..]].concat()
}

/// Content with the signature algorithm of the original and a signature of the key (RFC 5280, sections 4.1 and 5.1).
fn signed(content: &[u8], algorithm: &AlgorithmIdentifier, key: &KeyPair) -> Vec<u8> {
    /// ecdsa-with-SHA256 (RFC 5758, section 3.2).
    const DER: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    assert_eq!(AlgorithmIdentifier::from_der(DER).unwrap().1, *algorithm, "the corpus has this algorithm alone");
    let signature = element(0x03, &[&[0][..], &key.sign(content).unwrap()].concat());
    element(0x30, &[content, DER, &signature].concat())
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
