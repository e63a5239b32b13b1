//! The objects by which the API server knows whom to ask; the chart's template is to say the same.

use serde_json::{Value, json};

use super::{PODS_PATH, POLICIES_PATH};
use crate::inject::{INJECTION_LABEL, PREFIX, SYSTEM_NAMESPACE};

/// The name of both objects, and of the operator's Service.
pub const NAME: &str = "doorward";
/// The Service of the operator.
pub const SERVICE: &str = "doorward-operator";
/// The port of the Service for webhooks.
pub const PORT: u16 = 9443;

/// For how long the API server waits, in seconds: an answer takes milliseconds, and with two replicas a lost one is asked
/// for anew within that.
const TIMEOUT_SECONDS: u32 = 5;

/// Asks for pods. Selectors know neither annotations nor prefixes, so the first entry goes by conditions: every pod that
/// has anything of ours is looked at, a slip of the pen among them, and no other pod is touched. Both fail closed, and leave
/// out the operator's own namespace, whose pods must start when nobody answers. A label on `kube-system` does nothing for the
/// same reason: nodes, and with them the operator, start by pods of its.
pub fn mutating(namespace: &str) -> Value {
    let has = |field: &str| {
        format!("has(object.metadata.{field}) && object.metadata.{field}.exists(name, name.startsWith('{PREFIX}'))")
    };
    let asks = format!("{} || {}", has("annotations"), has("labels"));
    let entry = |name: &str, left_out: &[&str], labels: Value, condition: &str, expression: String| {
        let mut selector = json!({"matchExpressions": [none_of(left_out)]});
        if let (Some(selector), false) = (selector.as_object_mut(), labels.is_null()) {
            selector.insert("matchLabels".to_owned(), labels);
        }
        json!({
            "name": name,
            "clientConfig": client(namespace, PODS_PATH),
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "scope": "Namespaced"}],
            "namespaceSelector": selector,
            "matchConditions": [{"name": condition, "expression": expression}],
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "reinvocationPolicy": "IfNeeded",
            "sideEffects": "None",
            "timeoutSeconds": TIMEOUT_SECONDS,
            "admissionReviewVersions": ["v1"],
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [
            entry("pods.doorward.dev", &[namespace], Value::Null, "asks-itself", asks.clone()),
            entry(
                "namespaces.doorward.dev",
                &[namespace, SYSTEM_NAMESPACE],
                json!({INJECTION_LABEL: "enabled"}),
                "does-not-ask-itself",
                format!("!({asks})"),
            ),
        ],
    })
}

/// Asks for policies. It lets them pass when nobody answers: the operator decides anyway, and says so in their status.
pub fn validating(namespace: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [{
            "name": "policies.doorward.dev",
            "clientConfig": client(namespace, POLICIES_PATH),
            "rules": [{
                "operations": ["CREATE", "UPDATE"], "apiGroups": ["doorward.dev"], "apiVersions": ["v1alpha1"],
                "resources": ["apiauthpolicies"], "scope": "Namespaced",
            }],
            "failurePolicy": "Ignore",
            "matchPolicy": "Equivalent",
            "sideEffects": "None",
            "timeoutSeconds": TIMEOUT_SECONDS,
            "admissionReviewVersions": ["v1"],
        }],
    })
}

fn client(namespace: &str, path: &str) -> Value {
    json!({"service": {"name": SERVICE, "namespace": namespace, "path": path, "port": PORT}})
}

fn none_of(namespaces: &[&str]) -> Value {
    json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": namespaces})
}
