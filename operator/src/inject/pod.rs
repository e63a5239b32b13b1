//! Lenses on the JSON of a pod. All but [`check`] take a pod that it found to be one.

use serde_json::{Map, Value};

use super::names;
use super::refusal::{Code, Sink};

/// A container and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Container<'pod> {
    /// As a JSON Pointer.
    pub(super) pointer: String,
    pub(super) value: &'pod Value,
}

const CONTAINERS: &str = "containers";
const INIT_CONTAINERS: &str = "initContainers";

/// A name as a segment of a JSON Pointer (RFC 6901).
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Refuses what has not the shape of a pod in the places that are written to.
pub(super) fn check(pod: &Value, sink: &mut Sink) {
    let mut refuse = |pointer: String, expected: &str| {
        let message = format!("this is no pod: {expected} is expected here");
        sink.refuse(Code::NotAPod, pointer, message, "write it as Kubernetes does");
    };
    if !pod.get("spec").is_some_and(Value::is_object) {
        return refuse("/spec".into(), "a mapping");
    }
    for name in [CONTAINERS, INIT_CONTAINERS, "volumes"] {
        if !is_list(pod.pointer(&format!("/spec/{name}"))) {
            refuse(format!("/spec/{name}"), "a list");
        }
    }
    if main_containers(pod).next().is_none() {
        refuse(format!("/spec/{CONTAINERS}"), "a list of one or more containers");
    }
    for list in [CONTAINERS, INIT_CONTAINERS] {
        for container in listed(pod, list) {
            if !container.value.get("name").is_some_and(Value::is_string) {
                refuse(container.pointer, "a container with a name");
                continue;
            }
            for name in ["ports", "env", "volumeMounts"] {
                if !is_list(container.value.get(name)) {
                    refuse(format!("{}/{name}", container.pointer), "a list");
                }
            }
        }
    }
}

fn is_list(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_array() || value.is_null())
}

/// The entries of a list in an object; none where there is no such list.
pub(super) fn entries<'value>(object: &'value Value, list: &str) -> impl Iterator<Item = &'value Value> + use<'value> {
    object.get(list).and_then(Value::as_array).into_iter().flatten()
}

/// The `name` of an entry.
pub(super) fn name_of(entry: &Value) -> &str {
    text(entry, "name")
}

/// A text in an object; empty where there is none.
pub(super) fn text<'value>(object: &'value Value, field: &str) -> &'value str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn listed<'pod>(pod: &'pod Value, list: &'static str) -> impl Iterator<Item = Container<'pod>> {
    let entries = pod.get("spec").into_iter().flat_map(move |spec| entries(spec, list));
    entries.enumerate().map(move |(index, value)| Container { pointer: format!("/spec/{list}/{index}"), value })
}

/// The containers without the init containers.
pub(super) fn main_containers(pod: &Value) -> impl Iterator<Item = Container<'_>> {
    listed(pod, CONTAINERS)
}

/// The init containers, native sidecars among them.
pub(super) fn init_containers(pod: &Value) -> impl Iterator<Item = Container<'_>> {
    listed(pod, INIT_CONTAINERS)
}

/// All containers but ours.
pub(super) fn others(pod: &Value) -> impl Iterator<Item = Container<'_>> {
    main_containers(pod).chain(init_containers(pod).filter(|container| !is_ours(container.value)))
}

/// The containers that run beside ours: all but ours and those init containers that end.
pub(super) fn applications(pod: &Value) -> impl Iterator<Item = Container<'_>> {
    let stays = |container: &Container<'_>| is_native_sidecar(container.value) && !is_ours(container.value);
    main_containers(pod).chain(init_containers(pod).filter(stays))
}

/// As [`others`], to be written to, and in the same order whatever the order of the fields is.
pub(super) fn others_mut(pod: &mut Value) -> impl Iterator<Item = (String, &mut Value)> {
    let (mut mains, mut inits) = (None, None);
    for (name, value) in pod.get_mut("spec").and_then(Value::as_object_mut).into_iter().flatten() {
        match name.as_str() {
            CONTAINERS => mains = value.as_array_mut(),
            INIT_CONTAINERS => inits = value.as_array_mut(),
            _ => {}
        }
    }
    let mains = mains.into_iter().flatten().enumerate().map(|(index, value)| (CONTAINERS, index, value));
    let inits = inits.into_iter().flatten().enumerate().map(|(index, value)| (INIT_CONTAINERS, index, value));
    let others = mains.chain(inits.filter(|(_, _, value)| !is_ours(value)));
    others.map(|(list, index, value)| (format!("/spec/{list}/{index}"), value))
}

/// As [`applications`], to be written to.
pub(super) fn applications_mut(pod: &mut Value) -> impl Iterator<Item = (String, &mut Value)> {
    let is_main = |pointer: &str| pointer.starts_with("/spec/containers/");
    others_mut(pod).filter(move |(pointer, value)| is_main(pointer) || is_native_sidecar(value))
}

fn is_ours(container: &Value) -> bool {
    [names::CAPTURE, names::SIDECAR, names::AGENT].contains(&name_of(container))
}

fn is_native_sidecar(container: &Value) -> bool {
    text(container, "restartPolicy") == "Always"
}

/// A list in an object, made where there is none.
pub(super) fn list_of<'value>(object: &'value mut Value, list: &str) -> Option<&'value mut Vec<Value>> {
    let value = object.as_object_mut()?.entry(list).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut()
}

/// A list in the pod's `spec`, made where there is none.
pub(super) fn list_mut<'pod>(pod: &'pod mut Value, list: &str) -> Option<&'pod mut Vec<Value>> {
    list_of(pod.get_mut("spec")?, list)
}

/// An object in an object, made where there is none.
pub(super) fn object_of<'value>(object: &'value mut Value, field: &str) -> Option<&'value mut Map<String, Value>> {
    let value = object.as_object_mut()?.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

/// The number of a port that a container's probe or hook names, as the kubelet finds it: a name among the ports of the
/// same container, else digits.
pub(super) fn port_in(container: &Value, port: &Value) -> Option<u16> {
    match port {
        Value::Number(number) => number.as_u64()?.try_into().ok(),
        Value::String(name) => {
            let named = entries(container, "ports").find(|port| name_of(port) == name);
            let number = named.and_then(|port| port.get("containerPort")).and_then(Value::as_u64);
            number.map_or_else(|| name.parse().ok(), |number| number.try_into().ok())
        }
        _ => None,
    }
}
