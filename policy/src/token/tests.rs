#![expect(clippy::string_slice, reason = "the texts are those of the tests")]

mod wycheproof;

use super::*;
use crate::peer::PeerCertificate;
use crate::principal::{Attribute, AttributeValue};
use crate::ruleset::Ruleset;
use crate::testing::{GONE, body, edited, issuer};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::json;
use std::sync::LazyLock;

const EXPIRES: i64 = 1_800_000_000;

/// The keys of the test: one of each kind, and none that anybody else knows.
struct Keys {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
    p256: EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
    p384: EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
    ed25519: Ed25519KeyPair::generate().unwrap(),
});

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The modulus in RSAPublicKey (RFC 8017, appendix A.1.1) of a key of 2,048 bits and the exponent 65537.
fn modulus() -> String {
    encode(&KEYS.rsa.public_key().as_ref()[9..265])
}

fn ec(key: &EcdsaKeyPair, curve: &str, id: &str) -> Value {
    let (x, y) = key.public_key().as_ref()[1..].split_at((key.public_key().as_ref().len() - 1) / 2);
    json!({"kty": "EC", "crv": curve, "kid": id, "x": encode(x), "y": encode(y)})
}

fn jwks() -> Value {
    json!({"keys": [
        {"kty": "RSA", "kid": "rsa", "n": modulus(), "e": "AQAB"},
        ec(&KEYS.p256, "P-256", "p256"),
        ec(&KEYS.p384, "P-384", "p384"),
        {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encode(KEYS.ed25519.public_key())},
    ]})
}

static SET: LazyLock<Arc<KeySet>> = LazyLock::new(|| Arc::new(KeySet::parse(jwks().to_string().as_bytes()).unwrap()));

/// Signs as the header says, with P-256 where it says nothing that can be signed.
fn signature(algorithm: Option<&str>, signed: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let rsa = |encoding: &'static dyn signature::RsaEncoding| {
        let mut out = vec![0; KEYS.rsa.public_modulus_len()];
        KEYS.rsa.sign(encoding, &random, signed, &mut out).unwrap();
        out
    };
    match algorithm {
        Some("RS256") => rsa(&signature::RSA_PKCS1_SHA256),
        Some("RS512") => rsa(&signature::RSA_PKCS1_SHA512),
        Some("PS256") => rsa(&signature::RSA_PSS_SHA256),
        Some("ES384") => KEYS.p384.sign(&random, signed).unwrap().as_ref().to_vec(),
        Some("EdDSA" | "Ed25519") => KEYS.ed25519.sign(signed).as_ref().to_vec(),
        Some("HS256") => {
            let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, jwks().to_string().as_bytes());
            aws_lc_rs::hmac::sign(&secret, signed).as_ref().to_vec()
        }
        _ => KEYS.p256.sign(&random, signed).unwrap().as_ref().to_vec(),
    }
}

/// Signs two texts, whatever they hold.
fn sign_text(header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let algorithm = serde_json::from_slice::<Value>(header).ok();
    let algorithm = algorithm.as_ref().and_then(|header| header.get("alg")?.as_str());
    let signature = signature(algorithm, signed.as_bytes());
    format!("{signed}.{}", encode(signature))
}

fn sign(header: Value, claims: Value) -> String {
    let header = edited(json!({"alg": "ES256", "kid": "p256", "typ": "at+jwt"}), header);
    sign_text(header.to_string().as_bytes(), self::claims(claims).to_string().as_bytes())
}

fn claims(change: Value) -> Value {
    edited(
        json!({"iss": "https://login.example.com", "aud": "orders-api", "sub": "alice", "exp": EXPIRES, "iat": EXPIRES - 600}),
        change,
    )
}

fn ruleset(issuers: &[Value]) -> Ruleset {
    Ruleset::new(&serde_json::from_value(body(json!({ "issuers": issuers }))).unwrap()).unwrap()
}

/// Verifies and checks a token a minute before it expires, or at another time.
fn judge_at(token: &str, change: Value, millis: i64) -> Result<VerifiedToken, Unproven> {
    let ruleset = ruleset(&[issuer(change)]);
    let verified = verify(token, ruleset.issuers(), &[Some(SET.clone())])?;
    let now = Timestamp::from_millis(millis);
    verified.check(&ruleset.issuers()[0], &Peer::default(), now, now)?;
    Ok(verified)
}

fn fault(token: &str, change: Value) -> Option<TokenFault> {
    match judge_at(token, change, (EXPIRES - 60) * 1000) {
        Ok(_) => None,
        Err(Unproven::Fault(fault)) => Some(fault),
        Err(Unproven::KeysUnavailable) => panic!("the keys are there"),
    }
}

fn identity(change: Value, claims: Value) -> Identity {
    judge_at(&sign(json!({}), claims), change, (EXPIRES - 60) * 1000).unwrap().identity
}

#[test]
fn every_supported_algorithm_verifies_and_only_with_its_key() {
    let all = json!({"algorithms": ["RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA"]});
    for (algorithm, own) in [
        ("RS256", "rsa"),
        ("RS512", "rsa"),
        ("PS256", "rsa"),
        ("ES256", "p256"),
        ("ES384", "p384"),
        ("EdDSA", "ed"),
        ("Ed25519", "ed"),
    ] {
        for id in ["rsa", "p256", "p384", "ed"] {
            let wanted = if id == own { None } else { Some(TokenFault::WrongAlgorithm) };
            assert_eq!(
                fault(&sign(json!({"alg": algorithm, "kid": id}), json!({})), all.clone()),
                wanted,
                "{algorithm} {id}"
            );
        }
    }
}

#[test]
fn algorithms_that_must_not_verify() {
    use TokenFault::*;
    for (alg, wanted) in [
        (json!("none"), WrongAlgorithm),
        (json!("None"), WrongAlgorithm),
        (json!(""), WrongAlgorithm),
        (json!("HS256"), WrongAlgorithm),
        (json!("es256"), WrongAlgorithm),
        (json!("ES256K"), WrongAlgorithm),
        (json!("ES512"), WrongAlgorithm),
        (json!("Ed448"), WrongAlgorithm),
        (json!("RSA-OAEP"), WrongAlgorithm),
        (json!("RS384"), WrongAlgorithm),
        (json!(["ES256"]), Malformed),
        (json!(null), Malformed),
        (json!(GONE), Malformed),
    ] {
        assert_eq!(fault(&sign(json!({ "alg": alg }), json!({})), json!({})), Some(wanted), "{alg}");
    }
    let unsigned = |alg: &str| {
        let header = encode(json!({"alg": alg, "kid": "p256"}).to_string());
        format!("{header}.{}.", encode(claims(json!({})).to_string()))
    };
    assert_eq!(fault(&unsigned("none"), json!({})), Some(WrongAlgorithm));
    assert_eq!(fault(&unsigned("ES256"), json!({})), Some(BadSignature));
    assert_eq!(
        fault(&sign(json!({"alg": "EdDSA", "kid": "ed"}), json!({})), json!({"algorithms": ["ES256"]})),
        Some(WrongAlgorithm)
    );
}

#[test]
fn signatures() {
    let token = sign(json!({}), json!({}));
    let (signed, made) = token.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(made).unwrap();
    let mut flipped = bytes.clone();
    flipped[5] ^= 1;
    let (r, s) = bytes.split_at(32);
    let long = [&[0][..], r, &[0], s].concat();
    for (name, signature) in [
        ("flipped", &flipped[..]),
        ("short", &bytes[..63]),
        ("zero", &[0; 64]),
        ("empty", &[]),
        ("padded", &long),
        ("swapped", &[s, r].concat()),
    ] {
        assert_eq!(
            fault(&format!("{signed}.{}", encode(signature)), json!({})),
            Some(TokenFault::BadSignature),
            "{name}"
        );
    }
    let others = sign(json!({}), json!({"sub": "bob"}));
    let (_, other_signature) = others.rsplit_once('.').unwrap();
    assert_eq!(fault(&format!("{signed}.{other_signature}"), json!({})), Some(TokenFault::BadSignature));
}

#[test]
fn of_several_faults_the_first_in_the_documented_order() {
    use TokenFault::*;
    #[derive(Clone)]
    struct Draft {
        header: Value,
        claims: Value,
        twice: bool,
        forged: bool,
    }
    type Break = fn(&mut Draft);
    let stages: [(TokenFault, Break); 10] = [
        (Malformed, |draft| draft.twice = true),
        (WrongAlgorithm, |draft| draft.header = edited(draft.header.clone(), json!({"alg": "HS256"}))),
        (UnknownIssuer, |draft| draft.claims = edited(draft.claims.clone(), json!({"iss": "https://other"}))),
        (WrongType, |draft| draft.claims = edited(draft.claims.clone(), json!({"at_hash": "x"}))),
        (UnknownKey, |draft| draft.header = edited(draft.header.clone(), json!({"kid": "none"}))),
        (BadSignature, |draft| draft.forged = true),
        (WrongAudience, |draft| draft.claims = edited(draft.claims.clone(), json!({"aud": "other"}))),
        (ClaimMissing, |draft| draft.claims = edited(draft.claims.clone(), json!({"jti": GONE}))),
        (TokenExpired, |draft| draft.claims = edited(draft.claims.clone(), json!({"exp": 1, "iat": 1}))),
        (CertificateBinding, |draft| draft.claims = edited(draft.claims.clone(), json!({"cnf": {"x5t#S256": "x"}}))),
    ];
    let good = Draft {
        header: json!({"alg": "ES256", "kid": "p256"}),
        claims: claims(json!({"jti": "1"})),
        twice: false,
        forged: false,
    };
    let verdict = |draft: &Draft| {
        let mut claims = draft.claims.to_string();
        if draft.twice {
            claims = claims.replacen('{', r#"{"sub":"x","#, 1);
        }
        let mut token = sign_text(draft.header.to_string().as_bytes(), claims.as_bytes());
        if draft.forged {
            token = format!("{}.{}", token.rsplit_once('.').unwrap().0, encode([1; 64]));
        }
        fault(&token, json!({"requiredClaims": ["jti"]}))
    };
    assert_eq!(verdict(&good), None);
    for (first, (wanted, break_first)) in stages.iter().enumerate() {
        let mut draft = good.clone();
        break_first(&mut draft);
        assert_eq!(verdict(&draft), Some(*wanted));
        for (later, break_later) in &stages[first + 1..] {
            let mut draft = draft.clone();
            break_later(&mut draft);
            assert_eq!(verdict(&draft), Some(*wanted), "beside {later:?}");
        }
    }
}

#[test]
fn keys_that_were_never_loaded_are_said_only_once_everything_before_the_key_passed() {
    let ruleset = ruleset(&[issuer(json!({}))]);
    let verdict = |token: &str| verify(token, ruleset.issuers(), &[None]).err();
    assert_eq!(verdict(&sign(json!({}), json!({}))), Some(Unproven::KeysUnavailable));
    assert_eq!(verdict(&sign(json!({"kid": "x"}), json!({"aud": "x"}))), Some(Unproven::KeysUnavailable));
    for (header, claims, wanted) in [
        (json!({"alg": "none"}), json!({}), TokenFault::WrongAlgorithm),
        (json!({}), json!({"iss": "x"}), TokenFault::UnknownIssuer),
        (json!({}), json!({"at_hash": "x"}), TokenFault::WrongType),
    ] {
        assert_eq!(verdict(&sign(header, claims)), Some(Unproven::Fault(wanted)));
    }
}

#[test]
fn the_form_of_a_token() {
    let token = sign(json!({}), json!({}));
    let [header, claims, made] = <[&str; 3]>::try_from(token.split('.').collect::<Vec<_>>()).unwrap();
    assert_eq!(fault(&token, json!({})), None);
    for broken in [
        String::new(),
        ".".into(),
        "..".into(),
        header.into(),
        format!("{header}.{claims}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{made}"),
        format!(".{claims}.{made}"),
        format!("{header}..{made}"),
        format!("{header}=.{claims}.{made}"),
        format!("{header}.{claims}=.{made}"),
        format!("{header}.{claims}.{made}=="),
        format!("{header}.{claims}.{made}*"),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{header}.{claims}.{}\n{}", &made[..4], &made[4..]),
        format!("{header}.{claims}.{}\u{e9}", &made[..84]),
    ] {
        assert_eq!(fault(&broken, json!({})), Some(TokenFault::Malformed), "{broken}");
    }
}

#[test]
fn base64url_has_one_spelling() {
    // 64 bytes leave four unused bits in the last character; every other last character spells the same bytes.
    let token = sign(json!({}), json!({}));
    let (front, last) = token.split_at(token.len() - 1);
    let spelled: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
    for other in spelled.iter().filter(|other| **other != last.chars().next().unwrap()) {
        assert!(fault(&format!("{front}{other}"), json!({})).is_some(), "{other}");
    }
    let bits = format!("{front}{}", spelled[spelled.iter().position(|c| last.starts_with(*c)).unwrap() + 1]);
    assert_eq!(fault(&bits, json!({})), Some(TokenFault::Malformed));
    // Claims whose encoding holds both characters that the two alphabets spell differently.
    let claims = claims(json!({"x": "\u{3ff}?>~\u{fff}??>>"})).to_string();
    let header = json!({"alg": "ES256", "kid": "p256"}).to_string();
    let plain = format!("{}.{}", encode(&header), STANDARD_NO_PAD.encode(&claims));
    assert!(plain.contains(['+', '/']) && encode(&claims).contains(['-', '_']), "{plain}");
    let token = format!("{plain}.{}", encode(signature(Some("ES256"), plain.as_bytes())));
    assert_eq!(fault(&token, json!({})), Some(TokenFault::Malformed));
    let padded = format!("{}.{}", URL_SAFE.encode(header + " "), encode(&claims));
    assert!(padded.contains('='));
    let token = format!("{padded}.{}", encode(signature(Some("ES256"), padded.as_bytes())));
    assert_eq!(fault(&token, json!({})), Some(TokenFault::Malformed));
}

#[test]
fn the_size_is_bounded_to_the_byte() {
    // Spaces in the claims give every length but those that base64 cannot have.
    let sized = |spaces: usize| {
        let header = json!({"alg": "ES256", "kid": "p256"}).to_string();
        let claims = claims(json!({})).to_string() + &" ".repeat(spaces);
        sign_text(header.as_bytes(), claims.as_bytes())
    };
    let spaces = (0..).find(|spaces| sized(*spaces).len() >= MAX_TOKEN_BYTES).unwrap();
    let (below, fitting) = (sized(spaces - 1), sized(spaces));
    let fitting = if fitting.len() == MAX_TOKEN_BYTES { fitting } else { below };
    assert!(fitting.len() >= MAX_TOKEN_BYTES - 1 && fitting.len() <= MAX_TOKEN_BYTES);
    assert_eq!(fault(&fitting, json!({})), None);
    let long = sized(spaces + 2);
    assert!(long.len() <= MAX_TOKEN_BYTES + 4);
    assert_eq!(fault(&long, json!({})), Some(TokenFault::Malformed));
}

#[test]
fn json_that_two_parsers_could_read_differently() {
    let header = br#"{"alg":"ES256","kid":"p256"}"#;
    let good = claims(json!({})).to_string();
    let nested = |depth: usize| good.replacen('{', &format!(r#"{{"x":{}{},"#, "[".repeat(depth), "]".repeat(depth)), 1);
    assert_eq!(fault(&sign_text(header, nested(31).as_bytes()), json!({})), None);
    assert_eq!(fault(&sign_text(header, nested(32).as_bytes()), json!({})), Some(TokenFault::Malformed));
    let with = |member: &str| good.replacen('{', &format!("{{{member},"), 1).into_bytes();
    for claims in [
        with(r#""sub":"bob""#),
        with(r#""s\u0075b":"bob""#),
        with(r#""x":{"a":1,"a":1}"#),
        with(r#""x":"\ud800""#),
        with(r#""x":"\udc00\ud800""#),
        with(r#""x":1e400"#),
        with(r#""x":01"#),
        with(r#""x":NaN"#),
        with("\"x\":\"\t\""),
        [&b"\xef\xbb\xbf"[..], good.as_bytes()].concat(),
        [good.as_bytes(), b"{}"].concat(),
        [good.as_bytes(), b"\0"].concat(),
        b"[]".to_vec(),
        b"\"x\"".to_vec(),
        b"null".to_vec(),
        [&b"{\"x\":\"\xff\","[..], &good.as_bytes()[1..]].concat(),
    ] {
        let shown = String::from_utf8_lossy(&claims).into_owned();
        assert_eq!(fault(&sign_text(header, &claims), json!({})), Some(TokenFault::Malformed), "{shown}");
    }
    assert_eq!(fault(&sign_text(header, &with(r#""x":"\ud83d\ude00""#)), json!({})), None, "a pair is one character");
    for header in [
        &br#"{"alg":"none","alg":"ES256","kid":"p256"}"#[..],
        br#"{"alg":"ES256","kid":"p256","kid":"p256"}"#,
        b"\xef\xbb\xbf{\"alg\":\"ES256\",\"kid\":\"p256\"}",
        br#"["ES256"]"#,
    ] {
        assert_eq!(fault(&sign_text(header, good.as_bytes()), json!({})), Some(TokenFault::Malformed));
    }
}

#[test]
fn header_parameters() {
    use TokenFault::*;
    let long = "k".repeat(257);
    for (header, wanted) in [
        (json!({"crit": ["exp"]}), Some(Malformed)),
        (json!({"crit": []}), Some(Malformed)),
        (json!({"b64": false}), Some(Malformed)),
        (json!({"b64": true}), Some(Malformed)),
        (json!({"zip": "DEF"}), Some(Malformed)),
        (json!({"kid": ""}), Some(Malformed)),
        (json!({"kid": 1}), Some(Malformed)),
        (json!({"kid": null}), Some(Malformed)),
        (json!({ "kid": long }), Some(Malformed)),
        (json!({"kid": "P256"}), Some(UnknownKey)),
        (json!({"kid": "../p256"}), Some(UnknownKey)),
        (json!({"kid": &long[1..]}), Some(UnknownKey)),
        (json!({"kid": GONE}), None),
        (json!({"typ": 1}), Some(Malformed)),
        (json!({"typ": null}), Some(Malformed)),
        // never used, so they do no harm
        (
            json!({"jku": "https://evil", "x5u": "https://evil", "x5c": ["x"], "jwk": ec(&KEYS.p384, "P-384", "x")}),
            None,
        ),
    ] {
        let shown = header.to_string();
        assert_eq!(fault(&sign(header, json!({})), json!({})), wanted, "{shown}");
    }
}

#[test]
fn without_a_key_id_only_the_one_key_that_fits() {
    let verdict = |keys: Value| {
        let ruleset = ruleset(&[issuer(json!({}))]);
        let set = Arc::new(KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap());
        verify(&sign(json!({"kid": GONE}), json!({})), ruleset.issuers(), &[Some(set)]).err()
    };
    let key = |id: &str| ec(&KEYS.p256, "P-256", id);
    assert_eq!(verdict(json!([key("a"), ec(&KEYS.p384, "P-384", "b")])), None);
    for keys in
        [json!([]), json!([key("a"), key("b")]), json!([ec(&KEYS.p384, "P-384", "b")]), json!([key("a"), key("a")])]
    {
        assert_eq!(verdict(keys), Some(Unproven::Fault(TokenFault::UnknownKey)));
    }
}

#[test]
fn kinds_of_tokens() {
    let wrong = Some(TokenFault::WrongType);
    for (typ, wanted) in [
        (json!("at+jwt"), None),
        (json!("AT+JWT"), None),
        (json!("application/at+jwt"), None),
        (json!("Application/AT+jwt"), None),
        (json!("JWT"), None),
        (json!(GONE), None),
        (json!(""), wrong),
        (json!("absent"), wrong),
        (json!("Absent"), wrong),
        (json!("IdToken"), wrong),
        (json!("idtoken"), wrong),
        (json!("at+jwt "), wrong),
        (json!("text/at+jwt"), wrong),
        (json!("application/application/at+jwt"), wrong),
        (json!("logout+jwt"), wrong),
        (json!("dpop+jwt"), wrong),
        (json!("secevent+jwt"), wrong),
    ] {
        assert_eq!(fault(&sign(json!({ "typ": typ }), json!({})), json!({})), wanted, "{typ}");
    }
    let strict = || json!({"tokenTypes": ["at+jwt"], "untyped": false});
    assert_eq!(fault(&sign(json!({"typ": GONE}), json!({})), strict()), wrong);
    assert_eq!(fault(&sign(json!({"typ": "JWT"}), json!({})), strict()), wrong);
    for word in ["absent", "idtoken"] {
        let listed = json!({"tokenTypes": [word], "untyped": false, "idTokens": true});
        assert_eq!(fault(&sign(json!({ "typ": word }), json!({})), listed), wrong, "{word} is no type");
    }
}

#[test]
fn tokens_for_other_purposes() {
    let wrong = Some(TokenFault::WrongType);
    // claims; without and with `IdToken`
    for (claims, plain, with_id) in [
        (json!({"at_hash": "x"}), wrong, None),
        (json!({"c_hash": "x"}), wrong, None),
        (json!({"at_hash": null}), wrong, None),
        (json!({"typ": "ID"}), wrong, None),
        (json!({"typ": "id_token"}), wrong, None),
        (json!({"token_use": "ID_TOKEN"}), wrong, None),
        (json!({"token_use": "id"}), wrong, None),
        (json!({"events": {}}), wrong, wrong),
        (json!({"events": {}, "at_hash": "x"}), wrong, wrong),
        (json!({"typ": "Refresh"}), wrong, wrong),
        (json!({"typ": "Offline"}), wrong, wrong),
        (json!({"typ": "Logout"}), wrong, wrong),
        (json!({"token_use": "refresh"}), wrong, wrong),
        (json!({"typ": "Refresh_Token"}), wrong, wrong),
        (json!({"typ": "logout_token"}), wrong, wrong),
        (json!({"typ": "Refresh", "at_hash": "x"}), wrong, wrong),
        (json!({"typ": "Bearer"}), None, None),
        (json!({"token_use": "access"}), None, None),
        (json!({"nonce": "x"}), None, None),
    ] {
        let token = sign(json!({"typ": "JWT"}), claims.clone());
        assert_eq!(fault(&token, json!({})), plain, "{claims}");
        assert_eq!(fault(&token, json!({"idTokens": true})), with_id, "{claims}");
    }
    for (typ, wanted) in [(json!("JWT"), None), (json!(GONE), None), (json!("at+jwt"), wrong), (json!("id+jwt"), wrong)]
    {
        let token = sign(json!({ "typ": typ }), json!({"at_hash": "x"}));
        let listed = json!({"idTokens": true, "tokenTypes": ["at+jwt"], "untyped": false});
        assert_eq!(fault(&token, listed), wanted, "{typ}");
    }
}

#[test]
fn cognito() {
    use TokenFault::*;
    let preset = || json!({"accessTokenUse": true, "audiences": ["web"], "identity": {"client": ["client_id"]}});
    for (claims, wanted) in [
        (json!({"token_use": "access", "client_id": "web"}), None),
        (json!({"token_use": "access", "client_id": "other"}), Some(WrongAudience)),
        (json!({"token_use": "access", "client_id": 1}), Some(Malformed)),
        (json!({"token_use": "access"}), Some(ClaimMissing)),
        (json!({"token_use": "access", "aud": "web"}), None),
        (json!({"token_use": "access", "aud": "other", "client_id": "web"}), Some(WrongAudience)),
        (json!({"token_use": "Access", "client_id": "web"}), Some(WrongType)),
        (json!({"token_use": "id", "client_id": "web"}), Some(WrongType)),
        (json!({"client_id": "web"}), Some(WrongType)),
    ] {
        let token = sign(json!({}), edited(json!({"aud": GONE}), claims.clone()));
        assert_eq!(fault(&token, preset()), wanted, "{claims}");
    }
}

#[test]
fn registered_claims() {
    use TokenFault::*;
    for (claims, wanted) in [
        (json!({"iss": GONE}), Some(ClaimMissing)),
        (json!({"iss": ["https://login.example.com"]}), Some(Malformed)),
        (json!({"iss": "https://login.example.com/"}), Some(UnknownIssuer)),
        (json!({"iss": "HTTPS://login.example.com"}), Some(UnknownIssuer)),
        (json!({"aud": GONE}), Some(ClaimMissing)),
        (json!({"aud": null}), Some(Malformed)),
        (json!({"aud": 1}), Some(Malformed)),
        (json!({"aud": {"orders-api": 1}}), Some(Malformed)),
        (json!({"aud": []}), Some(WrongAudience)),
        (json!({"aud": ""}), Some(WrongAudience)),
        (json!({"aud": "orders-api other"}), Some(WrongAudience)),
        (json!({"aud": "Orders-API"}), Some(WrongAudience)),
        (json!({"aud": ["other"]}), Some(WrongAudience)),
        (json!({"aud": ["other", "orders-api"]}), None),
        (json!({"aud": ["orders-api", 1]}), Some(Malformed)),
        (json!({"aud": [["orders-api"]]}), Some(Malformed)),
        (json!({"sub": GONE}), Some(ClaimMissing)),
        (json!({"sub": 7}), Some(Malformed)),
        (json!({"sub": null}), Some(Malformed)),
        (json!({"exp": GONE}), Some(ClaimMissing)),
        (json!({"exp": "1800000000"}), Some(Malformed)),
        (json!({"exp": null}), Some(Malformed)),
        (json!({"exp": -1}), Some(Malformed)),
        (json!({"exp": 0}), Some(TokenExpired)),
        (json!({"exp": 253_402_300_799_i64}), None),
        (json!({"exp": 253_402_300_800_i64}), Some(Malformed)),
        (json!({"exp": 1e300}), Some(Malformed)),
        (json!({"exp": u64::MAX}), Some(Malformed)),
        (json!({"exp": 1.8e9}), None),
        (json!({"nbf": "1"}), Some(Malformed)),
        (json!({"nbf": true}), Some(Malformed)),
        (json!({"nbf": -0.5}), Some(Malformed)),
        (json!({"nbf": EXPIRES}), Some(TokenNotYetValid)),
        (json!({"iat": {}}), Some(Malformed)),
        (json!({"iat": EXPIRES}), Some(TokenNotYetValid)),
        (json!({"iat": GONE}), None),
        (json!({"auth_time": "x"}), None),
    ] {
        assert_eq!(fault(&sign(json!({}), claims.clone()), json!({})), wanted, "{claims}");
    }
    let any = || json!({"anyAudience": true, "audiences": []});
    for (claims, wanted) in [
        (json!({"aud": GONE}), None),
        (json!({"aud": []}), None),
        (json!({"aud": "x"}), None),
        (json!({"aud": [1]}), Some(Malformed)),
    ] {
        assert_eq!(fault(&sign(json!({}), claims.clone()), any()), wanted, "any audience: {claims}");
    }
    let oid = || json!({"identity": {"subject": "oid"}});
    assert_eq!(fault(&sign(json!({}), json!({"sub": GONE})), oid()), None, "another claim is the subject");
    assert_eq!(fault(&sign(json!({}), json!({"sub": 7})), oid()), None);
}

#[test]
fn required_claims() {
    let wanted = || json!({"requiredClaims": ["jti", "/act/sub"]});
    for (claims, missing) in [
        (json!({"jti": "x", "act": {"sub": "y"}}), false),
        (json!({"jti": false, "act": {"sub": 0}}), false),
        (json!({"jti": "x", "act": {"sub": null}}), true),
        (json!({"jti": null, "act": {"sub": "y"}}), true),
        (json!({"jti": "x", "act": [{"sub": "y"}]}), true),
        (json!({"jti": "x", "/act/sub": "y"}), true),
        (json!({"jti": "x"}), true),
    ] {
        let wanted_fault = missing.then_some(TokenFault::ClaimMissing);
        assert_eq!(fault(&sign(json!({}), claims.clone()), wanted()), wanted_fault, "{claims}");
    }
}

#[test]
fn times_to_the_millisecond() {
    use TokenFault::*;
    let age = json!({"maxTokenAgeMs": 60_000});
    let long = json!({"exp": 9_000_000_000_i64, "iat": GONE});
    let token = |change: Value| edited(long.clone(), change);
    for (claims, issuer, millis, wanted) in [
        (json!({"exp": 1000, "iat": GONE}), json!({}), 1_029_999, None),
        (json!({"exp": 1000, "iat": GONE}), json!({}), 1_030_000, Some(TokenExpired)),
        (json!({"exp": 1000.5, "iat": GONE}), json!({}), 1_030_499, None),
        (json!({"exp": 1000.5, "iat": GONE}), json!({}), 1_030_500, Some(TokenExpired)),
        (json!({"exp": 1000, "iat": GONE}), json!({"leewayMs": 0}), 999_999, None),
        (json!({"exp": 1000, "iat": GONE}), json!({"leewayMs": 0}), 1_000_000, Some(TokenExpired)),
        (token(json!({"nbf": 2000})), json!({}), 1_969_999, Some(TokenNotYetValid)),
        (token(json!({"nbf": 2000})), json!({}), 1_970_000, None),
        (token(json!({"iat": 2000})), json!({}), 1_969_999, Some(TokenNotYetValid)),
        (token(json!({"iat": 2000})), json!({}), 1_970_000, None),
        (token(json!({"iat": 1000})), age.clone(), 1_090_000, None),
        (token(json!({"iat": 1000})), age.clone(), 1_090_001, Some(TokenTooOld)),
        (token(json!({})), age.clone(), 1_000_000, Some(ClaimMissing)),
        // of several times the first: exp, nbf, age
        (json!({"exp": 1000, "nbf": 5000, "iat": 1}), age.clone(), 1_100_000, Some(TokenExpired)),
        (token(json!({"nbf": 5000, "iat": 1})), age.clone(), 1_100_000, Some(TokenNotYetValid)),
    ] {
        let verdict = judge_at(&sign(json!({}), claims.clone()), issuer.clone(), millis).err();
        assert_eq!(verdict, wanted.map(Unproven::Fault), "{claims} {issuer} {millis}");
    }
    // The far ends do not overflow.
    let far = issuer_of(json!({"leewayMs": u64::MAX, "maxTokenAgeMs": u64::MAX}));
    let verified = verify(&sign(json!({}), json!({})), far.issuers(), &[Some(SET.clone())]).unwrap();
    for millis in [i64::MIN, 0, i64::MAX] {
        let now = Timestamp::from_millis(millis);
        let _ = verified.check(&far.issuers()[0], &Peer::default(), now, now);
    }
}

fn issuer_of(change: Value) -> Ruleset {
    ruleset(&[issuer(change)])
}

#[test]
fn confirmations() {
    use TokenFault::*;
    let peer = |thumbprint: Option<&str>| Peer {
        certificate: Some(PeerCertificate { thumbprint: thumbprint.map(Into::into), ..PeerCertificate::default() }),
        ..Peer::default()
    };
    let now = Timestamp::from_millis((EXPIRES - 60) * 1000);
    let verdict = |confirmation: Value, peer: &Peer| {
        let ruleset = issuer_of(json!({}));
        let token = verify(&sign(json!({}), json!({ "cnf": confirmation })), ruleset.issuers(), &[Some(SET.clone())])?;
        Ok::<_, Unproven>(token.check(&ruleset.issuers()[0], peer, now, now)?)
    };
    for (confirmation, peer, wanted) in [
        (json!({"x5t#S256": "abc"}), peer(Some("abc")), None),
        (json!({"x5t#S256": "abc"}), peer(Some("abd")), Some(CertificateBinding)),
        (json!({"x5t#S256": "abc"}), peer(None), Some(CertificateBinding)),
        (json!({"x5t#S256": "abc"}), Peer::default(), Some(CertificateBinding)),
        (json!({"x5t#S256": ""}), Peer::default(), Some(CertificateBinding)),
        (json!({"x5t#S256": "ABC"}), peer(Some("abc")), Some(CertificateBinding)),
        (json!({"x5t#S256": 1}), peer(Some("1")), Some(Malformed)),
        (json!({"x5t#S256": "abc", "jkt": "x"}), peer(Some("abc")), Some(UnsupportedConfirmation)),
        (json!({"x5t#S256": "abc", "new": "x"}), peer(Some("abc")), Some(UnsupportedConfirmation)),
        (json!({"jkt": "x"}), peer(Some("abc")), Some(UnsupportedConfirmation)),
        (json!({"x5t": "abc"}), peer(Some("abc")), Some(UnsupportedConfirmation)),
        (json!({}), peer(Some("abc")), Some(UnsupportedConfirmation)),
        (json!("abc"), peer(Some("abc")), Some(Malformed)),
        (json!(null), peer(Some("abc")), Some(Malformed)),
    ] {
        assert_eq!(verdict(confirmation.clone(), &peer).err(), wanted.map(Unproven::Fault), "{confirmation}");
    }
}

#[test]
fn attributes() {
    let text = |identity: &Identity, attribute| match identity.get(attribute) {
        Some(AttributeValue::Text(text)) => Some(text.to_owned()),
        _ => None,
    };
    for (claims, attribute, wanted) in [
        (json!({}), Attribute::Subject, Some("alice")),
        (json!({}), Attribute::Issuer, Some("main")),
        (json!({"sub": ""}), Attribute::Subject, None),
        (json!({"name": "A"}), Attribute::Name, Some("A")),
        (json!({"name": 7}), Attribute::Name, None),
        (json!({"name": ["A"]}), Attribute::Name, None),
        (json!({"email": "a@b", "email_verified": true}), Attribute::Email, Some("a@b")),
        (json!({"email": "a@b", "email_verified": "true"}), Attribute::Email, None),
        (json!({"email": "a@b", "email_verified": 1}), Attribute::Email, None),
        (json!({"email": "a@b", "email_verified": false}), Attribute::Email, None),
        (json!({"email": "a@b"}), Attribute::Email, None),
        (json!({"tid": "acme"}), Attribute::Tenant, None),
        (json!({"azp": "web"}), Attribute::Client, Some("web")),
        (json!({"client_id": "web"}), Attribute::Client, Some("web")),
        (json!({"azp": "a", "client_id": "b"}), Attribute::Client, Some("a")),
        (json!({"azp": "", "client_id": "b"}), Attribute::Client, Some("b")),
        (json!({"azp": 1, "client_id": "b"}), Attribute::Client, Some("b")),
    ] {
        let identity = identity(json!({}), claims.clone());
        assert_eq!(text(&identity, attribute).as_deref(), wanted, "{claims}");
    }
    let mapped = |mapping: Value, claims: Value, attribute| text(&identity(mapping, claims), attribute);
    let trusted = json!({"emailTrusted": true});
    assert_eq!(mapped(trusted.clone(), json!({"email": "a@b"}), Attribute::Email).as_deref(), Some("a@b"));
    assert_eq!(
        mapped(trusted, json!({"email": "a@b", "email_verified": false}), Attribute::Email).as_deref(),
        Some("a@b")
    );
    let tenant = |change: Value| json!({ "identity": change });
    assert_eq!(
        mapped(tenant(json!({"tenant": "tid"})), json!({"tid": "acme"}), Attribute::Tenant).as_deref(),
        Some("acme")
    );
    assert_eq!(mapped(tenant(json!({"tenant": "tid"})), json!({"tid": 7}), Attribute::Tenant), None);
    let fixed = tenant(json!({"tenant": "tid", "tenantValue": "acme"}));
    assert_eq!(mapped(fixed, json!({"tid": "evil"}), Attribute::Tenant).as_deref(), Some("acme"));
    let clients =
        identity(json!({"identity": {"client": ["cid"]}}), json!({"azp": "a", "client_id": "b", "cid": "c"})).clients;
    assert_eq!(clients, ["a", "b", "c"]);
}

#[test]
fn lists() {
    for (value, wanted) in [
        (json!(["a", "b"]), vec!["a", "b"]),
        (json!("a b"), vec!["a b"]),
        (json!(["a", 1, null, "", ["c"], {"d": 1}]), vec!["a"]),
        (json!(""), vec![]),
        (json!(7), vec![]),
        (json!({"a": 1}), vec![]),
        (json!(null), vec![]),
    ] {
        let identity = identity(json!({}), json!({"roles": value, "groups": value}));
        assert_eq!(identity.roles, wanted, "{value}");
        assert_eq!(identity.groups, wanted, "{value}");
    }
    let pointer = json!({"identity": {"roles": "/realm_access/roles"}});
    assert_eq!(identity(pointer.clone(), json!({"realm_access": {"roles": ["a"]}})).roles, ["a"]);
    assert!(identity(pointer, json!({"realm_access": [{"roles": ["a"]}]})).roles.is_empty());
}

#[test]
fn scopes() {
    for (claims, wanted) in [
        (json!({}), Some(vec![])),
        (json!({"scope": "a b"}), Some(vec!["a", "b"])),
        (json!({"scope": " a  b "}), Some(vec!["a", "b"])),
        (json!({"scope": "a\tb"}), Some(vec!["a\tb"])),
        (json!({"scope": ["a b", "c", 1, ""]}), Some(vec!["a b", "c"])),
        (json!({"scp": ["a", "b"]}), Some(vec!["a", "b"])),
        (json!({"scp": "a b"}), Some(vec!["a", "b"])),
        (json!({"scope": "a b", "scp": ["b", "a"]}), Some(vec!["a", "b"])),
        (json!({"scope": "a", "scp": null}), Some(vec!["a"])),
        (json!({"scope": "a", "scp": ["a", "admin"]}), None),
        (json!({"scope": "a admin", "scp": ["a"]}), None),
        (json!({"scope": "a", "scp": []}), None),
        (json!({"scope": 7}), Some(vec![])),
    ] {
        let token = sign(json!({}), claims.clone());
        let got = judge_at(&token, json!({}), (EXPIRES - 60) * 1000).map(|token| token.identity.scopes);
        let wanted = wanted.ok_or(Unproven::Fault(TokenFault::Malformed));
        let wanted = wanted.map(|scopes| scopes.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(got, wanted, "{claims}");
    }
    let mapped = json!({"identity": {"scopes": "scp"}});
    assert_eq!(identity(mapped, json!({"scope": "admin", "scp": "a"})).scopes, ["a"], "only the mapped claim counts");
}

#[test]
fn two_issuers_never_share_keys() {
    let other = issuer(json!({"name": "other", "issuer": "https://other"}));
    let ruleset = ruleset(&[issuer(json!({})), other]);
    let empty = Arc::new(KeySet::parse(br#"{"keys":[]}"#).unwrap());
    let ours = sign(json!({}), json!({}));
    let theirs = sign(json!({}), json!({"iss": "https://other"}));
    let keys = [Some(SET.clone()), Some(empty)];
    assert_eq!(verify(&ours, ruleset.issuers(), &keys).unwrap().issuer(), 0);
    assert_eq!(verify(&theirs, ruleset.issuers(), &keys).err(), Some(Unproven::Fault(TokenFault::UnknownKey)));
    assert_eq!(verify(&theirs, ruleset.issuers(), &keys[..1]).err(), Some(Unproven::KeysUnavailable));
}

#[test]
fn an_assumed_token_has_no_times_but_its_other_checks() {
    let ruleset = issuer_of(json!({}));
    let assume = |claims: Value| VerifiedToken::assume(claims.as_object().unwrap().clone(), ruleset.issuers(), 0);
    let token = assume(json!({"sub": "alice", "exp": 1, "auth_time": 5})).unwrap();
    let end = Timestamp::from_millis(i64::MAX);
    assert_eq!(token.check(&ruleset.issuers()[0], &Peer::default(), end, end), Ok(()));
    assert_eq!(token.authenticated_at(), Timestamp::from_numeric_date(5.0));
    assert_eq!(assume(json!({"scope": "a", "scp": "b"})).err(), Some(TokenFault::Malformed));
    assert_eq!(assume(json!({"cnf": 1})).err(), Some(TokenFault::Malformed));
    assert!(assume(json!({"cnf": {"x5t#S256": "x"}})).unwrap().is_certificate_bound());
    assert!(VerifiedToken::assume(Map::new(), ruleset.issuers(), 1).is_err());
}
