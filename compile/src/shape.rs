//! The shape of an object: what can be told from our own schema alone, before anything is understood.
//!
//! The API server keeps unknown fields for us to refuse (see `crds`), and offline there is no API server: so the whole
//! schema is enforced here, and every fault of an object is found in one run.

mod bounds;
mod names;
mod rules;

use std::collections::BTreeSet;

use crds::ApiAuthPolicy;
use serde_json::{Map, Value};

use crate::diagnostic::{Code, Diagnostic, Severity, escape, field_path, quoted};
use crate::source::{Document, Places};

pub(crate) use bounds::is_object_name;

const API_VERSION: &str = "doorward.dev/v1alpha1";
const KIND: &str = "ApiAuthPolicy";

/// What every object of Kubernetes has beside what its schema says; `status` is ours to write, and is not looked at.
const ENVELOPE: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// What Kubernetes knows of every object (ObjectMeta).
const METADATA: [&str; 15] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "generateName",
    "generation",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "selfLink",
];

/// Words that YAML 1.1 takes for true and false, and `kubectl` with it.
const YAML_1_1_WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];

/// Reads a policy. There is none where one of the diagnostics is an error.
pub fn parse(document: &Document) -> (Option<ApiAuthPolicy>, Vec<Diagnostic>) {
    let mut found = envelope(document);
    if found.is_empty() {
        found = check(&document.value, &document.places, crds::spec_schema());
    }
    let refused = found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    let policy = if refused { None } else { deserialize(document, &mut found) };
    (policy, found.into_iter().map(|diagnostic| document.sign(diagnostic)).collect())
}

/// Whether it is a policy of ours at all: of another kind, the rest would be noise.
fn envelope(document: &Document) -> Vec<Diagnostic> {
    let check = |(field, expected): (&str, &str)| {
        let (code, message) = match document.value.get(field).and_then(Value::as_str) {
            Some(found) if found == expected => return None,
            Some(found) => (Code::WrongKind, format!("{} is not read here", quoted(found))),
            None => (Code::MissingField, format!("`{field}` is missing")),
        };
        let fault = Diagnostic::error(code, field, message).with_hint(format!("write `{field}: {expected}`"));
        Some(document.places.nearest(&format!("/{field}")).mark(fault))
    };
    [("apiVersion", API_VERSION), ("kind", KIND)].into_iter().filter_map(check).collect()
}

/// Metadata follows Kubernetes' own schema, which we do not have: there the types have the last word.
fn deserialize(document: &Document, found: &mut Vec<Diagnostic>) -> Option<ApiAuthPolicy> {
    let part = |name| document.value.get(name).cloned().unwrap_or_default();
    let mut refuse = |name: &str, error: serde_json::Error| {
        let fault = Diagnostic::error(Code::WrongType, name, error.to_string());
        found.push(document.places.nearest(&format!("/{name}")).mark(fault));
    };
    let spec = serde_json::from_value(part("spec")).map_err(|error| refuse("spec", error)).ok();
    let metadata = serde_json::from_value(part("metadata")).map_err(|error| refuse("metadata", error)).ok();
    Some(ApiAuthPolicy { metadata: metadata?, spec: spec?, status: None })
}

/// Compares the JSON of an object with the schema of the whole object.
pub fn check(object: &Value, places: &Places, schema: &Value) -> Vec<Diagnostic> {
    let mut walk = Walk { places, pointer: String::new(), found: Vec::new() };
    walk.node(object, schema);
    walk.metadata(object);
    walk.name(object);
    walk.found
}

struct Walk<'places> {
    places: &'places Places,
    /// Where in the object we are, as a JSON Pointer.
    pointer: String,
    found: Vec<Diagnostic>,
}

impl Walk<'_> {
    /// A misspelt `namespace` would quietly move the policy to another one.
    fn metadata(&mut self, object: &Value) {
        for name in object.get("metadata").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            if !METADATA.contains(&name.as_str()) {
                self.at("metadata", |walk| walk.unknown(name, &METADATA));
            }
        }
    }

    fn name(&mut self, object: &Value) {
        for field in ["name", "namespace"] {
            self.at("metadata", |walk| {
                walk.at(field, |walk| match object.pointer(&format!("/metadata/{field}")) {
                    Some(Value::String(_)) => {}
                    Some(other) => walk.wrong_type("string", other, &Value::Null),
                    None if field == "name" => walk.missing(field, "write `name: NAME`"),
                    None => {}
                });
            });
        }
    }

    fn node(&mut self, value: &Value, schema: &Value) {
        if value.is_null() {
            return self.hinted(Code::ExplicitNull, "null is no value".into(), "write a value, or leave the field out");
        }
        match (expected_type(schema), value) {
            ("string", Value::String(text)) => self.string(text, schema),
            ("array", Value::Array(entries)) => self.list(entries, schema),
            ("object", Value::Object(fields)) => self.object(fields, schema),
            ("boolean", Value::Bool(_)) => {}
            (bounds::PORT, Value::String(_) | Value::Number(_)) => self.report(bounds::port(value, schema)),
            (expected, _) => self.wrong_type(expected, value, schema),
        }
    }

    fn wrong_type(&mut self, expected: &str, value: &Value, schema: &Value) {
        let message = format!("expected {}, got {}", article(expected), kind_of(value));
        if expected == "string" && (value.is_number() || value.is_boolean()) {
            // The number may be written otherwise than JSON prints it, and the string must be what was written.
            let written = self.places.unquoted(&self.pointer).map_or_else(|| value.to_string(), str::to_owned);
            let quoted = format!("write it in quotes: `\"{written}\"`");
            let hint = bounds::string(&written, schema).and_then(|fault| fault.hint).unwrap_or(quoted);
            return self.hinted(Code::WrongType, message, &hint);
        }
        if expected == "boolean" {
            return self.hinted(Code::WrongType, message, "write `true` or `false`, without quotes");
        }
        self.error(Code::WrongType, message);
    }

    fn string(&mut self, text: &str, schema: &Value) {
        let unquoted = self.places.unquoted(&self.pointer).is_some();
        if unquoted && YAML_1_1_WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
            let message = format!("kubectl takes the word {} without quotes for true or false", quoted(text));
            let warning = Diagnostic::warning(Code::YamlWord, field_path(&self.pointer), message)
                .with_hint(format!("write it in quotes: `\"{text}\"`"));
            self.found.push(self.places.nearest(&self.pointer).mark(warning));
        }
        match schema.get("enum").and_then(Value::as_array) {
            Some(values) => self.report(names::not_one_of(text, values)),
            None => self.report(bounds::string(text, schema)),
        }
    }

    fn list(&mut self, entries: &[Value], schema: &Value) {
        self.report(bounds::count(entries.len(), "entry", "entries", "Items", schema));
        let mut seen = BTreeSet::new();
        let named = schema.pointer("/x-kubernetes-list-map-keys/0").and_then(Value::as_str);
        for (index, entry) in entries.iter().enumerate() {
            self.at(&index.to_string(), |walk| {
                walk.node(entry, schema.get("items").unwrap_or(&Value::Null));
                let Some((key, name)) = named.and_then(|key| Some((key, entry.get(key)?.as_str()?))) else { return };
                if !seen.insert(name) {
                    walk.at(key, |walk| {
                        let message = format!("another entry has the {key} {}", quoted(name));
                        walk.hinted(Code::DuplicateName, message, "give each entry a name of its own");
                    });
                }
            });
        }
    }

    fn object(&mut self, fields: &Map<String, Value>, schema: &Value) {
        self.report(bounds::count(fields.len(), "field", "fields", "Properties", schema));
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return self.map(fields, schema);
        };
        let known: Vec<&str> = properties.keys().map(String::as_str).collect();
        let mut meant = Vec::new();
        for (name, value) in fields {
            match properties.get(name) {
                // Ours to write, and not the policy's author's to get right.
                _ if self.pointer.is_empty() && name == "status" => {}
                Some(property) => self.at(&escape(name), |walk| walk.node(value, property)),
                None if self.pointer.is_empty() && ENVELOPE.contains(&name.as_str()) => {}
                None => meant.push(self.unknown(name, &known)),
            }
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            // A misspelt field is said once.
            if !fields.contains_key(name) && !meant.contains(&Some(name)) {
                let cure = names::cure(name, properties.get(name).unwrap_or(&Value::Null));
                self.at(name, |walk| walk.missing(name, &cure));
            }
        }
        // Beside an unknown field, what stands together cannot be told.
        if meant.is_empty() {
            rules::broken(fields, schema).for_each(|message| self.error(Code::WrongCombination, message.to_owned()));
        }
    }

    fn map(&mut self, fields: &Map<String, Value>, schema: &Value) {
        let Some(values) = schema.get("additionalProperties") else { return };
        for (name, value) in fields {
            self.at(&escape(name), |walk| walk.node(value, values));
        }
    }

    /// Reports an unknown field, and tells which known one is meant.
    fn unknown<'known>(&mut self, name: &str, known: &[&'known str]) -> Option<&'known str> {
        let meant = names::nearest(name, known);
        let hint = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known here: {}", names::list(known)),
        };
        self.at(&escape(name), |walk| {
            let fault = walk.fault(Code::UnknownField, format!("unknown field {}", quoted(name))).with_hint(hint);
            let place = walk.places.key(&walk.pointer).unwrap_or_default();
            walk.found.push(place.mark(fault));
        });
        meant
    }

    fn missing(&mut self, name: &str, cure: &str) {
        self.hinted(Code::MissingField, format!("`{name}` is missing"), cure);
    }

    fn at<T>(&mut self, segment: &str, check: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(segment);
        let result = check(self);
        self.pointer.truncate(outer);
        result
    }

    fn report(&mut self, fault: Option<Fault>) {
        if let Some(Fault { code, message, hint }) = fault {
            match hint {
                Some(hint) => self.hinted(code, message, &hint),
                None => self.error(code, message),
            }
        }
    }

    fn error(&mut self, code: Code, message: String) {
        let fault = self.fault(code, message);
        self.found.push(self.places.nearest(&self.pointer).mark(fault));
    }

    fn hinted(&mut self, code: Code, message: String, hint: &str) {
        let fault = self.fault(code, message).with_hint(hint);
        self.found.push(self.places.nearest(&self.pointer).mark(fault));
    }

    fn fault(&self, code: Code, message: String) -> Diagnostic {
        Diagnostic::error(code, field_path(&self.pointer), message)
    }
}

/// What is wrong with one value, wherever it stands.
struct Fault {
    code: Code,
    message: String,
    hint: Option<String>,
}

fn expected_type(schema: &Value) -> &str {
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return bounds::PORT;
    }
    schema.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn article(expected: &str) -> String {
    match expected {
        "boolean" => "true or false".into(),
        "array" => "a list".into(),
        "object" => "a mapping".into(),
        other => format!("a {other}"),
    }
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(number) => format!("the number `{number}`"),
        Value::String(text) => format!("the string {}", quoted(text)),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
    }
}
