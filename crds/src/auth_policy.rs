//! The kind itself: which pods a policy protects, and what it says about them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;
use crate::status::ApiAuthPolicyStatus;
use crate::{Addresses, Cors, Forward, Issuer, Limits, Paths, Rule, Tls};

/// Who may call the selected pods, and how. What no rule names is refused.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "doorward.dev",
    version = "v1alpha1",
    kind = "ApiAuthPolicy",
    plural = "apiauthpolicies",
    shortname = "aap",
    namespaced,
    derive = "PartialEq",
    status = "ApiAuthPolicyStatus",
    printcolumn = r#"{"name": "Mode", "type": "string", "jsonPath": ".status.summary.mode"}"#,
    printcolumn = r#"{"name": "Pods", "type": "string", "jsonPath": ".status.summary.pods"}"#,
    printcolumn = r#"{"name": "Issuers", "type": "string", "jsonPath": ".status.summary.issuers"}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    doc = "ApiAuthPolicy says who may call the pods that it selects, in its own namespace."
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiAuthPolicySpec {
    /// The pods that this policy protects, by their labels, in its own namespace. It must select something: an empty
    /// selector is refused.
    #[schemars(transform = schema::bound_selector)]
    pub selector: LabelSelector,

    /// The container port that is protected, by number or by name. It may be left out where the pod has only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::bound_port)]
    pub port: Option<IntOrString>,

    /// Whether denials take effect. `Enforce`: they do. `Audit`: nothing that HTTP allows is refused, and what would have
    /// been is told. Default: Enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Mode")]
    pub mode: Option<Mode>,

    /// The protected resource (RFC 9728): the https URL by which clients know this API. With it, challenges name its
    /// metadata document, which tells clients where to get a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub resource: Option<String>,

    /// How callers connect: which TLS versions, and which client certificates are asked for.
    pub tls: Tls,

    /// Who issues the tokens that callers show. It may be left out where client certificates alone decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), transform = schema::map_by_name)]
    pub issuers: Vec<Issuer>,

    /// What is allowed. A request that no rule allows is refused, so without rules every request is. Host and path
    /// choose the most specific rules; their order does not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub rules: Vec<Rule>,

    /// What the application is told about the caller. Default: nothing, and the token is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,

    /// Which web pages may call from a browser. Default: none, and browsers refuse to let them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,

    /// Where requests may come from. Default: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Addresses>,

    /// How large and how slow a request may be. Each that is left out keeps its default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,

    /// How strictly paths are compared. Default: as strictly as possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Paths>,
}

/// Whether denials take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// They do.
    Enforce,
    /// They are told, and the request passes as it came.
    Audit,
}
