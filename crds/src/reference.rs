//! The reference for people, made from the schema that the API server enforces.

use std::fmt::Write;

use serde_json::Value;

use crate::spec_schema;

const HEADER: &str = "<!-- Generated from the types in crds/src by `doorward generate docs`; do not edit. -->

# ApiAuthPolicy, field by field

`apiVersion: doorward.dev/v1alpha1`, `kind: ApiAuthPolicy`, in the namespace of the pods that it selects. `kubectl explain
apiauthpolicies.spec` prints the same. A list's entries are written `[]`, a map's values `.*`. Unknown fields and `null` are
refused. What a field decides, sentence by sentence: [decisions.md](decisions.md).
";

/// A Markdown page with every field: its place, type, bounds and meaning, and what must hold between fields.
#[must_use]
pub fn reference() -> String {
    let mut page = HEADER.to_owned();
    for part in ["spec", "status"] {
        let Some(node) = spec_schema().pointer(&format!("/properties/{part}")) else { continue };
        section(&mut page, node, part, false);
        // The large ones have a table of their own.
        for (name, child) in properties(node) {
            section(&mut page, child, &format!("{part}.{name}"), true);
        }
    }
    page
}

fn properties(node: &Value) -> impl Iterator<Item = (&String, &Value)> {
    node.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// What is below a node: its place beside that of the node, the node, and whether it has to be there.
fn children(node: &Value) -> Vec<(String, &Value, bool)> {
    let required: Vec<&str> =
        node.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut all: Vec<_> =
        properties(node).map(|(name, child)| (format!(".{name}"), child, required.contains(&name.as_str()))).collect();
    all.extend(node.get("items").map(|items| ("[]".to_owned(), items, false)));
    all.extend(values(node).map(|values| (".*".to_owned(), values, false)));
    all
}

/// The values of a map; `additionalProperties: true` says nothing of them.
fn values(node: &Value) -> Option<&Value> {
    node.get("additionalProperties").filter(|values| values.is_object())
}

/// A table of what is below a node: of all of it, or of its first level.
fn section(page: &mut String, node: &Value, path: &str, deep: bool) {
    let (mut rows, mut rules) = (String::new(), String::new());
    fields(&mut rows, &mut rules, node, path, deep);
    if rows.is_empty() {
        return;
    }
    let _ = write!(page, "\n## `{path}`\n\n{}\n\n", text(node, "description"));
    page.push_str("| field | type | required | bounds | meaning |\n|---|---|---|---|---|\n");
    page.push_str(&rows);
    if !rules.is_empty() {
        let _ = write!(page, "\nBetween fields:\n\n{rules}");
    }
}

fn fields(rows: &mut String, rules: &mut String, node: &Value, path: &str, deep: bool) {
    for rule in node.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        let _ = writeln!(rules, "- `{path}`: {} (`{}`)", text(rule, "message"), text(rule, "rule"));
    }
    for (below, child, required) in children(node) {
        let path = format!("{path}{below}");
        let required = if required { "yes" } else { "" };
        let (kind, bounds) = (kind(child), bounds(child).join(", "));
        let meaning = text(child, "description").replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(rows, "| `{path}` | {kind} | {required} | {bounds} | {meaning} |");
        if deep {
            fields(rows, rules, child, &path, deep);
        }
    }
}

fn text<'a>(node: &'a Value, key: &str) -> &'a str {
    node.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn kind(node: &Value) -> String {
    if node.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return "integer or string".to_owned();
    }
    match text(node, "type") {
        "array" => format!("list of {}", node.get("items").map_or_else(String::new, kind)),
        "object" => values(node).map_or_else(|| "object".to_owned(), |values| format!("map of {}", kind(values))),
        other => other.to_owned(),
    }
}

/// Everything that the API server checks of a value by itself.
fn bounds(node: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let named = |value: &Value| value.as_str().map(|value| format!("`{value}`"));
    if let Some(values) = node.get("enum").and_then(Value::as_array) {
        found.push(values.iter().filter_map(named).collect::<Vec<_>>().join(" or "));
    }
    for (least, most, [one, many]) in [
        ("minimum", "maximum", ["", ""]),
        ("minLength", "maxLength", [" character", " characters"]),
        ("minItems", "maxItems", [" entry", " entries"]),
        ("minProperties", "maxProperties", [" field", " fields"]),
    ] {
        found.extend(
            range(node, least, most).map(|(range, last)| format!("{range}{}", if last > 1.0 { many } else { one })),
        );
    }
    let form = ["pattern", "format"].into_iter().map(|key| text(node, key)).filter(|form| !form.is_empty());
    found.extend(form.map(|form| format!("`{}`", form.replace('|', "\\|"))));
    if let Some(keys) = node.get("x-kubernetes-list-map-keys").and_then(Value::as_array) {
        let keys: Vec<_> = keys.iter().filter_map(named).collect();
        found.push(format!("each {} once", keys.join(", ")));
    }
    found
}

/// The words, and the number that stands last in them.
fn range(node: &Value, least: &str, most: &str) -> Option<(String, f64)> {
    let number = |key: &str| node.get(key).and_then(Value::as_f64);
    match (number(least), number(most)) {
        (Some(least), Some(most)) => Some((format!("{least} to {most}"), most)),
        (Some(least), None) => Some((format!("at least {least}"), least)),
        (None, Some(most)) => Some((format!("at most {most}"), most)),
        (None, None) => None,
    }
}
