//! The form of a token and its header (RFC 7515, sections 4 and 7.1), before anything in it is believed.

use crate::json;
use crate::keys::{Key, MAX_KEY_ID};
use crate::reason::TokenFault::{self, Malformed, WrongAlgorithm};
use crate::wire::Algorithm;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The longest token in bytes. The largest seen in practice, Entra with 200 groups, has about 6 KiB, and what is larger
/// does not fit beside the other fields into most servers' limits.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A well-formed token, nothing in it verified.
pub(super) struct Envelope<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<Box<str>>,
    /// The `typ` header parameter in lower case, without `application/` (RFC 7515, section 4.1.9).
    pub(super) kind: Option<String>,
    pub(super) claims: Map<String, Value>,
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Envelope<'a> {
    pub(super) fn open(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Malformed)?;
        let (header, claims) = signed.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(Malformed)?;
        let header = object(header)?;
        let claims = object(claims)?;
        Self::of_parts(&header, claims, signed, signature)
    }

    /// Reads the header; `signed` holds header and claims as they came.
    pub(super) fn of_parts(
        header: &Map<String, Value>,
        claims: Map<String, Value>,
        signed: &'a str,
        signature: &'a str,
    ) -> Result<Self, TokenFault> {
        URL_SAFE_NO_PAD.decode(signature).map_err(|_| Malformed)?;
        let name = header.get("alg").and_then(Value::as_str).ok_or(Malformed)?;
        let algorithm = algorithm(name).ok_or(WrongAlgorithm)?;
        // Extensions change what a signature covers; a reader that skips them verifies something else (RFC 7515, 4.1.11).
        if ["crit", "b64", "zip"].iter().any(|name| header.contains_key(*name)) {
            return Err(Malformed);
        }
        Ok(Self { algorithm, key_id: key_id(header)?, kind: kind(header)?, claims, signed, signature })
    }

    pub(super) fn is_signed_by(&self, key: &Key) -> bool {
        // The one call into the library: which key and algorithm may be used was decided before.
        jsonwebtoken::crypto::verify(
            self.signature,
            self.signed.as_bytes(),
            &key.decoding,
            library_name(self.algorithm),
        )
        .unwrap_or(false)
    }
}

pub(super) fn object(part: &str) -> Result<Map<String, Value>, TokenFault> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed)?;
    json::parse_object(&bytes).map_err(|_| Malformed)
}

fn key_id(header: &Map<String, Value>) -> Result<Option<Box<str>>, TokenFault> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(id)) if (1..=MAX_KEY_ID).contains(&id.len()) => Ok(Some(id.as_str().into())),
        Some(_) => Err(Malformed),
    }
}

fn kind(header: &Map<String, Value>) -> Result<Option<String>, TokenFault> {
    match header.get("typ") {
        None => Ok(None),
        Some(Value::String(kind)) => {
            let kind = kind.to_ascii_lowercase();
            Ok(Some(kind.strip_prefix("application/").map(str::to_owned).unwrap_or(kind)))
        }
        Some(_) => Err(Malformed),
    }
}

/// The algorithm of a name in a token or key: asymmetric ones only. `Ed25519` is the newer name of `EdDSA` with that curve
/// (RFC 9864, section 2.2).
#[must_use]
pub fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" | "Ed25519" => Algorithm::EdDSA,
        _ => return None,
    })
}

fn library_name(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::RS384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::PS384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::PS512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}
