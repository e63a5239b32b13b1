//! `spec.limits`: how large and how slow a request may be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{IntOrString, schema};

/// How large and how slow a request may be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Limits {
    /// The largest body, as a quantity of bytes. Default: 10Mi; at most 100Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::bound_quantity)]
    pub body: Option<IntOrString>,

    /// The largest request line and header fields together, each field counted with 4 bytes more, as a quantity. Default:
    /// 32Ki; from 1Ki to 48Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::bound_quantity)]
    pub headers: Option<IntOrString>,

    /// How long a request may take to arrive, and how long the application may then take to begin its answer. Default: 60s;
    /// from 1s to 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = schema::DURATION_PATTERN))]
    pub request_timeout: Option<String>,

    /// How long nothing may move on a connection, in a body or in a tunnel. Default: 5m; from 1s to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = schema::DURATION_PATTERN))]
    pub idle_timeout: Option<String>,

    /// How old a connection may get before it takes no more requests. Default: 1h; from 10s to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = schema::DURATION_PATTERN))]
    pub connection_age: Option<String>,
}
