//! `spec.paths`: how strictly paths are compared.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How strictly paths are compared, for applications that cannot do with the strict defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Paths {
    /// What happens to a path that matches a rule only without regard to case. `Reject`: it is refused.
    /// `Insensitive`: it matches. Default: Reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PathCase")]
    pub case: Option<PathCase>,

    /// What happens to a path with an encoded slash (`%2F`). `Reject`: it is refused. `Verbatim`: it stays encoded
    /// inside its segment, for matching and for the application. Default: Reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "EncodedSlash")]
    pub encoded_slash: Option<EncodedSlash>,
}

/// What happens to a path that matches a rule only without regard to case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PathCase {
    /// It is refused.
    Reject,
    /// It matches.
    Insensitive,
}

/// What happens to a path with an encoded slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EncodedSlash {
    /// It is refused.
    Reject,
    /// It stays encoded inside its segment.
    Verbatim,
}
