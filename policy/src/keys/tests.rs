use super::*;
use serde_json::json;

/// An odd number of so many bits in base64url.
fn modulus(bits: usize) -> String {
    use base64::Engine;
    let mut bytes = vec![0xff; bits.div_ceil(8)];
    if let (Some(first), rest) = (bytes.first_mut(), bits % 8) {
        *first = if rest == 0 { 0xff } else { (1 << rest) - 1 };
    }
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa(extra: Value) -> Value {
    let mut key = json!({"kty": "RSA", "kid": "k", "n": modulus(2048), "e": "AQAB"});
    key.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    key
}

fn verdict(key: &Value) -> Option<KeyFault> {
    let set = KeySet::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
    set.ignored().first().map(|ignored| ignored.why)
}

#[test]
fn keys_that_must_not_verify_are_left_out() {
    use KeyFault::*;
    let zeros = |n| "A".repeat(n);
    for (key, wanted) in [
        (rsa(json!({})), None),
        (rsa(json!({"alg": "PS256", "use": "sig", "key_ops": ["verify"]})), None),
        (rsa(json!({"n": modulus(8192)})), None),
        (rsa(json!({"n": modulus(2047)})), Some(Weak)),
        (rsa(json!({"n": modulus(8193)})), Some(Weak)),
        (rsa(json!({"e": "AQ"})), Some(Weak)),
        (rsa(json!({"e": "Ag"})), Some(Weak)),
        (rsa(json!({"e": ""})), Some(Weak)),
        (rsa(json!({"d": "AQAB"})), Some(Private)),
        (rsa(json!({"use": "enc"})), Some(Use)),
        (rsa(json!({"key_ops": ["encrypt"]})), Some(Use)),
        (rsa(json!({"key_ops": "verify"})), Some(Malformed)),
        (rsa(json!({"alg": "HS256"})), Some(Unsupported)),
        (rsa(json!({"alg": "ES256"})), Some(Malformed)),
        (rsa(json!({"alg": 1})), Some(Malformed)),
        (rsa(json!({"kid": ""})), Some(Malformed)),
        (rsa(json!({"kid": "k".repeat(257)})), Some(Malformed)),
        (rsa(json!({"n": "A="})), Some(Malformed)),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), Some(Symmetric)),
        (json!({"kty": "EC", "crv": "P-521", "x": zeros(88), "y": zeros(88)}), Some(Unsupported)),
        (json!({"kty": "EC", "crv": "P-256", "x": zeros(43), "y": zeros(42)}), Some(Malformed)),
        (json!({"kty": "EC", "crv": "P-256", "x": zeros(64), "y": zeros(64)}), Some(Malformed)),
        (json!({"kty": "OKP", "crv": "X25519", "x": zeros(43)}), Some(Unsupported)),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": zeros(40)}), Some(Malformed)),
        (json!({"kty": "AKP"}), Some(Unsupported)),
        (json!({}), Some(Malformed)),
        (json!("key"), Some(Malformed)),
    ] {
        assert_eq!(verdict(&key), wanted, "{key}");
    }
}

#[test]
fn two_keys_of_one_id_are_both_unusable() {
    let set = KeySet::parse(
        json!({"keys": [rsa(json!({})), rsa(json!({"e": "Aw"})), rsa(json!({"kid": "other"})), rsa(json!({}))]})
            .to_string()
            .as_bytes(),
    )
    .unwrap();
    assert_eq!(set.len(), 1);
    assert_eq!(set.find(Some("k"), Algorithm::RS256).unwrap_err(), NoKey::Unknown);
    assert!(set.find(Some("other"), Algorithm::RS256).is_ok());
}

#[test]
fn without_an_id_only_the_one_key_that_fits() {
    let parse = |keys: Value| KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    let one = parse(json!([rsa(json!({"alg": "RS256"}))]));
    assert!(one.find(None, Algorithm::RS256).is_ok());
    assert_eq!(one.find(None, Algorithm::RS512).unwrap_err(), NoKey::Unknown);
    assert_eq!(one.find(Some("k"), Algorithm::RS512).unwrap_err(), NoKey::WrongAlgorithm);
    let two = parse(json!([rsa(json!({})), rsa(json!({"kid": "l"}))]));
    assert_eq!(two.find(None, Algorithm::RS256).unwrap_err(), NoKey::Unknown);
}

#[test]
fn whole_sets_are_bounded() {
    let keys: Vec<_> = (0..=MAX_KEYS).map(|n| json!({"kid": n.to_string()})).collect();
    assert_eq!(KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap_err(), KeySetFault::TooMany);
    assert_eq!(KeySet::parse(&vec![b' '; MAX_JWKS_BYTES + 1]).unwrap_err(), KeySetFault::TooLarge);
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert_eq!(KeySet::parse(text.as_bytes()).unwrap_err(), KeySetFault::Malformed, "{text}");
    }
}

#[test]
fn what_travels_on_are_public_members_of_usable_keys() {
    let of = |kid: &str, extra: Value| {
        let mut key = rsa(json!({"kid": kid, "x5c": ["MII"], "x5t": "a"}));
        key.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        key
    };
    let distill = |keys: Value| KeySet::distill(json!({"keys": keys, "more": 1}).to_string().as_bytes()).unwrap();
    let (set, text) = distill(json!([
        of("b", json!({"alg": "RS256", "use": "sig"})),
        of("private", json!({"d": "SECRET"})),
        of("twice", json!({})),
        of("twice", json!({"e": "Aw"})),
        of("a", json!({})),
    ]));
    assert_eq!((set.len(), set.ignored().len()), (2, 2));
    let again = KeySet::parse(text.as_bytes()).unwrap();
    assert_eq!((again.len(), again.ignored().len()), (2, 0), "{text}");
    assert!(again.knows("a") && again.knows("b") && !again.knows("twice"));
    for absent in ["SECRET", "x5c", "x5t", "twice", "private", "more"] {
        assert!(!text.contains(absent), "{text}");
    }
    let (_, turned) = distill(json!([of("a", json!({})), of("b", json!({"use": "sig", "alg": "RS256"}))]));
    assert_eq!(text, turned, "neither order nor what verifies nothing makes another set");
    let (none, text) = distill(json!([of("private", json!({"d": "SECRET"}))]));
    assert!(none.is_empty() && text == r#"{"keys":[]}"#);
}
