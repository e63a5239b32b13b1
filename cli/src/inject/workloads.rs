//! Where in an object the pods are.

use serde_json::Value;

/// The pod, or the template of pods, of a kind, as a JSON Pointer; none where it makes none.
fn pod_pointer(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some(""),
        "PodTemplate" => Some("/template"),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
            Some("/spec/template")
        }
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// An object, or the objects of a list.
pub(super) fn objects(value: &Value) -> Vec<&Value> {
    let items = value.get("items").and_then(Value::as_array).filter(|_| is_list(value));
    items.map_or_else(|| vec![value], |items| items.iter().flat_map(objects).collect())
}

/// `List`, and `PodList` and the like, which the API server answers with.
fn is_list(object: &Value) -> bool {
    kind(object).ends_with("List")
}

/// Changes every pod of an object. The change gets the object that holds it, and where the pod stands in the whole.
pub(super) fn each_pod<E>(
    object: &mut Value,
    pointer: String,
    change: &mut impl FnMut(&Value, &mut Value, &str) -> Result<(), E>,
) -> Result<(), E> {
    if is_list(object) {
        let items = object.get_mut("items").and_then(Value::as_array_mut);
        return items
            .into_iter()
            .flatten()
            .enumerate()
            .try_for_each(|(index, item)| each_pod(item, format!("{pointer}/items/{index}"), change));
    }
    let Some(within) = pod_pointer(kind(object)) else { return Ok(()) };
    // The pod is taken out so that the object around it can be looked at.
    let Some(mut pod) = object.pointer_mut(within).map(Value::take) else { return Ok(()) };
    let holder = if within.is_empty() { pod.clone() } else { object.clone() };
    let result = change(&holder, &mut pod, &format!("{pointer}{within}"));
    if let Some(place) = object.pointer_mut(within) {
        *place = pod;
    }
    result
}
