//! The public keys of one issuer: which may verify what, and which are left out and why (RFC 7517, RFC 8725).

mod jwk;
mod publish;
mod source;

pub use source::{KeySource, at_hand_id, is_at_hand};

use crate::json;
use crate::wire::Algorithm;
use jsonwebtoken::DecodingKey;
use serde_json::Value;
use std::sync::Arc;

/// The most keys of one set; providers publish two to ten.
pub const MAX_KEYS: usize = 100;
/// The largest JSON Web Key Set in bytes.
pub const MAX_JWKS_BYTES: usize = 512 * 1024;
/// The longest key identifier in bytes.
pub const MAX_KEY_ID: usize = 256;

/// A usable public key.
pub struct Key {
    id: Option<Box<str>>,
    algorithms: &'static [Algorithm],
    only: Option<Algorithm>,
    pub(crate) decoding: DecodingKey,
}

/// The keys of one issuer.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
    ignored: Vec<IgnoredKey>,
}

/// A key that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredKey {
    /// Its position in the set.
    pub index: usize,
    /// Its `kid`, where it has a usable one.
    pub id: Option<Box<str>>,
    /// Why it is not used.
    pub why: KeyFault,
}

/// Why a key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// A member is missing or of the wrong form.
    #[error("a member is missing or not of the form of RFC 7518")]
    Malformed,
    /// Private members: whoever can read the set can sign.
    #[error("it holds private members")]
    Private,
    /// A symmetric key could be used to sign by everybody who verifies.
    #[error("it is symmetric")]
    Symmetric,
    /// A key type, curve or algorithm that is not supported.
    #[error("its type, curve or algorithm is not supported")]
    Unsupported,
    /// `use` or `key_ops` do not allow verification.
    #[error("`use` or `key_ops` do not allow to verify with it")]
    Use,
    /// An RSA modulus outside 2,048 to 8,192 bits, or an even or small exponent.
    #[error("the RSA modulus has not 2048 to 8192 bits, or the exponent is even or below 3")]
    Weak,
    /// Two keys of one `kid`: which of them signed would be a guess.
    #[error("another key has the same `kid`")]
    Duplicate,
}

/// Why a whole set is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetFault {
    /// Larger than [`MAX_JWKS_BYTES`].
    #[error("larger than {MAX_JWKS_BYTES} bytes")]
    TooLarge,
    /// Not a JSON object with an array `keys`.
    #[error("not a JSON Web Key Set: a JSON object with an array `keys`, no name twice")]
    Malformed,
    /// More than [`MAX_KEYS`].
    #[error("more than {MAX_KEYS} keys")]
    TooMany,
}

/// Why no key fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    Unknown,
    WrongAlgorithm,
}

impl KeySet {
    /// Parses a JSON Web Key Set (RFC 7517, section 5); keys that cannot be used are left out and named.
    ///
    /// # Errors
    /// Where the set as a whole is none.
    pub fn parse(jwks: &[u8]) -> Result<Self, KeySetFault> {
        if jwks.len() > MAX_JWKS_BYTES {
            return Err(KeySetFault::TooLarge);
        }
        let set = json::parse_object(jwks).map_err(|_| KeySetFault::Malformed)?;
        let Some(Value::Array(members)) = set.get("keys") else { return Err(KeySetFault::Malformed) };
        if members.len() > MAX_KEYS {
            return Err(KeySetFault::TooMany);
        }
        let mut parsed = Self::default();
        for (index, member) in members.iter().enumerate() {
            match jwk::parse(member) {
                Ok(key) if parsed.has(key.id.as_deref()) => parsed.ignore(index, key.id, KeyFault::Duplicate),
                Ok(key) => parsed.keys.push(Arc::new(key)),
                Err(why) => parsed.ignore(index, jwk::id(member).ok().flatten(), why),
            }
        }
        parsed.drop_ambiguous();
        Ok(parsed)
    }

    /// How many keys can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key can be used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The `kid` of each key that can be used.
    pub fn ids(&self) -> impl Iterator<Item = Option<&str>> {
        self.keys.iter().map(|key| key.id.as_deref())
    }

    /// The keys that are not used.
    #[must_use]
    pub fn ignored(&self) -> &[IgnoredKey] {
        &self.ignored
    }

    /// Whether a usable key has this `kid`.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.has(Some(id))
    }

    /// The one key for a token: by `kid`, or the only one that fits where the token names none.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Arc<Key>, NoKey> {
        let Some(id) = id else {
            let mut fitting = self.keys.iter().filter(|key| key.allows(algorithm));
            return fitting.next().filter(|_| fitting.next().is_none()).ok_or(NoKey::Unknown);
        };
        let key = self.keys.iter().find(|key| key.id.as_deref() == Some(id)).ok_or(NoKey::Unknown)?;
        if key.allows(algorithm) { Ok(key) } else { Err(NoKey::WrongAlgorithm) }
    }

    fn has(&self, id: Option<&str>) -> bool {
        id.is_some() && self.keys.iter().any(|key| key.id.as_deref() == id)
    }

    fn ignore(&mut self, index: usize, id: Option<Box<str>>, why: KeyFault) {
        self.ignored.push(IgnoredKey { index, id, why });
    }

    /// Of two keys with one `kid` the first goes too.
    fn drop_ambiguous(&mut self) {
        let ambiguous = |id: Option<&str>| {
            self.ignored.iter().any(|other| other.why == KeyFault::Duplicate && other.id.as_deref() == id)
        };
        self.keys.retain(|key| key.id.is_none() || !ambiguous(key.id.as_deref()));
    }
}

impl Key {
    fn allows(&self, algorithm: Algorithm) -> bool {
        self.only.map_or_else(|| self.algorithms.contains(&algorithm), |only| only == algorithm)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter
            .debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
