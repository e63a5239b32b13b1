//! One JSON Web Key (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2).

use super::{Key, KeyFault, MAX_KEY_ID};
use crate::wire::Algorithm::{self, ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

/// Below it a modulus can be factored with known means (RFC 7518, section 3.3).
const MIN_RSA_BITS: usize = 2048;
/// Above it one verification costs so much that tokens become a weapon.
const MAX_RSA_BITS: usize = 8192;

const RSA: &[Algorithm] = &[RS256, RS384, RS512, PS256, PS384, PS512];

/// The members that only a private key has (RFC 7518, sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Parses and checks one key.
pub(super) fn parse(member: &Value) -> Result<Key, KeyFault> {
    let jwk = member.as_object().ok_or(KeyFault::Malformed)?;
    let id = id(member)?;
    let kind = text(jwk, "kty")?.ok_or(KeyFault::Malformed)?;
    if kind == "oct" {
        return Err(KeyFault::Symmetric);
    }
    if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
        return Err(KeyFault::Private);
    }
    if !may_verify(jwk)? {
        return Err(KeyFault::Use);
    }
    let (algorithms, decoding) = match kind {
        "RSA" => rsa(jwk)?,
        "EC" => ec(jwk)?,
        "OKP" => okp(jwk)?,
        _ => return Err(KeyFault::Unsupported),
    };
    let only = text(jwk, "alg")?.map(|name| crate::token::algorithm(name).ok_or(KeyFault::Unsupported)).transpose()?;
    if only.is_some_and(|only| !algorithms.contains(&only)) {
        return Err(KeyFault::Malformed);
    }
    Ok(Key { id, algorithms, only, decoding })
}

/// The `kid`, where there is one.
pub(super) fn id(member: &Value) -> Result<Option<Box<str>>, KeyFault> {
    match member.get("kid") {
        None => Ok(None),
        Some(Value::String(id)) if (1..=MAX_KEY_ID).contains(&id.len()) => Ok(Some(id.as_str().into())),
        Some(_) => Err(KeyFault::Malformed),
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyFault> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyFault::Malformed),
    }
}

/// A member that holds bytes, in canonical base64url without padding.
fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyFault> {
    let text = text(jwk, name)?.ok_or(KeyFault::Malformed)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyFault::Malformed)
}

fn may_verify(jwk: &Map<String, Value>) -> Result<bool, KeyFault> {
    let by_use = text(jwk, "use")?.is_none_or(|usage| usage == "sig");
    let by_operation = match jwk.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
        Some(_) => return Err(KeyFault::Malformed),
    };
    Ok(by_use && by_operation)
}

fn rsa(jwk: &Map<String, Value>) -> Result<(&'static [Algorithm], DecodingKey), KeyFault> {
    let modulus = trimmed(bytes(jwk, "n")?);
    let exponent = trimmed(bytes(jwk, "e")?);
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let exponent_is_sound = odd(&exponent) && exponent != [1] && exponent.len() <= 8;
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) || !odd(&modulus) || !exponent_is_sound {
        return Err(KeyFault::Weak);
    }
    Ok((RSA, DecodingKey::from_rsa_raw_components(&modulus, &exponent)))
}

/// Some providers write a leading zero byte (RFC 7518, section 6.3.1.1 warns of it).
fn trimmed(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

fn ec(jwk: &Map<String, Value>) -> Result<(&'static [Algorithm], DecodingKey), KeyFault> {
    let (length, algorithms): (usize, &'static [Algorithm]) = match text(jwk, "crv")? {
        Some("P-256") => (32, &[ES256]),
        Some("P-384") => (48, &[ES384]),
        Some(_) => return Err(KeyFault::Unsupported),
        None => return Err(KeyFault::Malformed),
    };
    if bytes(jwk, "x")?.len() != length || bytes(jwk, "y")?.len() != length {
        return Err(KeyFault::Malformed);
    }
    let coordinate = |name| text(jwk, name).map(Option::unwrap_or_default);
    let key = DecodingKey::from_ec_components(coordinate("x")?, coordinate("y")?).map_err(|_| KeyFault::Malformed)?;
    Ok((algorithms, key))
}

fn okp(jwk: &Map<String, Value>) -> Result<(&'static [Algorithm], DecodingKey), KeyFault> {
    match text(jwk, "crv")? {
        Some("Ed25519") => {}
        Some(_) => return Err(KeyFault::Unsupported),
        None => return Err(KeyFault::Malformed),
    }
    if bytes(jwk, "x")?.len() != 32 {
        return Err(KeyFault::Malformed);
    }
    let key = DecodingKey::from_ed_components(text(jwk, "x")?.unwrap_or_default()).map_err(|_| KeyFault::Malformed)?;
    Ok((&[EdDSA], key))
}
