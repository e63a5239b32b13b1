use super::*;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

/// 2030-01-01.
const NOW: Duration = Duration::from_secs(1_893_456_000);
const DOMAIN: &str = "cluster.local";
const WEB: &str = "spiffe://cluster.local/ns/web/sa/web";

/// A certificate of an authority with an RSA key of 1,024 bits, which no library of ours would make.
const WEAK: &str = "MIIB/DCCAWWgAwIBAgIUHpARSBuIgacJdtbTnpjzjApFhTAwDQYJKoZIhvcNAQELBQAwDzENMAsGA1UEAwwEd2VhazAgFw0yNjExMjUxMjA1NDFaGA8yMTI2MTEwMTEyMDU0MVowDzENMAsGA1UEAwwEd2VhazCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEA1sF0DGzfFZSstNFkzy1SY1LIVDE0dneswf7kysgCbamvU/1yipKuqWDJ6d36ylmhfCP+fvJmiRwrPPvHr7pUinmRAphtRpNWrNTLSyytQnUBAfuIgnY13z6kkd3N+3drmywJ6wQvZ4kGgAJv4w+MvZ+b+4CbCNoaJf5QihoWw/8CAwEAAaNTMFEwHQYDVR0OBBYEFGVD5y6BFAChHT7R4Oo6ZiFsYV2xMB8GA1UdIwQYMBaAFGVD5y6BFAChHT7R4Oo6ZiFsYV2xMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADgYEAYHPH/Ma8RQ/MuuugyziQmRq0Iz8HtoeqOIrKjWX7hbzZUZyMlbnSp7fPWfD6Ox9xpM/6nbu8co77M++fRMDrr4UKY8/V2yZpgo7H6Avvn6H9SztD8Jx9lwhgbqDBNZrBlg9fTqaJ6/qX1qBg9tFzB0NH/YB/51hVL1GRIPPUI+Q=";

/// An authority, and certificates of clients that it signed for keys that no library of ours would make: RSA of 1,024 bits, secp256k1.
const ROOT: &str = "MIIBGzCBwqADAgECAgEBMAoGCCqGSM49BAMCMAwxCjAIBgNVBAMMAXIwIBcNMjAwMTAxMDAwMDAwWhgPMjEwMDAxMDEwMDAwMDBaMAwxCjAIBgNVBAMMAXIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATnYsVkRbF2qapzjPeNYunaEqLMUpM+xzxH2M1lFl/RgrgKLmxAQxZdvfuyB6V4vx4L0ia//LJxGCxQFBO7Y1AvoxMwETAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIACZ9UWDFnPHS0gEzmlvxofCnsse5B9F2wNUXXzakIk5AiEAyIoEL7H0fc6w9VWpdoeWLn3HH1ck2VRDdJAaq8BXoKY=";
const ODD_KEYS: [&str; 2] = [
    "MIIBWzCCAQGgAwIBAgIBAjAKBggqhkjOPQQDAjAMMQowCAYDVQQDDAFyMCAXDTIwMDEwMTAwMDAwMFoYDzIxMDAwMTAxMDAwMDAwWjAAMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDTqJHgZO+X6HKAoLcLcdDWXYRfe6yTlXC4Rac0FkAwN7i8agffzWN/VLyykgQQgKGBAbvDr/EU6lNJ5sIke4p0es9b4eRNL0+7lj1sTd3TBCr0PdhlBZTZs5DqBwpIyg+j5sEpAMxcp4LLCe2yZf13SapJd3FxKsSlZwU2hOU3VQIDAQABoxcwFTATBgNVHSUEDDAKBggrBgEFBQcDAjAKBggqhkjOPQQDAgNIADBFAiEAmaO0TLyp7uO80MrGeKfKQopk5LA1pz0CwY/PMonXtLsCIAKZdkZw0a3LPCd+9MWN6sukj8qk2LW/FkwkSDVhf3z9",
    "MIIBETCBt6ADAgECAgECMAoGCCqGSM49BAMCMAwxCjAIBgNVBAMMAXIwIBcNMjAwMTAxMDAwMDAwWhgPMjEwMDAxMDEwMDAwMDBaMAAwVjAQBgcqhkjOPQIBBgUrgQQACgNCAATxocvABo5XZv6xO/1dIOL6oglgRXlm1GPcArnRvQYvvKAEKR9bHroBBzqQWBGUb4oL5MmWfT2mUlvG+ZpyAAw+oxcwFTATBgNVHSUEDDAKBggrBgEFBQcDAjAKBggqhkjOPQQDAgNJADBGAiEAxMPXrsy8YaVqyNEKwYNL7iAANqQGDZ1b1jqn5Y4+o08CIQCciuC3WvioXiRK/cEGt8tY8OEou9mE6q740AMsM0nIHw==",
];

/// A revocation list of certificates of users alone (RFC 5280, section 5.2.5).
const PARTIAL: &str = "MIG1MF4CAQEwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBchcNMjAwMTAxMDAwMDAwWhgPMjEwMDAxMDEwMDAwMDBaoB8wHTAPBgNVHRwBAf8EBTADgQH/MAoGA1UdFAQDAgEBMAoGCCqGSM49BAMCA0cAMEQCID2n/u+3C3VPVjPvJejvC5UHxm6yRQwC1iNYC49BtDQNAiBDVXkOcoTKu/M2zcdytxBC7qvDySEAAfAI5BhSbO2LdQ==";

/// Seconds of a year's first day, counted from 1970.
fn year(year: i32) -> Duration {
    Duration::from_secs(date_time_ymd(year, 1, 1).unix_timestamp().try_into().unwrap())
}

/// A certificate with its key, able to sign others.
struct Made {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
}

impl Made {
    fn by(params: CertificateParams, issuer: Option<&Self>) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self::with_key(params, key, issuer)
    }

    fn with_key(params: CertificateParams, key: KeyPair, issuer: Option<&Self>) -> Self {
        let signed = match issuer {
            None => params.self_signed(&key),
            Some(issuer) => params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)),
        };
        let der = signed.unwrap().der().clone();
        Self { params, key, der }
    }

    fn ca(&self, name: &str) -> ClientCa {
        ClientCa::new(name, name == "cluster", std::slice::from_ref(&self.der), &[]).unwrap()
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn leaf(names: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn outcome(params: CertificateParams) -> Result<PeerCertificate, CertificateFault> {
    let root = Made::by(authority("root"), None);
    let leaf = Made::by(params, Some(&root));
    verify(&[root.ca("cluster")], DOMAIN, &leaf.der, &[], NOW)
}

#[test]
fn a_good_certificate() {
    let root = Made::by(authority("root"), None);
    let made = Made::by(leaf(vec![uri(WEB), dns("Web.Example.com"), uri("https://x")]), Some(&root));
    let peer = verify(&[root.ca("cluster")], DOMAIN, &made.der, &[], NOW).unwrap();
    assert_eq!(&*peer.ca, "cluster");
    assert_eq!(peer.service_account.as_deref(), Some("web/web"));
    assert_eq!(peer.spiffe, [WEB.into()]);
    assert_eq!(peer.dns, ["web.example.com".into()]);
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &made.der));
    assert_eq!(peer.thumbprint.as_deref(), Some(&*thumbprint));
    assert_eq!(names_of(&made.der, &root.ca("cluster"), DOMAIN), Ok(peer));
}

#[test]
fn the_extended_key_usage_must_be_there_and_say_client() {
    use CertificateFault::{Untrusted, Usage};
    for (usages, wanted) in [
        (vec![], Some(Usage)),
        (vec![ExtendedKeyUsagePurpose::ServerAuth], Some(Untrusted)),
        (vec![ExtendedKeyUsagePurpose::Any], Some(Untrusted)),
        (vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth], None),
    ] {
        let mut params = leaf(vec![uri(WEB)]);
        params.extended_key_usages = usages.clone();
        assert_eq!(outcome(params).err(), wanted, "{usages:?}");
    }
}

#[test]
fn names_that_identify_nobody() {
    let web = |names: Vec<SanType>| {
        let peer = outcome(leaf(names)).unwrap();
        (peer.spiffe, peer.dns, peer.service_account)
    };
    let nobody = (vec![], vec![], None);
    for names in [
        vec![],
        vec![dns("*.example.com")],
        vec![dns(".")],
        vec![uri("spiffe://cluster.local/ns/web/sa/\u{7f}")],
        vec![uri("SPIFFE://cluster.local/ns/web/sa/web")],
        vec![uri("https://cluster.local/ns/web/sa/web")],
        vec![SanType::Rfc822Name("spiffe://cluster.local/ns/web/sa/web".try_into().unwrap())],
        vec![SanType::IpAddress("192.0.2.1".parse().unwrap())],
    ] {
        assert_eq!(web(names.clone()), nobody, "{names:?}");
    }
    // A host name in the field for URIs and a SPIFFE ID in the field for hosts.
    assert_eq!(web(vec![uri("web.example.com")]), nobody);
    assert_eq!(web(vec![dns(WEB)]), nobody);
    let mut common_name = leaf(vec![]);
    common_name.distinguished_name.push(DnType::CommonName, "web.example.com");
    assert_eq!(outcome(common_name).map(|peer| peer.dns), Ok(vec![]));
}

#[test]
fn names_that_only_one_of_two_readers_can_read() {
    // GeneralNames with one DNS name each: bytes over 0x7F, a NUL in the middle.
    for name in [&b"caf\xc3\xa9.example.com"[..], b"web.example.com\0.evil.org", b"\xff"] {
        let mut params = leaf(vec![]);
        let length = u8::try_from(name.len()).unwrap();
        let content = [&[0x30, length + 2, 0x82, length], name].concat();
        params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], content));
        let named = outcome(params).map(|peer| (peer.spiffe, peer.dns, peer.service_account));
        assert!(named.as_ref().is_err() || named == Ok((vec![], vec![], None)), "{named:?}");
    }
}

#[test]
fn names_compare_in_one_form() {
    let names = ["a.example.com.", "B.Example.COM", "c_d"];
    let proven = identify([].into_iter(), names.into_iter(), false, DOMAIN);
    assert_eq!(proven.dns, ["a.example.com".into(), "b.example.com".into(), "c_d".into()]);
    for (id, wanted) in [
        (WEB, Some("web/web")),
        ("spiffe://cluster.local/ns/web/sa/web/x", None),
        ("spiffe://cluster.local/ns/web/x/sa/web", None),
        ("spiffe://cluster.local/ns//sa/web", None),
        ("spiffe://cluster.local/ns/web/sa/", None),
        ("spiffe://cluster.local.evil/ns/web/sa/web", None),
        ("spiffe://evil/ns/web/sa/web", None),
        ("spiffe://cluster.local/ns/a/sa/b/sa/c", None),
        ("spiffe://Cluster.Local/ns/web/sa/web", None),
        ("spiffe://cluster.local:443/ns/web/sa/web", None),
    ] {
        let proven = identify([id].into_iter(), [].into_iter(), true, DOMAIN);
        assert_eq!(proven.service_account.as_deref(), wanted, "{id}");
    }
}

#[test]
fn only_the_built_in_authority_speaks_for_our_trust_domain() {
    let (ours, partner) = (Made::by(authority("ours"), None), Made::by(authority("partner"), None));
    let cas = [ours.ca("cluster"), partner.ca("partner")];
    let names = || vec![uri(WEB), uri("spiffe://CLUSTER.local/ns/a/sa/b"), uri("spiffe://partner/x")];
    let theirs = Made::by(leaf(names()), Some(&partner));
    let peer = verify(&cas, DOMAIN, &theirs.der, &[], NOW).unwrap();
    assert_eq!((&*peer.ca, peer.service_account), ("partner", None));
    assert_eq!(peer.spiffe, ["spiffe://partner/x".into()]);
    let own = Made::by(leaf(names()), Some(&ours));
    let peer = verify(&cas, DOMAIN, &own.der, &[], NOW).unwrap();
    assert_eq!((&*peer.ca, peer.service_account.as_deref()), ("cluster", Some("web/web")));
    // An authority of the same name, sent along as intermediate, is still another key.
    let impostor = Made::by(authority("ours"), Some(&partner));
    let forged = Made::by(leaf(names()), Some(&impostor));
    let peer = verify(&cas, DOMAIN, &forged.der, std::slice::from_ref(&impostor.der), NOW).unwrap();
    assert_eq!((&*peer.ca, peer.service_account), ("partner", None));
    assert_eq!(verify(&cas[..1], DOMAIN, &forged.der, &[impostor.der], NOW), Err(CertificateFault::Untrusted));
    assert_eq!(verify(&[], DOMAIN, &own.der, &[], NOW), Err(CertificateFault::Untrusted));
}

#[test]
fn chains() {
    let root = Made::by(authority("root"), None);
    let middle = Made::by(authority("middle"), Some(&root));
    let made = Made::by(leaf(vec![uri(WEB)]), Some(&middle));
    let cas = [root.ca("cluster")];
    let with = |intermediates: &[CertificateDer]| verify(&cas, DOMAIN, &made.der, intermediates, NOW).err();
    assert_eq!(with(&[]), Some(CertificateFault::Untrusted));
    assert_eq!(with(std::slice::from_ref(&middle.der)), None);
    assert_eq!(with(&[root.der.clone(), middle.der.clone(), root.der.clone()]), None);
    assert_eq!(
        with(&[CertificateDer::from(vec![0x30, 0]), middle.der.clone()]),
        None,
        "what is no certificate is passed over"
    );
    // A leaf is no authority.
    let pretender = Made::by(leaf(vec![dns("x")]), Some(&root));
    let below = Made::by(leaf(vec![uri(WEB)]), Some(&pretender));
    assert_eq!(verify(&cas, DOMAIN, &below.der, &[pretender.der], NOW), Err(CertificateFault::Untrusted));
    // Nor is an authority whose path length is used up.
    let mut narrow = authority("narrow");
    narrow.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let narrow = Made::by(narrow, Some(&root));
    let too_deep = Made::by(authority("deep"), Some(&narrow));
    let below = Made::by(leaf(vec![uri(WEB)]), Some(&too_deep));
    let sent = [narrow.der, too_deep.der];
    assert_eq!(verify(&cas, DOMAIN, &below.der, &sent, NOW), Err(CertificateFault::Untrusted));
}

#[test]
fn certificates_end() {
    for (from, to, good) in
        [((2029, 1, 1), (2030, 1, 2), true), ((2029, 1, 1), (2029, 12, 31), false), ((2030, 1, 2), (2031, 1, 1), false)]
    {
        let mut params = leaf(vec![uri(WEB)]);
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        assert_eq!(outcome(params).is_ok(), good, "{from:?} {to:?}");
    }
}

#[test]
fn a_key_that_signs_no_handshake_proves_nothing() {
    let der = |text| CertificateDer::from(STANDARD.decode(text).unwrap());
    let root = ClientCa::new("cluster", true, &[der(ROOT)], &[]).unwrap();
    for text in ODD_KEYS {
        assert_eq!(verify(std::slice::from_ref(&root), DOMAIN, &der(text), &[], NOW), Err(CertificateFault::Key));
    }
    let root = Made::by(authority("root"), None);
    for algorithm in
        [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ECDSA_P521_SHA512, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256]
    {
        let made = Made::with_key(leaf(vec![uri(WEB)]), KeyPair::generate_for(algorithm).unwrap(), Some(&root));
        assert!(verify(&[root.ca("cluster")], DOMAIN, &made.der, &[], NOW).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn an_authority_is_known_by_its_key() {
    let (one, other) = (Made::by(authority("one"), None), Made::by(authority("one"), None));
    assert!(one.ca("cluster").shares_anchor(&one.ca("partner")));
    assert!(!one.ca("cluster").shares_anchor(&other.ca("partner")));
    let refused = ClientCa::new("x", false, &[one.der, b"x".to_vec().into()], &[]).map(drop);
    assert_eq!(refused, Err(ClientCaFault::Certificate(2)));
}

#[test]
fn what_is_no_certificate() {
    let root = Made::by(authority("root"), None);
    let made = Made::by(leaf(vec![uri(WEB)]), Some(&root));
    let trailing = [&made.der[..], &[0]].concat();
    for bytes in [&[][..], b"x", &made.der[..100], &trailing] {
        let der = CertificateDer::from(bytes.to_vec());
        assert_eq!(verify(&[root.ca("cluster")], DOMAIN, &der, &[], NOW), Err(CertificateFault::Malformed));
        assert_eq!(check_anchor(bytes), Err(AnchorFault::Malformed));
        assert!(ClientCa::new("x", false, &[der], &[]).is_err());
    }
    let mut changed = made.der.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&[root.ca("cluster")], DOMAIN, &changed.into(), &[], NOW), Err(CertificateFault::Untrusted));
    assert_eq!(root.ca("cluster").subjects().len(), 1);
}

#[test]
fn anchors() {
    let check = |params: CertificateParams| check_anchor(&Made::by(params, None).der);
    assert_eq!(check(authority("a")), Ok(()));
    let mut usages = authority("a");
    usages.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    assert_eq!(check(usages.clone()), Ok(()));
    usages.key_usages = vec![KeyUsagePurpose::CrlSign];
    assert_eq!(check(usages), Err(AnchorFault::KeyUsage));
    assert_eq!(check(leaf(vec![dns("a")])), Err(AnchorFault::NotACa));
    let mut explicit = authority("a");
    explicit.is_ca = IsCa::ExplicitNoCa;
    assert_eq!(check(explicit), Err(AnchorFault::NotACa));
    assert_eq!(check_anchor(&STANDARD.decode(WEAK).unwrap()), Err(AnchorFault::Weak));
    for (algorithm, wanted) in [
        (&rcgen::PKCS_ECDSA_P384_SHA384, Ok(())),
        (&rcgen::PKCS_ED25519, Ok(())),
        (&rcgen::PKCS_ECDSA_P521_SHA512, Err(AnchorFault::Weak)),
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        assert_eq!(check_anchor(&Made::with_key(authority("a"), key, None).der), wanted, "{algorithm:?}");
    }
}

#[test]
fn another_curve_is_not_taken_for_one_of_the_same_length() {
    const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let mut der = Made::by(authority("a"), None).der.to_vec();
    let place = der.windows(P256.len()).position(|window| window == P256).unwrap();
    der[place + P256.len() - 1] = 0x01;
    assert_eq!(check_anchor(&der), Err(AnchorFault::Weak));
}

#[test]
fn one_key_is_one_authority() {
    let one = Made::by(authority("one"), None);
    let key = KeyPair::from_pem(&one.key.serialize_pem()).unwrap();
    let again = Made::with_key(authority("two"), key, None);
    assert_eq!(public_key(&one.der), public_key(&again.der));
    assert_ne!(public_key(&one.der), public_key(&Made::by(authority("one"), None).der));
    assert_eq!(public_key(b"x"), None);
}

fn list(ca: &Made, revoked: &[u64], until: i32) -> Vec<u8> {
    let serial = |number: &u64| rcgen::RevokedCertParams {
        serial_number: (*number).into(),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = rcgen::CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: 1_u64.into(),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(serial).collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    params.signed_by(&Issuer::from_params(&ca.params, &ca.key)).unwrap().der().to_vec()
}

/// RFC 4210, section 4.4: the new key, certified with the old one, under the same name.
#[test]
fn a_list_of_the_old_key_keeps_nobody_of_the_new_one_out() {
    let params = || {
        let mut params = authority("root");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    };
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
        let old = Made::by(params(), None);
        let new = Made::with_key(params(), KeyPair::generate_for(algorithm).unwrap(), Some(&old));
        let mut leaf = leaf(vec![uri(WEB)]);
        leaf.serial_number = Some(7_u64.into());
        let made = Made::by(leaf, Some(&new));
        let verdict = |lists: [Vec<u8>; 2]| {
            let ca = ClientCa::new("cluster", true, std::slice::from_ref(&old.der), &lists).unwrap();
            verify(&[ca], DOMAIN, &made.der, std::slice::from_ref(&new.der), NOW).map(|peer| peer.ca.to_string())
        };
        let (of_old, of_new) = (list(&old, &[], 2040), list(&new, &[8], 2040));
        assert_eq!(verdict([of_old.clone(), of_new.clone()]).as_deref(), Ok("cluster"));
        assert_eq!(verdict([of_new, of_old.clone()]).as_deref(), Ok("cluster"));
        assert_eq!(verdict([of_old.clone(), list(&new, &[7], 2040)]), Err(CertificateFault::Revoked));
        assert_eq!(verdict([of_old.clone(), of_old]), Err(CertificateFault::Revoked), "none covers it");
    }
}

/// webpki takes an anchor whatever its dates.
#[test]
fn an_authority_vouches_while_it_is_valid() {
    let lasting = |from: i32, to: i32| {
        let mut params = authority("root");
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        params
    };
    let root = Made::by(lasting(2020, 2035), None);
    let made = Made::by(leaf(vec![uri(WEB)]), Some(&root));
    // The next certificate of the same authority, with its key.
    let key = KeyPair::try_from(root.key.serialize_der()).unwrap();
    let next = Made::with_key(lasting(2034, 2060), key, None);
    let verdict = |anchors: &[CertificateDer<'static>], now: i32| {
        let ca = ClientCa::new("cluster", true, anchors, &[]).unwrap();
        verify(&[ca], DOMAIN, &made.der, &[], year(now)).map(|peer| peer.ca.to_string())
    };
    let (old, both) = ([root.der.clone()], [root.der.clone(), next.der.clone()]);
    assert_eq!(verdict(&old, 2034).as_deref(), Ok("cluster"));
    assert_eq!(verdict(&old, 2036), Err(CertificateFault::Untrusted), "expired");
    assert_eq!(verdict(std::slice::from_ref(&next.der), 2033), Err(CertificateFault::Untrusted), "not yet valid");
    assert_eq!(verdict(&both, 2036).as_deref(), Ok("cluster"), "by overlap");
    let ca = ClientCa::new("cluster", true, &both, &[]).unwrap();
    let second = Duration::from_secs(1);
    let changes: Vec<_> = [2021, 2034, 2035, 2060].map(|now| ca.next_change(year(now) + second)).into();
    assert_eq!(changes, [Some(year(2034)), Some(year(2035)), Some(year(2060)), None]);
}

#[test]
fn revocation_lists_cover_the_leaf_and_must_be_in_date() {
    let mut params = authority("root");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let mut other_params = authority("other");
    other_params.key_usages = params.key_usages.clone();
    let (root, other) = (Made::by(params, None), Made::by(other_params, None));
    let mut leaf = leaf(vec![uri(WEB)]);
    leaf.serial_number = Some(7_u64.into());
    let made = Made::by(leaf, Some(&root));
    let verdict = |lists: &[Vec<u8>]| {
        let ca = ClientCa::new("cluster", true, std::slice::from_ref(&root.der), lists).unwrap();
        verify(&[ca], DOMAIN, &made.der, &[], NOW).map(|peer| peer.ca.to_string())
    };
    let good = list(&root, &[8], 2040);
    let own = |lists: &[Vec<u8>]| ClientCa::new("x", false, &[], lists).unwrap().next_change(NOW);
    assert_eq!(own(&[list(&other, &[], 2050), good.clone(), list(&root, &[], 2027)]), Some(year(2040)));
    assert_eq!(crl_of(&good).unwrap().1, Life { begin: year(2026), end: year(2040) });
    assert_eq!(verdict(&[]).as_deref(), Ok("cluster"));
    assert_eq!(verdict(std::slice::from_ref(&good)).as_deref(), Ok("cluster"));
    for (lists, what) in [
        (vec![list(&root, &[7], 2040)], "listed"),
        (vec![list(&root, &[8], 2027)], "out of date"),
        (vec![list(&other, &[], 2040)], "of another issuer only"),
    ] {
        assert_eq!(verdict(&lists), Err(CertificateFault::Revoked), "{what}");
    }
    assert_eq!(verdict(&[list(&other, &[], 2040), good]).as_deref(), Ok("cluster"), "one file, several lists");
    // Of one name: an old list and a new one, and one of the key before.
    let [old, names_it, ended] = [(8, 2040), (7, 2040), (8, 2027)].map(|(serial, until)| list(&root, &[serial], until));
    let mut same_name = authority("root");
    same_name.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let stranger = list(&Made::by(same_name, None), &[7], 2040);
    for (lists, expected) in [
        ([&old, &names_it], Err(CertificateFault::Revoked)),
        ([&names_it, &old], Err(CertificateFault::Revoked)),
        ([&ended, &names_it], Err(CertificateFault::Revoked)),
        ([&stranger, &names_it], Err(CertificateFault::Revoked)),
        ([&stranger, &ended], Err(CertificateFault::Revoked)),
        ([&ended, &old], Ok("cluster")),
        ([&stranger, &old], Ok("cluster")),
        ([&old, &stranger], Ok("cluster")),
    ] {
        assert_eq!(verdict(&lists.map(Clone::clone)).as_deref(), expected.as_ref().copied());
    }
    // ecdsa-with-SHA224 in place of ecdsa-with-SHA256 (RFC 5758, section 3.2).
    let mut unknown = names_it.clone();
    let algorithm = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let last: Vec<usize> = (0..unknown.len()).filter(|end| unknown[..*end].ends_with(&algorithm)).collect();
    last.iter().for_each(|index| unknown[*index] = 1);
    assert_eq!(last.len(), 2);
    assert_eq!(
        check_crl(&unknown),
        Err(CrlFault::Algorithm),
        "it may name the leaf, and nobody could tell whose it is"
    );
    assert!([unknown, vec![0x30]].iter().all(|bad| ClientCa::new("x", false, &[], std::slice::from_ref(bad)).is_err()));
    assert_eq!((check_crl(&[0x30]), check_crl(&old)), (Err(CrlFault::Malformed), Ok(())));
    assert_eq!(check_crl(&STANDARD.decode(PARTIAL).unwrap()), Err(CrlFault::Scope));
}

#[test]
fn lists_are_signed_with_an_algorithm_that_is_taken() {
    for (algorithm, expected) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, Ok(())),
        (&rcgen::PKCS_ECDSA_P384_SHA384, Ok(())),
        (&rcgen::PKCS_ED25519, Ok(())),
        (&rcgen::PKCS_RSA_SHA256, Ok(())),
        (&rcgen::PKCS_RSA_SHA512, Ok(())),
        (&rcgen::PKCS_ECDSA_P521_SHA512, Err(CrlFault::Algorithm)),
    ] {
        let root = Made::with_key(authority("root"), KeyPair::generate_for(algorithm).unwrap(), None);
        assert_eq!(check_crl(&list(&root, &[], 2040)), expected, "{algorithm:?}");
    }
}
