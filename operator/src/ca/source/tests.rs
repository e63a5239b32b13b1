use super::*;
use crate::ca::Authority;
use crate::ca::pair::set_validity;
use crate::ca::testing::{at, csr, names, verifies};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SignatureAlgorithm,
};

const NOW: &str = "2026-01-31T12:00:00Z";

type Ca = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    set_validity(&mut params, at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    params
}

fn root(change: impl Fn(&mut CertificateParams), algorithm: &'static SignatureAlgorithm) -> Ca {
    let mut params = params("root");
    change(&mut params);
    Ca::self_signed(params, KeyPair::generate_for(algorithm).unwrap()).unwrap()
}

fn sound() -> Ca {
    root(|_| {}, &rcgen::PKCS_ECDSA_P256_SHA256)
}

fn secret(entries: &[(&str, String)]) -> BTreeMap<String, Vec<u8>> {
    entries.iter().map(|(name, text)| ((*name).to_owned(), text.clone().into_bytes())).collect()
}

fn of(ca: &Ca) -> BTreeMap<String, Vec<u8>> {
    secret(&[("tls.crt", ca.pem()), ("tls.key", ca.key().serialize_pem())])
}

fn issues(data: &BTreeMap<String, Vec<u8>>) -> usize {
    let authority = Authority::new(vec!["op.ns.svc".to_owned()]);
    authority.install(given(data, at(NOW)).unwrap(), at(NOW)).unwrap();
    let issued = authority.issue(&csr(&KeyPair::generate().unwrap()), &names(), at(NOW)).unwrap();
    verifies(&issued, &issued.bundle, at(NOW)).unwrap();
    issued.chain.matches("BEGIN CERTIFICATE").count()
}

/// Sidecars that were told of such roots would not find back.
#[test]
fn roots_that_do_not_vouch_for_the_signer_are_not_told() {
    let (root, other) = (sound(), sound());
    let authority = Authority::new(vec!["op.ns.svc".to_owned()]);
    authority.install(given(&of(&root), at(NOW)).unwrap(), at(NOW)).unwrap();
    let before = authority.bundle();
    let between = Ca::signed_by(params("between"), KeyPair::generate().unwrap(), &root).unwrap();
    let with = |signer: &Ca, roots: String| {
        secret(&[("tls.crt", signer.pem()), ("tls.key", signer.key().serialize_pem()), ("ca.crt", roots)])
    };
    for (data, vouches) in [
        (with(&root, other.pem()), false),
        (with(&between, other.pem()), false),
        (with(&between, root.pem() + &other.pem()), true),
    ] {
        let installed = authority.install(given(&data, at(NOW)).unwrap(), at(NOW));
        assert_eq!(installed.err().map(|error| error.code()), (!vouches).then_some("ca_not_vouched"));
        assert_eq!(authority.bundle() != before, vouches);
    }
}

#[test]
fn a_root_and_an_intermediate_sign() {
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    assert_eq!(issues(&of(&Ca::self_signed(params("rsa"), rsa).unwrap())), 1);
    let root = sound();
    assert_eq!(issues(&of(&root)), 1);
    let between = Ca::signed_by(params("between"), KeyPair::generate().unwrap(), &root).unwrap();
    let last = Ca::signed_by(params("last"), KeyPair::generate().unwrap(), &between).unwrap();
    let chain = format!("{}{}", last.pem(), between.pem());
    let key = last.key().serialize_pem();
    let full = [("tls.crt", chain.clone()), ("tls.key", key.clone()), ("ca.crt", root.pem())];
    assert_eq!(issues(&secret(&full)), 3);
    // A root that stands in both is not sent.
    let doubled = [("tls.crt", format!("{chain}{}", root.pem())), ("tls.key", key.clone()), ("ca.crt", root.pem())];
    assert_eq!(issues(&secret(&doubled)), 3);
    // Without roots the signer is the anchor.
    assert_eq!(issues(&secret(&[("tls.crt", last.pem()), ("tls.key", key)])), 1);
}

#[test]
fn what_may_not_vouch_is_refused_with_its_code() {
    let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
    let code = |data: &BTreeMap<String, Vec<u8>>| given(data, at(NOW)).unwrap_err().code();
    let over = |params: &mut CertificateParams| {
        set_validity(params, at("2020-01-01T00:00:00Z"), at("2021-01-01T00:00:00Z"));
    };
    let early = |params: &mut CertificateParams| {
        set_validity(params, at("2026-02-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    };
    assert_eq!(code(&of(&root(|params| params.is_ca = IsCa::ExplicitNoCa, p256))), "ca_not_a_ca");
    let signature = |params: &mut CertificateParams| params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    assert_eq!(code(&of(&root(signature, p256))), "ca_key_usage");
    assert_eq!(code(&of(&root(over, p256))), "ca_expired");
    assert_eq!(code(&of(&root(early, p256))), "ca_not_yet_valid");
    assert_eq!(code(&of(&root(|_| {}, &rcgen::PKCS_ECDSA_P521_SHA512))), "ca_weak");
    let (one, two) = (sound(), sound());
    let key = || ("tls.key", one.key().serialize_pem());
    assert_eq!(code(&secret(&[("tls.crt", two.pem()), key()])), "ca_key_mismatch");
    assert_eq!(code(&secret(&[("tls.crt", one.pem())])), "ca_missing");
    assert_eq!(code(&secret(&[key()])), "ca_missing");
    assert_eq!(code(&secret(&[("tls.crt", "x".to_owned()), key()])), "ca_unreadable");
    assert_eq!(code(&secret(&[("tls.crt", one.pem()), ("tls.key", "x".to_owned())])), "ca_unreadable");
    assert_eq!(code(&secret(&[("tls.crt", one.pem()), key(), ("ca.crt", "x".to_owned())])), "ca_unreadable");
    let leaf = root(|params| params.is_ca = IsCa::ExplicitNoCa, p256).pem();
    assert_eq!(code(&secret(&[("tls.crt", one.pem()), key(), ("ca.crt", leaf)])), "ca_not_a_ca");
    let ended = root(over, p256).pem();
    assert_eq!(code(&secret(&[("tls.crt", one.pem()), key(), ("ca.crt", ended)])), "ca_expired");
}
