use super::*;
use crate::ca::Authority;
use crate::ca::State;
use crate::ca::source::built_in;
use crate::ca::testing::{at, csr, names, verifies, verifies_as};
use policy::certificate::ClientCa;
use rcgen::{BasicConstraints, KeyPair, RsaKeySize};
use std::sync::Arc;
use x509_parser::prelude::X509Certificate;

const NOW: &str = "2026-01-31T12:00:00Z";

fn authority() -> Arc<Authority> {
    let authority = Authority::new(Vec::new());
    authority.install(built_in(&State::first(at(NOW)).unwrap()), at(NOW)).unwrap();
    authority
}

fn leaf(chain: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()
}

#[test]
fn each_accepted_kind_of_key_gets_a_certificate_for_a_day() {
    let authority = authority();
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048);
    let curves = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
    for key in curves.map(KeyPair::generate_for).into_iter().chain([rsa]) {
        let key = key.unwrap();
        let issued = authority.issue(&csr(&key), &names(), at(NOW)).unwrap();
        assert_eq!(Some(issued.bundle.as_str()), authority.bundle().as_deref());
        for (time, accepted) in [
            ("2026-01-31T11:56:00Z", true),
            ("2026-02-01T11:59:00Z", true),
            ("2026-02-01T12:01:00Z", false),
            ("2026-01-31T11:54:00Z", false),
        ] {
            assert_eq!(verifies(&issued, &issued.bundle, at(time)).is_ok(), accepted, "{time}");
        }
        let der = leaf(&issued.chain);
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(certificate.public_key().raw, key.subject_public_key_info());
        let usages = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usages.client_auth && usages.server_auth);
        assert!(!certificate.is_ca());
    }
}

#[test]
fn serial_numbers_are_positive_and_differ() {
    let (one, two) = (serial().unwrap().to_bytes(), serial().unwrap().to_bytes());
    assert_ne!(one, two);
    assert!(one.len() == SERIAL && one[0] & 0x80 == 0 && one[0] != 0);
}

/// The request asks for another service account, another host, and to be a CA: the key alone counts.
#[test]
fn names_in_the_request_are_ignored() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["bank.money.svc".to_owned()]).unwrap();
    let stranger = "spiffe://cluster.local/ns/money/sa/bank";
    params.subject_alt_names.push(SanType::URI(stranger.try_into().unwrap()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let issued = authority.issue(&request, &names(), at(NOW)).unwrap();
    verifies(&issued, &issued.bundle, at(NOW)).unwrap();
    verifies_as(&issued, &issued.bundle, at(NOW), "bank.money.svc").unwrap_err();
    let der = leaf(&issued.chain);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert!(!certificate.is_ca());
    assert!(!String::from_utf8_lossy(&der).contains("money"));
    // As sidecars read it.
    let anchors = [leaf(&issued.bundle)];
    ClientCa::new("cluster", true, &anchors, &[]).unwrap();
}

#[test]
fn a_key_that_is_not_at_hand_or_weak_is_refused() {
    let authority = authority();
    let code = |request: &str| authority.issue(request, &names(), at(NOW)).unwrap_err().code();
    let key = KeyPair::generate().unwrap();
    let der = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    let pem = |der: &[u8]| {
        use base64::Engine;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
    };
    authority.issue(&pem(&der), &names(), at(NOW)).unwrap();
    // The signature of another key over the same request.
    let other = KeyPair::generate().unwrap();
    let mut forged = der.clone();
    let own = forged.windows(key.public_key_raw().len()).position(|bytes| bytes == key.public_key_raw()).unwrap();
    forged.splice(own..own + other.public_key_raw().len(), other.public_key_raw().iter().copied());
    assert_eq!(code(&pem(&forged)), "csr_proof");
    let mut longer = der.clone();
    longer.push(0);
    assert_eq!(code(&pem(&longer)), "csr_malformed");
    assert_eq!(code(&pem(&der[..der.len() - 9])), "csr_malformed");
    assert_eq!(code("nothing"), "csr_malformed");
    assert_eq!(code(&csr(&key).replace("CERTIFICATE REQUEST", "CERTIFICATE")), "csr_malformed");
    let large = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    assert_eq!(code(&csr(&large)), "csr_weak_key");
}

#[test]
fn names_are_bounded_and_plain() {
    let authority = authority();
    let request = csr(&KeyPair::generate().unwrap());
    let code = |names: &Names| authority.issue(&request, names, at(NOW)).map_err(|error| error.code()).err();
    let many = |count: usize| Names { dns: (0..count).map(|index| format!("s{index}.shop.svc")).collect(), ..names() };
    assert_eq!(code(&many(0)), None);
    assert_eq!(code(&many(DNS_NAMES)), None);
    assert_eq!(code(&many(DNS_NAMES + 1)), Some("too_many_names"));
    assert_eq!(code(&Names { dns: vec!["ü.shop.svc".to_owned()], ..names() }), Some("name_invalid"));
}

#[test]
fn nothing_outlives_its_ca_and_nothing_is_signed_after_it() {
    let state = State::first(at("2025-02-01T00:00:00Z")).unwrap();
    let ends = state.current.not_after();
    assert_eq!(ends, at("2026-02-01T00:00:00Z"));
    let authority = Authority::new(Vec::new());
    authority.install(built_in(&state), at(NOW)).unwrap();
    let request = csr(&KeyPair::generate().unwrap());
    let issued = authority.issue(&request, &names(), at(NOW)).unwrap();
    let der = leaf(&issued.chain);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.validity().not_after.timestamp(), ends.as_second());
    let code = |now: &str| authority.issue(&request, &names(), at(now)).unwrap_err().code();
    assert_eq!(code("2026-02-01T00:00:00Z"), "ca_expired");
    assert_eq!(code("2025-01-31T00:00:00Z"), "ca_not_yet_valid");
    assert_eq!(Authority::new(Vec::new()).issue(&request, &names(), at(NOW)).unwrap_err().code(), "ca_not_loaded");
}
