//! What all our containers have in common, and how they come into a pod.

use serde::Serialize;
use serde_json::{Value, json};

use super::annotations::Asked;
use super::{Settings, pod};

/// What the names of our environment variables begin with.
const OUR_VARIABLES: &str = "DOORWARD_";

pub(super) fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// JSON for an environment variable. Kubernetes replaces `$(NAME)` in those, and takes `$$` for `$`; in JSON a dollar can
/// only stand in a string, and there it can be written otherwise.
pub(super) fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default().replace('$', "\\u0024")
}

/// Adds the most processor time, where there is such a bound.
pub(super) fn limit_cpu(resources: &mut Value, limit: Option<&String>) {
    if let (Some(limit), Some(limits)) = (limit, resources.pointer_mut("/limits").and_then(Value::as_object_mut)) {
        limits.insert("cpu".to_owned(), json!(limit));
    }
}

/// Passes Pod Security `restricted`.
pub(super) fn security_context(settings: &Settings) -> Value {
    json!({
        "runAsUser": settings.user,
        "runAsGroup": settings.user,
        "runAsNonRoot": true,
        "privileged": false,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// Puts our containers before the pod's own init containers, in order; what an earlier run put there is replaced.
pub(super) fn put_first(pod: &mut Value, ours: Vec<Value>, asked: &Asked) {
    let Some(present) = pod::list_mut(pod, "initContainers") else { return };
    let (earlier, others): (Vec<Value>, Vec<Value>) =
        std::mem::take(present).into_iter().partition(|container| asked.replaces(pod::name_of(container)));
    let again = |container: Value| {
        let same = earlier.iter().find(|other| pod::name_of(other) == pod::name_of(&container));
        same.map_or_else(|| container.clone(), |same| overlay(same, container.clone()))
    };
    *present = ours.into_iter().map(again).chain(others).collect();
}

/// What an earlier run wrote, with what would be written now over it. What the API server or another webhook added in
/// between stays.
pub(super) fn overlay(earlier: &Value, ours: Value) -> Value {
    let (Value::Object(earlier), Value::Object(ours)) = (earlier, &ours) else { return ours };
    let mut merged = earlier.clone();
    for (name, value) in ours {
        let value = match (name.as_str(), earlier.get(name)) {
            ("env", Some(Value::Array(others))) => together(value, others, "name"),
            ("volumeMounts", Some(Value::Array(others))) => together(value, others, "mountPath"),
            (_, Some(other)) => overlay(other, value.clone()),
            (_, None) => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    Value::Object(merged)
}

/// Our entries, then those of others.
fn together(ours: &Value, others: &[Value], key: &str) -> Value {
    let ours = ours.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |entry: &Value| pod::text(entry, key).to_owned();
    let is_foreign =
        |other: &&Value| !text(other).starts_with(OUR_VARIABLES) && ours.iter().all(|entry| text(entry) != text(other));
    ours.iter().chain(others.iter().filter(is_foreign)).cloned().collect()
}
