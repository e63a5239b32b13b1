//! The schema that the API server and `doorward check` enforce, and the manifest that carries it.
//!
//! Optional fields that are enums name their type by `schemars(with)`: kube otherwise describes the field by the
//! words of its type.

use std::sync::LazyLock;

use kube::CustomResourceExt;
use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::ApiAuthPolicy;

/// The form of a duration: a number and one unit.
pub const DURATION_PATTERN: &str = "^[0-9]+(ms|s|m|h)$";

/// The form of a name that the policy gives to one of its parts: safe to print in logs and headers.
pub const NAME_PATTERN: &str = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$";

/// The name of an object (RFC 1123, section 2.1, as Kubernetes takes it).
pub const OBJECT_NAME_PATTERN: &str = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$";

/// The form of a quantity of bytes: a number, perhaps with a unit in powers of ten or two.
pub const QUANTITY_PATTERN: &str = "^[0-9]+(k|M|G|Ki|Mi|Gi)?$";

const HEADER: &str = "# Generated from the types in crds/src by `doorward generate crds`; do not edit.\n";

static DEFINITION: LazyLock<Value> = LazyLock::new(|| {
    let mut definition = json!(ApiAuthPolicy::crd());
    if let Some(spec) = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec") {
        keep_what_was_written(spec);
    }
    use_known_formats(&mut definition);
    definition.sort_all_objects();
    definition
});

/// Kubernetes knows no unsigned numbers, and warns of the word at each installation; what they may be, `minimum` says.
fn use_known_formats(node: &mut Value) {
    match node {
        Value::Object(fields) => {
            if let Some(format) = fields.get_mut("format").filter(|format| *format == "uint32") {
                *format = json!("int64");
            }
            fields.values_mut().for_each(use_known_formats);
        }
        Value::Array(entries) => entries.iter_mut().for_each(use_known_formats),
        _ => {}
    }
}

/// The manifest of the custom resource, as it is committed and applied.
///
/// # Errors
/// When the definition cannot be written as YAML.
pub fn manifest() -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(&*DEFINITION).map(|yaml| format!("{HEADER}{yaml}"))
}

/// The `openAPIV3Schema` of the whole object.
pub fn spec_schema() -> &'static Value {
    static ABSENT: Value = Value::Null;
    DEFINITION.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap_or(&ABSENT)
}

/// Makes the API server keep what it would drop before anyone can refuse it: unknown fields are kept beside the
/// declared ones, and so is null, which it drops where it is neither declared nor in a list. Nobody may take it for a
/// value: `scopes: null` would be a rule that asks for less. Defaults are ours to apply, so that an object reads as it
/// was written.
fn keep_what_was_written(node: &mut Value) {
    let Some(node) = node.as_object_mut() else { return };
    node.remove("nullable");
    node.remove("default");
    if let Some(Value::String(description)) = node.get_mut("description") {
        // Line breaks of the source mean nothing to `kubectl explain`, which wraps by itself.
        *description = description.replace('\n', " ");
    }
    // Of these the API server says that they are missing, once it has dropped null.
    let required = node.get("required").cloned().unwrap_or_default();
    let required: Vec<&str> = required.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            keep_what_was_written(property);
            if !required.contains(&name.as_str()) {
                keep_null(property);
            }
        }
        node.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
    }
    if let Some(entries) = node.get_mut("items") {
        keep_what_was_written(entries);
    }
    if let Some(values) = node.get_mut("additionalProperties") {
        keep_what_was_written(values);
        keep_null(values);
    }
}

fn keep_null(node: &mut Value) {
    if let Some(node) = node.as_object_mut() {
        node.insert("nullable".into(), true.into());
    }
}

/// Describes and bounds the entries of a list of strings.
pub(crate) fn each(max_length: u32, description: &'static str) -> impl FnMut(&mut Schema) {
    move |list| {
        merge(list, "/items", json!({"description": description, "minLength": 1, "maxLength": max_length}));
    }
}

/// Makes a list of named things a map: two entries of one name are refused, and server-side apply merges by name.
pub(crate) fn map_by_name(list: &mut Schema) {
    merge(list, "", json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}));
}

/// Makes the list of conditions a map by `type`, as Kubernetes' own objects have it.
pub(crate) fn map_by_type(list: &mut Schema) {
    merge(list, "", json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}));
}

/// Bounds a port: a number of a port, or the name of a container port (RFC 6335).
pub(crate) fn bound_port(port: &mut Schema) {
    merge(port, "", json!({"minimum": 1, "maximum": 65535, "minLength": 1, "maxLength": 15}));
}

/// Bounds a quantity: a number of bytes, or a number with a unit in powers of ten or two.
pub(crate) fn bound_quantity(quantity: &mut Schema) {
    merge(quantity, "", json!({"minimum": 0, "minLength": 1, "maxLength": 20, "pattern": QUANTITY_PATTERN}));
}

/// Bounds a label selector, which Kubernetes leaves open in custom resources, and refuses every empty part of it.
pub(crate) fn bound_selector(selector: &mut Schema) {
    merge(selector, "", json!({"minProperties": 1}));
    merge(selector, "/properties/matchLabels", json!({"minProperties": 1, "maxProperties": 32}));
    merge(
        selector,
        "/properties/matchLabels/additionalProperties",
        json!({"description": "The value of the label.", "maxLength": 63}),
    );
    let expressions = "/properties/matchExpressions";
    merge(selector, expressions, json!({"minItems": 1, "maxItems": 32}));
    let properties = format!("{expressions}/items/properties");
    merge(selector, &format!("{properties}/key"), json!({"minLength": 1, "maxLength": 317}));
    merge(selector, &format!("{properties}/operator"), json!({"enum": ["In", "NotIn", "Exists", "DoesNotExist"]}));
    merge(selector, &format!("{properties}/values"), json!({"maxItems": 64}));
    merge(
        selector,
        &format!("{properties}/values/items"),
        json!({"description": "A value of the label.", "maxLength": 63}),
    );
}

fn merge(schema: &mut Schema, pointer: &str, additions: Value) {
    let mut whole = Value::Object(schema.as_object().cloned().unwrap_or_else(Map::new));
    if let (Some(Value::Object(node)), Value::Object(additions)) = (whole.pointer_mut(pointer), additions) {
        node.extend(additions);
    }
    if let Ok(merged) = Schema::try_from(whole) {
        *schema = merged;
    }
}
