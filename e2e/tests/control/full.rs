//! A policy with every field, and every place in it beside the schema of that place.

use std::path::Path;

use compile::source;
use serde_json::Value;

/// A place in the policy.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Where it is, as a JSON Pointer into `spec`.
    pub(crate) pointer: String,
    /// Where its schema is, as a JSON Pointer into that of `spec`.
    pub(crate) schema_pointer: String,
    pub(crate) schema: &'static Value,
    /// Whether it may be left out.
    pub(crate) optional: bool,
}

/// The spec of the policy.
pub(crate) fn spec() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("objects/full.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    source::read("full.yaml", &text).unwrap().remove(0).value
}

/// The schema of `spec`.
pub(crate) fn schema() -> &'static Value {
    crds::spec_schema().pointer("/properties/spec").unwrap()
}

/// Every place in the policy.
pub(crate) fn places(spec: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    let whole = Place { pointer: String::new(), schema_pointer: String::new(), schema: schema(), optional: false };
    collect(spec, &whole, &mut places);
    places
}

fn collect(value: &Value, place: &Place, places: &mut Vec<Place>) {
    places.push(place.clone());
    let below = |name: &str, schema_name: &str, schema, optional| Place {
        pointer: format!("{}/{name}", place.pointer),
        schema_pointer: format!("{}/{schema_name}", place.schema_pointer),
        schema,
        optional,
    };
    let required =
        |name: &str| place.schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name));
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let next = match place.schema.get("properties").and_then(|properties| properties.get(name)) {
                    Some(schema) => below(name, &format!("properties/{name}"), schema, !required(name)),
                    None => below(name, "additionalProperties", &place.schema["additionalProperties"], true),
                };
                collect(field, &next, places);
            }
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                collect(entry, &below(&index.to_string(), "items", &place.schema["items"], false), places);
            }
        }
        _ => {}
    }
}

/// A field that is not in the policy would be a bound that nobody tries.
#[test]
fn every_field_of_the_schema_is_there() {
    fn walk(node: &Value, pointer: String, all: &mut Vec<String>) {
        all.push(pointer.clone());
        for (name, child) in node["properties"].as_object().into_iter().flatten() {
            walk(child, format!("{pointer}/properties/{name}"), all);
        }
        for name in ["items", "additionalProperties"] {
            if let Some(child) = node.get(name) {
                walk(child, format!("{pointer}/{name}"), all);
            }
        }
    }
    let mut all = Vec::new();
    walk(schema(), String::new(), &mut all);
    let places = places(&spec());
    all.retain(|pointer| !places.iter().any(|place| place.schema_pointer == *pointer));
    assert!(all.is_empty(), "not in objects/full.yaml: {all:#?}");
}
