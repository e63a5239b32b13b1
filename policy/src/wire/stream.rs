//! What operator and sidecar say to each other: one JSON message a line from the operator, JSON documents to it.

use super::{KeysMessage, RulesetMessage, WireError};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The audience of the service-account tokens by which sidecars show who they are.
pub const AUDIENCE: &str = "doorward.dev";
/// The media type of the stream.
pub const STREAM_TYPE: &str = "application/x-ndjson";
/// Where the stream is: `GET`, with `formats` and `ports` in the query, and in `certificate` the [`certificate_revision`] of the
/// sidecar that has one.
pub const CONFIG_PATH: &str = "/v1/config";
/// Where a [`Report`] goes: `POST`, answered 204.
pub const REPORT_PATH: &str = "/v1/report";
/// Where a [`CertificateRequest`] goes: `POST`, answered with an [`IssuedCertificate`].
pub const CERTIFICATE_PATH: &str = "/v1/certificate";
/// The largest report in bytes: every port of a pod, and as many unknown keys as are worth telling at once.
pub const MAX_REPORT_BYTES: usize = 64 * 1024;
/// The largest certificate request in bytes; one with a P-256 key has about 500.
pub const MAX_CERTIFICATE_REQUEST_BYTES: usize = 16 * 1024;
/// Unknown keys in one report.
pub const MAX_UNKNOWN_KEYS: usize = 64;
/// Ports of one pod.
pub const MAX_PORTS: usize = 32;

/// One line of the stream.
#[derive(Clone, Debug)]
pub enum Message {
    /// A ruleset for one port replaces what was in force there.
    Ruleset(RulesetMessage),
    /// The keys of one issuer replace the set of the same id.
    Keys(KeysMessage),
    /// No policy selects the port: every request is refused.
    Absent(Absent),
    /// Only what certain policies allow may stay in force.
    Retain(Retain),
    /// All that there is was sent. A port that got nothing keeps its last good ruleset.
    Synced,
    /// The names of the pod changed, or who vouches: fetch a new certificate.
    Renew,
    /// Nothing to say; the operator is there.
    Ping,
}

/// No policy selects a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absent {
    /// Always `absent`.
    pub r#type: AbsentTag,
    /// The container port.
    pub port: u16,
}

/// The `type` of [`Absent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AbsentTag {
    /// The only value.
    #[serde(rename = "absent")]
    Absent,
}

impl Absent {
    /// For a container port.
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self { r#type: AbsentTag::Absent, port }
    }
}

/// Policies that may rule a port cannot be used, or not yet: what is in force there stays where it is of one of them, its last
/// good rules; otherwise every request is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retain {
    /// Always `retain`.
    pub r#type: RetainTag,
    /// The container port.
    pub port: u16,
    /// The UIDs of these policies.
    pub policies: Vec<String>,
}

/// The `type` of [`Retain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetainTag {
    /// The only value.
    #[serde(rename = "retain")]
    Retain,
}

impl Retain {
    /// For a container port and the policies of these UIDs.
    #[must_use]
    pub fn new(port: u16, policies: Vec<String>) -> Self {
        Self { r#type: RetainTag::Retain, port, policies }
    }
}

impl Message {
    /// Reads one line. `type` is read first, then the line as that message.
    ///
    /// # Errors
    /// Where it is no JSON, of a type that this version does not know, or has a field that it does not know. Revisions are
    /// verified when bodies are read.
    pub fn read(line: &[u8]) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        struct Typed {
            r#type: String,
        }
        /// A message that says nothing but its type.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bare {
            #[serde(rename = "type")]
            _type: String,
        }
        let Typed { r#type } = serde_json::from_slice(line)?;
        let bare = |message| serde_json::from_slice::<Bare>(line).map(|_| message);
        Ok(match r#type.as_str() {
            "ruleset" => Self::Ruleset(serde_json::from_slice(line)?),
            "keys" => Self::Keys(serde_json::from_slice(line)?),
            "absent" => Self::Absent(serde_json::from_slice(line)?),
            "retain" => Self::Retain(serde_json::from_slice(line)?),
            "synced" => bare(Self::Synced)?,
            "renew" => bare(Self::Renew)?,
            "ping" => bare(Self::Ping)?,
            _ => return Err(WireError::Type),
        })
    }

    /// The message as one line without its end.
    ///
    /// # Errors
    /// None in practice: messages are plain data.
    pub fn line(&self) -> Result<String, WireError> {
        Ok(match self {
            Self::Ruleset(message) => serde_json::to_string(message)?,
            Self::Keys(message) => serde_json::to_string(message)?,
            Self::Absent(message) => serde_json::to_string(message)?,
            Self::Retain(message) => serde_json::to_string(message)?,
            Self::Synced => r#"{"type":"synced"}"#.to_owned(),
            Self::Renew => r#"{"type":"renew"}"#.to_owned(),
            Self::Ping => r#"{"type":"ping"}"#.to_owned(),
        })
    }
}

/// What a sidecar tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Report {
    /// What is in force on each port that ever got something.
    pub applied: Vec<Applied>,
    /// The ports whose traffic is proven to go through the sidecar.
    pub captured: Vec<u16>,
    /// Keys that tokens named and no set has.
    pub unknown_keys: Vec<UnknownKey>,
}

/// What is in force on one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// The container port.
    pub port: u16,
    /// The generation in force; 0 where none is.
    pub generation: i64,
    /// The revision in force; empty where none is.
    pub revision: String,
    /// Why what was sent last is not in force, where it is not.
    pub error: Option<String>,
}

/// A key that is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnknownKey {
    /// The `id` of the set of keys that was searched.
    pub issuer: String,
    /// The `kid` of the token.
    pub kid: String,
}

/// What a certificate and its bundle say, as one text: by it the operator knows whether a sidecar has what it would get now.
/// SHA-256 in base64url of the alternative names, in order, and of the bundle in PEM.
#[must_use]
pub fn certificate_revision<'a>(names: impl IntoIterator<Item = &'a str>, bundle: &str) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    // No name has a line end.
    URL_SAFE_NO_PAD.encode(digest(&SHA256, format!("{}\n\n{bundle}", names.join("\n")).as_bytes()))
}

/// A certificate is asked for; whose it will be is the operator's to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRequest {
    /// A PKCS #10 request (RFC 2986) in PEM; only its public key and the proof of its possession count.
    pub csr: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuedCertificate {
    /// The chain in PEM, the pod's own certificate first.
    pub chain: String,
    /// The certificates of the built-in CA in PEM: all that vouch today, the next one included while it is rolled out.
    pub bundle: String,
}
