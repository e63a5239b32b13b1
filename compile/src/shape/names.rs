//! Which name is meant by one that is not known.

use serde_json::Value;

use super::Fault;
use crate::diagnostic::{Code, quoted};

/// What people write who know other tools, where no spelling leads from it to our name.
const SYNONYMS: [(&str, &str); 12] = [
    ("aud", "audiences"),
    ("alg", "algorithms"),
    ("algs", "algorithms"),
    ("iss", "issuer"),
    ("issuerurl", "issuer"),
    ("jwks", "keys"),
    ("verbs", "methods"),
    ("paths", "path"),
    ("ca", "clientCAs"),
    ("clockskew", "leeway"),
    ("serviceaccounts", "serviceAccount"),
    ("values", "anyOf"),
];

/// The known name that is meant, if one is near enough to say so.
pub(super) fn nearest<'known>(name: &str, known: &[&'known str]) -> Option<&'known str> {
    let folded = fold(name);
    let same = known.iter().find(|candidate| fold(candidate) == folded);
    let synonym = || {
        let (_, meant) = SYNONYMS.iter().find(|(word, _)| *word == folded)?;
        known.iter().find(|candidate| *candidate == meant)
    };
    let near = || {
        let far = |candidate: &str| strsim::damerau_levenshtein(&fold(candidate), &folded);
        // One slip in three characters: more, and the guess is as often wrong as right.
        let near = known.iter().filter(|candidate| far(candidate) <= (candidate.len().min(name.len()) / 3).max(1));
        near.min_by_key(|candidate| far(candidate))
    };
    same.or_else(synonym).or_else(near).copied()
}

/// Spelling without what is most often wrong in it: case, and what stands between words.
fn fold(name: &str) -> String {
    // A name is bounded only by its file, and the distance costs the product of both lengths.
    const COMPARED: usize = 64;
    name.chars().filter(|c| c.is_alphanumeric()).take(COMPARED).flat_map(char::to_lowercase).collect()
}

/// The fault of a value that is none of those that a schema lists.
pub(super) fn not_one_of(text: &str, values: &[Value]) -> Option<Fault> {
    let known: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    if known.contains(&text) {
        return None;
    }
    let hint = match (nearest(text, &known), &known[..]) {
        (Some(meant), _) => format!("did you mean `{meant}`?"),
        (None, [only]) => format!("write `{only}`, or leave the field out"),
        (None, _) => format!("write one of {}", list(&known)),
    };
    Some(Fault { code: Code::NotOneOf, message: format!("unknown value {}", quoted(text)), hint: Some(hint) })
}

/// What may be written for a field that is missing: one of the listed values, or what an object must have.
pub(super) fn cure(name: &str, schema: &Value) -> String {
    let values: Vec<&str> = texts(schema, "enum").collect();
    if values.is_empty() {
        format!("write `{name}: {}`", example(schema))
    } else {
        format!("write one of {}", list(&values))
    }
}

fn example(schema: &Value) -> String {
    let of = |field: &str| schema.get(field).unwrap_or(&Value::Null);
    if let Some(value) = texts(schema, "enum").next() {
        return value.to_owned();
    }
    match of("type").as_str() {
        Some("array") => format!("[{}]", example(of("items"))),
        Some("object") => {
            let property = |name| of("properties").get(name).unwrap_or(&Value::Null);
            let fields: Vec<_> =
                texts(schema, "required").map(|name| format!("{name}: {}", example(property(name)))).collect();
            if fields.is_empty() { "{…}".to_owned() } else { format!("{{{}}}", fields.join(", ")) }
        }
        _ => "…".to_owned(),
    }
}

fn texts<'schema>(schema: &'schema Value, field: &str) -> impl Iterator<Item = &'schema str> {
    schema.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Names for a message.
pub(super) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_lead_to_the_name() {
        let require = ["issuers", "clients", "scopes", "anyScope", "roles", "anyRole", "anyGroup", "claims", "callers"];
        let others =
            ["audiences", "methods", "hosts", "clientCAs", "minVersion", "configMapName", "algorithms", "leeway"];
        let known: Vec<&str> = require.iter().chain(&others).copied().collect();
        for (name, meant) in [
            ("scope", "scopes"),
            ("Scopes", "scopes"),
            ("scpoes", "scopes"),
            ("any_scope", "anyScope"),
            ("anyScopes", "anyScope"),
            ("role", "roles"),
            ("audience", "audiences"),
            ("aud", "audiences"),
            ("method", "methods"),
            ("verbs", "methods"),
            ("host", "hosts"),
            ("client_cas", "clientCAs"),
            ("clientCas", "clientCAs"),
            ("min-version", "minVersion"),
            ("configmap", "configMapName"),
            ("clockSkew", "leeway"),
            ("caller", "callers"),
        ] {
            let expected = if name == "configmap" { None } else { Some(meant) };
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
    }

    #[test]
    fn what_is_far_leads_nowhere() {
        for name in ["jwksURL", "rateLimit", "x", "", "ö", &"scopes".repeat(1000)] {
            assert_eq!(nearest(name, &["scopes", "roles", "claims", "hosts"]), None, "{name}");
        }
    }
}
