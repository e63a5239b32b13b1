//! `spec.cors`: which web pages may call, and how (Fetch standard, CORS protocol).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Which web pages may call from a browser. Their preflights are answered before authentication, and refusals can be read
/// by them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cors {
    /// The origins, each as a browser sends it: scheme, host and, where it is not the usual one, port.
    #[schemars(length(min = 1, max = 64), transform = schema::each(300, "An origin such as `https://app.example.com`."))]
    pub origins: Vec<String>,

    /// The methods that pages may use beside GET, HEAD and POST. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), transform = schema::each(32, "A method, compared byte for byte."))]
    pub methods: Vec<String>,

    /// The request headers that pages may set beside the usual ones. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), transform = schema::each(64, "The name of a header, without regard to case."))]
    pub headers: Vec<String>,

    /// `true` to let pages send cookies and client certificates. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<bool>,

    /// How long a browser may remember the answer to a preflight. Default: 10m; at most 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = schema::DURATION_PATTERN))]
    pub max_age: Option<String>,
}
