//! What of a fetched set travels on: public members of usable keys.

use super::{KeyFault, KeySet, KeySetFault};
use crate::json;
use serde_json::{Map, Value};

/// The members by which a public key verifies (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2).
const PUBLIC: [&str; 10] = ["kty", "kid", "use", "key_ops", "alg", "n", "e", "crv", "x", "y"];

impl KeySet {
    /// Parses a JSON Web Key Set, and writes what of it verifies tokens as a set of its own: the public members of the
    /// usable keys, in an order of their own. Private keys that a provider published by mistake stay where they were
    /// found, and what does not change what verifies changes nothing.
    ///
    /// # Errors
    /// Where the set as a whole is none.
    pub fn distill(jwks: &[u8]) -> Result<(Self, String), KeySetFault> {
        let set = Self::parse(jwks)?;
        let whole = json::parse_object(jwks).map_err(|_| KeySetFault::Malformed)?;
        let members = whole.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut keys: Vec<String> = members
            .iter()
            .enumerate()
            .filter(|(index, member)| set.uses(*index, member))
            .filter_map(|(_, member)| member.as_object())
            .map(|member| Value::Object(public(member)).to_string())
            .collect();
        keys.sort_unstable();
        Ok((set, format!(r#"{{"keys":[{}]}}"#, keys.join(","))))
    }

    /// Whether the key at a position is used. Of keys with one `kid` only the later ones are on the list of the ignored.
    fn uses(&self, index: usize, member: &Value) -> bool {
        let id = super::jwk::id(member).ok().flatten();
        !self.ignored.iter().any(|ignored| {
            let ambiguous = ignored.why == KeyFault::Duplicate && id.is_some() && ignored.id == id;
            ignored.index == index || ambiguous
        })
    }
}

fn public(member: &Map<String, Value>) -> Map<String, Value> {
    PUBLIC.iter().filter_map(|name| Some(((*name).to_owned(), member.get(*name)?.clone()))).collect()
}
