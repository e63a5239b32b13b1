//! `spec.ip`: where requests may come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Caller, schema};

/// Where requests may come from. It holds for every path, and `deny` wins over `allow`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Addresses {
    /// The networks that are allowed. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), transform = schema::each(49, "A network such as `203.0.113.0/24`, or one address."))]
    pub allow: Vec<String>,

    /// The networks that are refused. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), transform = schema::each(49, "A network such as `203.0.113.0/24`, or one address."))]
    pub deny: Vec<String>,

    /// The proxies in front whose `X-Forwarded-For` is believed. Default: none, and the address is that of the connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub trusted_proxies: Vec<TrustedProxy>,
}

/// A proxy in front, known by its network or by its client certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.cidr) != has(self.caller)",
    "message": "write exactly one of cidr and caller",
}]))]
pub struct TrustedProxy {
    /// The network that it connects from, or one address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 49))]
    pub cidr: Option<String>,

    /// The caller that it is, by its client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
}
