//! `spec.tls`: how callers connect.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// How callers connect: which TLS versions, and which client certificates are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// Whether callers must show a client certificate. `Mutual`: every caller must, or the connection is refused.
    /// `Optional`: a caller may; one that is shown must verify. `Permissive`: as Optional, and plaintext on the same port,
    /// for a migration. `Plaintext`: no TLS, for ports behind something else that has it.
    pub mode: TlsMode,

    /// The oldest TLS version that is spoken, `"1.2"` or `"1.3"`, in quotes. Default: `"1.2"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TlsVersion")]
    pub min_version: Option<TlsVersion>,

    /// The authorities whose client certificates are accepted. Each verifies on its own, so that one cannot speak for
    /// another. Default: the built-in one, under the name `cluster`.
    #[serde(default, rename = "clientCAs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), transform = schema::map_by_name)]
    pub client_cas: Vec<ClientCa>,
}

/// Whether callers must show a client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsMode {
    /// Every caller must show one that verifies.
    Mutual,
    /// A caller may show one; one that is shown must verify.
    Optional,
    /// As Optional, and plaintext on the same port.
    Permissive,
    /// No TLS.
    Plaintext,
}

/// A version of TLS, written as a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    V1_3,
}

/// An authority whose client certificates are accepted: either the built-in one, or certificates in a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.builtIn) && self.builtIn) != has(self.configMapName) && has(self.configMapName) == has(self.key)",
    "message": "write either builtIn: true, or configMapName and key",
}]))]
pub struct ClientCa {
    /// The name by which rules and logs speak of this authority.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::NAME_PATTERN))]
    pub name: String,

    /// `true` for the authority that is built into Doorward, which knows service accounts. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_in: Option<bool>,

    /// The ConfigMap, in the policy's namespace, that holds the authority's certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::OBJECT_NAME_PATTERN))]
    pub config_map_name: Option<String>,

    /// The key in the ConfigMap under which the certificates stand, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,

    /// The certificates of this authority that are revoked. With it, a certificate whose issuer has no list in date is
    /// refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<ConfigMapKey>,
}

/// A text in a ConfigMap of the policy's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapKey {
    /// The ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::OBJECT_NAME_PATTERN))]
    pub config_map_name: String,

    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
