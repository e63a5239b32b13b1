//! The JSON Web Signature cases of C2SP/wycheproof, with what this crate does between a token and the library.

use super::super::envelope::{Envelope, object};
use super::*;
use std::path::Path;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/wycheproof-jws.json");

/// Valid signatures that are refused all the same, and why.
fn is_unsupported(token: &str, key: Option<&Value>) -> Option<&'static str> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let header = token.split('.').next().and_then(|part| object(part).ok()).map(Value::Object);
    let named = header.as_ref().and_then(|header| text(header, "alg")).unwrap_or_default();
    let Some(key) = key else { return Some("symmetric keys never verify") };
    if named.starts_with("HS") {
        return Some("symmetric keys never verify");
    }
    if text(key, "crv").as_deref() == Some("P-521") {
        return Some("P-521 is not supported");
    }
    if text(key, "alg").is_some_and(|alg| alg != named) {
        return Some("the key names another algorithm than the token (RFC 8725, section 3.1)");
    }
    None
}

fn verifies(token: &str, key: &Value) -> bool {
    let Ok(set) = KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes()) else { return false };
    let Some((signed, signature)) = token.rsplit_once('.') else { return false };
    let Some((header, payload)) = signed.split_once('.') else { return false };
    // The payloads are no claims; their form is judged as that of any other part.
    let (Ok(header), Ok(_)) = (object(header), URL_SAFE_NO_PAD.decode(payload)) else { return false };
    let Ok(envelope) = Envelope::of_parts(&header, Map::new(), signed, signature) else { return false };
    set.find(envelope.key_id.as_deref(), envelope.algorithm).is_ok_and(|key| envelope.is_signed_by(key))
}

#[test]
fn signatures_of_wycheproof() {
    if !Path::new(FILE).exists() {
        return println!("token::tests::wycheproof::signatures_of_wycheproof is skipped: there is no {FILE}");
    }
    let vectors: Value = serde_json::from_slice(&std::fs::read(FILE).unwrap()).unwrap();
    let mut counts = [0; 3];
    let mut wrong = Vec::new();
    for group in vectors["testGroups"].as_array().unwrap() {
        let key = group.get("public");
        for case in group["tests"].as_array().unwrap() {
            let (Some(token), Some(result)) = (case["jws"].as_str(), case["result"].as_str()) else { panic!("{case}") };
            let verified = key.is_some_and(|key| verifies(token, key));
            let (wanted, slot) = match (result, is_unsupported(token, key)) {
                ("valid", None) => (true, 0),
                ("valid", Some(_)) => (false, 1),
                _ => (false, 2),
            };
            counts[slot] += 1;
            if verified != wanted {
                wrong.push(format!("{} {result} {}: {verified}", case["tcId"], case["comment"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("valid, unsupported, invalid: {counts:?}");
    assert_eq!(counts.iter().sum::<i32>(), 401);
}
