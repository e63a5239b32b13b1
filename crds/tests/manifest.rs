//! The committed manifest is the one that the types give, and its schema keeps the promises of the API.

#![expect(clippy::unwrap_used, reason = "a helper of tests that cannot go on has failed its test")]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// `UPDATE=1 cargo test -p crds` writes the files instead of comparing them. The chart has its own: it is packed alone.
#[test]
fn committed_manifests_are_current() {
    let manifest = crds::manifest().unwrap();
    for folder in ["crds", "charts/doorward/files"] {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("doorward.dev_apiauthpolicies.yaml");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &manifest).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap();
        assert!(committed == manifest, "{} differs from the types: run `make generate`", file.display());
    }
}

#[test]
fn the_committed_reference_is_current() {
    let reference = crds::reference();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &reference).unwrap();
    }
    assert!(std::fs::read_to_string(&file).unwrap() == reference, "docs/reference.md is old: run `make generate`");
}

/// Every field once, with its description and its rules.
#[test]
fn the_reference_names_every_field_and_every_rule() {
    let reference = crds::reference();
    for part in ["spec", "status"] {
        walk(crds::spec_schema().pointer(&format!("/properties/{part}")).unwrap(), part, &mut |node, path| {
            if path != part {
                let rows: Vec<_> =
                    reference.lines().filter(|line| line.starts_with(&format!("| `{path}` | "))).collect();
                assert!(!rows.is_empty() && rows.iter().all(|row| *row == rows[0]), "{path}: {rows:?}");
                let described = node["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
                assert!(rows[0].ends_with(&format!(" | {described} |")), "{path}: {}", rows[0]);
            }
            for rule in node.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                let (message, rule) = (rule["message"].as_str().unwrap(), rule["rule"].as_str().unwrap());
                assert!(reference.contains(&format!("- `{path}`: {message} (`{rule}`)")), "{path}: {message}");
            }
        });
    }
}

/// The API server warns of others at each installation.
#[test]
fn the_schema_has_no_format_that_kubernetes_does_not_know() {
    let manifest = crds::manifest().unwrap();
    let formats: BTreeSet<&str> = manifest.lines().filter_map(|line| line.trim().strip_prefix("format: ")).collect();
    assert_eq!(formats, BTreeSet::from(["date-time", "int64"]));
}

#[test]
fn manifest_says_where_it_comes_from() {
    let manifest = crds::manifest().unwrap();
    let first = manifest.lines().next().unwrap();
    assert!(first.starts_with("# Generated") && first.contains("`doorward generate crds`"), "{first}");
}

#[test]
fn names_are_the_contract() {
    let definition: Value = serde_yaml::from_str(&crds::manifest().unwrap()).unwrap();
    for (pointer, expected) in [
        ("/metadata/name", "apiauthpolicies.doorward.dev"),
        ("/spec/group", "doorward.dev"),
        ("/spec/names/kind", "ApiAuthPolicy"),
        ("/spec/names/plural", "apiauthpolicies"),
        ("/spec/names/shortNames/0", "aap"),
        ("/spec/scope", "Namespaced"),
        ("/spec/versions/0/name", "v1alpha1"),
    ] {
        assert_eq!(definition.pointer(pointer).and_then(Value::as_str), Some(expected), "{pointer}");
    }
}

#[test]
fn every_node_keeps_the_promises_of_the_schema() {
    let mut faults = Vec::new();
    let mut nodes = 0;
    walk(spec(), "spec", &mut |node, path| {
        nodes += 1;
        faults.extend(faults_of(node).into_iter().map(|fault| format!("{path}: {fault}")));
    });
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(nodes > 100, "only {nodes} nodes were visited");
}

fn faults_of(node: &Value) -> Vec<&'static str> {
    let has = |key: &str| node.get(key).is_some();
    let keeps_unknown = node.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    let kind = node.get("type").and_then(Value::as_str);
    let named = node.pointer("/items/properties/name").is_some();
    let nulls = node.get("enum").and_then(Value::as_array).is_some_and(|values| values.contains(&Value::Null));
    let checks = [
        (has("description"), "no description"),
        (!has("default") && !nulls, "a default, or null as a value, gets past compile"),
        (!["anyOf", "oneOf", "allOf", "$ref"].into_iter().any(has), "more than one type"),
        (kind.is_some() || has("x-kubernetes-int-or-string"), "no type"),
        (has("properties") == keeps_unknown, "unknown fields are dropped unseen, or kept where none is declared"),
        (kind != Some("string") || has("maxLength") || has("enum"), "an unbounded string"),
        (kind != Some("array") || has("maxItems"), "an unbounded list"),
        (!has("additionalProperties") || has("maxProperties"), "an unbounded map"),
        (!named || node["x-kubernetes-list-map-keys"] == serde_json::json!(["name"]), "named, but no map list"),
    ];
    checks.into_iter().filter(|(holds, _)| !holds).map(|(_, fault)| fault).collect()
}

/// The API server drops null from every field that may be left out, unless it is declared: then `compile` sees it.
#[test]
fn null_is_kept_where_it_would_be_dropped() {
    let mut faults = Vec::new();
    walk(spec(), "spec", &mut |node, path| {
        let required = node.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let properties = node.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut expected: Vec<_> =
            properties.map(|(name, child)| (name.as_str(), child, !required.contains(&name.as_str().into()))).collect();
        expected.extend(node.get("additionalProperties").map(|child| ("*", child, true)));
        expected.extend(node.get("items").map(|child| ("[]", child, false)));
        faults.extend(expected.into_iter().filter_map(|(name, child, kept)| {
            let nullable = child.get("nullable") == Some(&Value::Bool(true));
            (nullable != kept).then(|| format!("{path}.{name}: nullable is {nullable}"))
        }));
    });
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Offline there is no engine for regular expressions: `compile` knows these by heart.
#[test]
fn patterns_are_the_published_ones() {
    walk(spec(), "spec", &mut |node, path| {
        if let Some(pattern) = node.get("pattern").and_then(Value::as_str) {
            assert!(
                [crds::DURATION_PATTERN, crds::NAME_PATTERN, crds::OBJECT_NAME_PATTERN, crds::QUANTITY_PATTERN]
                    .contains(&pattern),
                "{path}: {pattern}"
            );
        }
    });
}

#[test]
fn shape_rules_stand_beside_their_fields() {
    let mut found = Vec::new();
    walk(spec(), "spec", &mut |node, path| {
        if node.get("x-kubernetes-validations").is_some() {
            found.push(path.to_owned());
        }
    });
    found.sort();
    let expected = [
        "spec.forward.headers[]",
        "spec.ip.trustedProxies[]",
        "spec.ip.trustedProxies[].caller",
        "spec.issuers[]",
        "spec.issuers[].identity",
        "spec.issuers[].keys",
        "spec.rules[]",
        "spec.rules[].require.callers[]",
        "spec.tls.clientCAs[]",
    ];
    assert_eq!(found, expected);
}

#[test]
fn required_fields_are_these() {
    let mut found = Vec::new();
    walk(spec(), "spec", &mut |node, path| {
        for name in node.get("required").and_then(Value::as_array).into_iter().flatten() {
            found.push(format!("{path}.{}", name.as_str().unwrap()));
        }
    });
    found.sort();
    let expected = [
        "spec.cors.origins",
        "spec.forward.headers[].name",
        "spec.issuers[].issuer",
        "spec.issuers[].keys.caBundle.configMapName",
        "spec.issuers[].keys.caBundle.key",
        "spec.issuers[].name",
        "spec.rules[].path",
        "spec.rules[].require.claims[].anyOf",
        "spec.rules[].require.claims[].claim",
        "spec.selector",
        "spec.selector.matchExpressions[].key",
        "spec.selector.matchExpressions[].operator",
        "spec.tls",
        "spec.tls.clientCAs[].crl.configMapName",
        "spec.tls.clientCAs[].crl.key",
        "spec.tls.clientCAs[].name",
        "spec.tls.mode",
    ];
    assert_eq!(found, expected);
}

fn spec() -> &'static Value {
    crds::spec_schema().pointer("/properties/spec").unwrap()
}

fn walk(node: &Value, path: &str, visit: &mut dyn FnMut(&Value, &str)) {
    visit(node, path);
    for (name, child) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(child, &format!("{path}.{name}"), visit);
    }
    if let Some(items) = node.get("items") {
        walk(items, &format!("{path}[]"), visit);
    }
    if let Some(values) = node.get("additionalProperties") {
        walk(values, &format!("{path}.*"), visit);
    }
}
