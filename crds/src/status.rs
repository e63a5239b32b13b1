//! `status`: what the operator says about a policy and the pods that it selects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Names of pods that a list in a status holds at most; beside it stands how many there are.
pub const LISTED_PODS: usize = 10;

/// What is known of a policy and of the pods that it selects. Only the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiAuthPolicyStatus {
    /// The generation of the policy that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What holds now. `Accepted`: the policy can be used. `KeysReady`: the keys of every issuer are there. `Enforced`:
    /// every selected pod runs this generation, and its traffic goes through the proxy. `Conflicted`: another policy
    /// selects some of the pods on the same port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = schema::map_by_type)]
    pub conditions: Vec<Condition>,

    /// What `kubectl get` shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,

    /// The selected pods, counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodCounts>,

    /// The keys of each issuer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = schema::map_by_name)]
    pub issuers: Vec<IssuerStatus>,

    /// What each replica of the operator sees. Each writes its own entry; the leader sums up, and removes the entries
    /// of replicas that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = schema::map_by_name)]
    pub replicas: Vec<ReplicaStatus>,
}

/// What `kubectl get` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// `Enforce` or `Audit`.
    #[schemars(length(max = 16))]
    pub mode: String,
    /// Pods that enforce this generation, of those that are selected.
    #[schemars(length(max = 32))]
    pub pods: String,
    /// The names of the issuers.
    #[schemars(length(max = 256))]
    pub issuers: String,
}

/// The selected pods, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodCounts {
    /// Pods that the policy selects and that have not ended.
    pub selected: u32,
    /// Of these, the ones that run this generation with their traffic captured.
    pub enforced: u32,
    /// Of these, the ones with a proxy that runs something else, or has not told yet what it runs.
    pub outdated: u32,
    /// Of these, the ones without a proxy before the port.
    pub not_injected: u32,
    /// Of these, the ones whose traffic goes round the proxy, as far as is known.
    pub not_captured: u32,
}

/// The keys of one issuer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerStatus {
    /// The name of the issuer in the policy.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Keys that can verify a token.
    pub keys: u32,
    /// When the keys were fetched last; absent where they are part of the policy or of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fetch: Option<Time>,
    /// Why the last fetch failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_error: Option<String>,
}

/// What one replica of the operator sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// The name of the replica.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The generation that its counts are about.
    pub generation: i64,
    /// The revision of the rules that its counts are about: a ConfigMap that changes makes other rules of one generation.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub revision: String,
    /// Connected pods that run this generation with their traffic captured.
    pub enforced: u32,
    /// A sum over the UIDs of these pods in hexadecimal: by it the leader tells that the entries of all replicas name every
    /// pod, and none twice.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub enforced_sum: String,
    /// Connected pods that run something else.
    #[serde(default)]
    pub outdated_count: u32,
    /// The names of the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), transform = schema::each(253, "The name of a pod."))]
    pub outdated: Vec<String>,
    /// Connected pods that run this generation but whose traffic is not captured.
    #[serde(default)]
    pub not_captured_count: u32,
    /// The names of the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), transform = schema::each(253, "The name of a pod."))]
    pub not_captured: Vec<String>,
}
