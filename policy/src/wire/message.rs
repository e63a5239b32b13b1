//! Messages and the snapshot file, with the revisions that prove them whole.

use super::Body;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of these formats. A reader refuses any other: a field that it does not know could narrow what is allowed.
pub const FORMAT: u32 = 1;
/// The largest snapshot file or message in bytes: an API object holds at most 1.5 MiB, its compiled form about as much,
/// and a pod has few ports.
pub const MAX_SNAPSHOT_BYTES: usize = 16 * 1024 * 1024;

/// What a sidecar runs from when no operator is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Always [`FORMAT`].
    pub format: u32,
    /// One for each protected port.
    pub rulesets: Vec<RulesetMessage>,
    /// One for each set of keys that a ruleset names.
    pub keys: Vec<KeysMessage>,
}

/// A ruleset for one port.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesetMessage {
    /// Always `ruleset`.
    pub r#type: RulesetTag,
    /// The container port; 0 where the policy names none and the file is for one port only.
    pub port: u16,
    /// The generation of the policy object, for people; it restarts at 1 when an object is made anew.
    pub generation: i64,
    /// SHA-256 of the bytes of `body` in lower-case hexadecimal.
    pub revision: String,
    /// A [`Body`], not decoded before its revision is verified.
    pub body: Box<RawValue>,
}

/// The keys of one issuer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysMessage {
    /// Always `keys`.
    pub r#type: KeysTag,
    /// What rulesets call this set: issuer and source together, so that two policies with different sources for one
    /// issuer never share keys.
    pub id: String,
    /// The issuer.
    pub issuer: String,
    /// SHA-256 of the bytes of `body`, compared for equality only.
    pub revision: String,
    /// A JSON Web Key Set (RFC 7517, section 5).
    pub body: Box<RawValue>,
}

/// The `type` of a [`RulesetMessage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RulesetTag {
    /// The only value.
    #[serde(rename = "ruleset")]
    Ruleset,
}

/// The `type` of a [`KeysMessage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeysTag {
    /// The only value.
    #[serde(rename = "keys")]
    Keys,
}

/// Why a message cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// More bytes than any of ours has.
    #[error("larger than {MAX_SNAPSHOT_BYTES} bytes")]
    TooLarge,
    /// Not JSON, or with a field that this version does not know.
    #[error("cannot be read")]
    Json(#[from] serde_json::Error),
    /// Another version wrote it.
    #[error("format {0} is not {FORMAT}, the one that this version reads")]
    Format(u32),
    /// A message of a kind that this version does not know.
    #[error("a message of an unknown `type`")]
    Type,
    /// The bytes are not the ones that were published.
    #[error("the revision does not fit the body")]
    Revision,
}

impl Snapshot {
    /// Reads a snapshot file.
    ///
    /// # Errors
    /// See [`WireError`]; revisions are verified when bodies are read.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        /// Read first: another format may have other fields.
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        if bytes.len() > MAX_SNAPSHOT_BYTES {
            return Err(WireError::TooLarge);
        }
        let Versioned { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(WireError::Format(format));
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

impl RulesetMessage {
    /// Wraps a body.
    ///
    /// # Errors
    /// None in practice: a body is plain data.
    pub fn new(port: u16, generation: i64, body: &Body) -> Result<Self, WireError> {
        let body = serde_json::value::to_raw_value(body)?;
        Ok(Self { r#type: RulesetTag::Ruleset, port, generation, revision: revision(&body), body })
    }

    /// The body, after its revision is verified.
    ///
    /// # Errors
    /// Where the revision does not fit, or the body has a field that this version does not know.
    pub fn body(&self) -> Result<Body, WireError> {
        verify(&self.body, &self.revision)?;
        Ok(serde_json::from_str(self.body.get())?)
    }
}

impl KeysMessage {
    /// Wraps a JSON Web Key Set.
    ///
    /// # Errors
    /// Where `jwks` is not JSON.
    pub fn new(id: String, issuer: String, jwks: &str) -> Result<Self, WireError> {
        let body: Box<RawValue> = serde_json::from_str(jwks)?;
        Ok(Self { r#type: KeysTag::Keys, id, issuer, revision: revision(&body), body })
    }

    /// The JSON Web Key Set, after its revision is verified.
    ///
    /// # Errors
    /// Where the revision does not fit.
    pub fn jwks(&self) -> Result<&str, WireError> {
        verify(&self.body, &self.revision)?;
        Ok(self.body.get())
    }
}

fn verify(body: &RawValue, wanted: &str) -> Result<(), WireError> {
    if revision(body) == wanted { Ok(()) } else { Err(WireError::Revision) }
}

fn revision(body: &RawValue) -> String {
    digest(&SHA256, body.get().as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
