//! Every fault of shape is found, in its place, with what to write instead.

#![expect(clippy::unwrap_used, reason = "a helper of tests that cannot go on has failed its test")]

use compile::shape;
use compile::source::{self, Places};
use serde_json::{Value, json};

const POLICY: &str = r#"apiVersion: doorward.dev/v1alpha1
kind: ApiAuthPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  tls:
    mode: Mutual
    minVersion: "1.2"
  issuers:
  - name: main
    issuer: https://login.example.com
    audiences: [orders-api]
    keys: {inline: '{"keys":[]}'}
  rules:
  - path: /orders/{id}
    require:
      scopes: [orders:read]
      pathParams: {id: subject}
      callers: [{serviceAccount: web/web}]
  forward:
    headers: [{name: x-user, identity: subject}]
"#;

/// The diagnostics of the policy after one replacement of text.
fn after(from: &str, to: &str) -> Vec<String> {
    assert!(POLICY.contains(from), "{from}");
    let document = source::read("p.yaml", &POLICY.replacen(from, to, 1)).unwrap().remove(0);
    let (policy, found) = shape::parse(&document);
    let refused = found.iter().any(|diagnostic| diagnostic.severity == compile::diagnostic::Severity::Error);
    assert_eq!(policy.is_none(), refused, "{found:?}");
    assert!(found.iter().all(|diagnostic| diagnostic.file.as_deref() == Some("p.yaml")), "{found:?}");
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_policy_is_read() {
    let document = source::read("p.yaml", POLICY).unwrap().remove(0);
    let (policy, found) = shape::parse(&document);
    assert_eq!(found, vec![]);
    let policy = policy.unwrap();
    assert_eq!(policy.metadata.name.as_deref(), Some("orders"));
    assert_eq!(policy.spec.rules[0].require.as_ref().unwrap().scopes, ["orders:read"]);
}

#[test]
fn unknown_fields_lead_to_the_known_one() {
    for (from, to, expected) in [
        (
            "scopes:",
            "scope:",
            "p.yaml:17:7: error[unknown_field]: spec.rules[0].require.scope: unknown field `scope`; did you mean `scopes`?",
        ),
        (
            "scopes:",
            "Scopes:",
            "p.yaml:17:7: error[unknown_field]: spec.rules[0].require.Scopes: unknown field `Scopes`; did you mean `scopes`?",
        ),
        (
            "scopes:",
            "role:",
            "p.yaml:17:7: error[unknown_field]: spec.rules[0].require.role: unknown field `role`; did you mean `roles`?",
        ),
        (
            "audiences:",
            "audience:",
            "p.yaml:12:5: error[unknown_field]: spec.issuers[0].audience: unknown field `audience`; did you mean `audiences`?",
        ),
        (
            "  - path",
            "  - method: [GET]\n    path",
            "p.yaml:15:5: error[unknown_field]: spec.rules[0].method: unknown field `method`; did you mean `methods`?",
        ),
        (
            "  - path",
            "  - host: [a]\n    path",
            "p.yaml:15:5: error[unknown_field]: spec.rules[0].host: unknown field `host`; did you mean `hosts`?",
        ),
        (
            "minVersion:",
            "client_cas: []\n    minVersion:",
            "p.yaml:8:5: error[unknown_field]: spec.tls.client_cas: unknown field `client_cas`; did you mean `clientCAs`?",
        ),
        (
            "mode: Mutual",
            "Mode: Mutual",
            "p.yaml:7:5: error[unknown_field]: spec.tls.Mode: unknown field `Mode`; did you mean `mode`?",
        ),
        (
            "namespace: shop",
            "namspace: shop",
            "p.yaml:3:26: error[unknown_field]: metadata.namspace: unknown field `namspace`; did you mean `namespace`?",
        ),
        (
            "  forward:\n",
            "  login: {}\n  forward:\n",
            "p.yaml:20:3: error[unknown_field]: spec.login: unknown field `login`; known here: `cors`, `forward`, `ip`, `issuers`, `limits`, `mode`, `paths`, `port`, `resource`, `rules`, `selector`, `tls`",
        ),
        (
            "matchLabels",
            "matchLabel",
            "p.yaml:5:14: error[unknown_field]: spec.selector.matchLabel: unknown field `matchLabel`; did you mean `matchLabels`?",
        ),
        (
            "identity: subject",
            "identity: subject, forma: Json",
            "p.yaml:21:49: error[unknown_field]: spec.forward.headers[0].forma: unknown field `forma`; did you mean `format`?",
        ),
        (
            "spec:\n",
            "speck: {}\nspec:\n",
            "p.yaml:4:1: error[unknown_field]: speck: unknown field `speck`; did you mean `spec`?",
        ),
    ] {
        assert_eq!(after(from, to), [expected], "{to}");
    }
}

#[test]
fn values_have_their_types() {
    for (from, to, expected) in [
        (
            "\"1.2\"",
            "1.2",
            "p.yaml:8:17: error[wrong_type]: spec.tls.minVersion: expected a string, got the number `1.2`; write it in quotes: `\"1.2\"`",
        ),
        (
            "app: orders",
            "app: 1.20",
            "p.yaml:5:33: error[wrong_type]: spec.selector.matchLabels.app: expected a string, got the number `1.2`; write it in quotes: `\"1.20\"`",
        ),
        (
            "[orders:read]",
            "[true]",
            "p.yaml:17:16: error[wrong_type]: spec.rules[0].require.scopes[0]: expected a string, got `true`; write it in quotes: `\"true\"`",
        ),
        (
            "[orders:read]",
            "orders:read",
            "p.yaml:17:15: error[wrong_type]: spec.rules[0].require.scopes: expected a list, got the string `orders:read`",
        ),
        (
            "{id: subject}",
            "[id]",
            "p.yaml:18:19: error[wrong_type]: spec.rules[0].require.pathParams: expected a mapping, got a list",
        ),
        (
            "audiences: [orders-api]",
            "anyAudience: 'true'",
            "p.yaml:12:18: error[wrong_type]: spec.issuers[0].anyAudience: expected true or false, got the string `true`; write `true` or `false`, without quotes",
        ),
        (
            "  tls:",
            "  port: true\n  tls:",
            "p.yaml:6:9: error[wrong_type]: spec.port: expected a number or a name, got `true`",
        ),
        (
            "  tls:",
            "  port: 0\n  tls:",
            "p.yaml:6:9: error[out_of_bounds]: spec.port: `0` is not a whole number from 1 to 65535",
        ),
        (
            "  tls:",
            "  port: 80.5\n  tls:",
            "p.yaml:6:9: error[out_of_bounds]: spec.port: `80.5` is not a whole number from 1 to 65535",
        ),
        (
            "    audiences",
            "    leeway: ~\n    audiences",
            "p.yaml:12:13: error[explicit_null]: spec.issuers[0].leeway: null is no value; write a value, or leave the field out",
        ),
        (
            "{app: orders}",
            "",
            "p.yaml:5:25: error[explicit_null]: spec.selector.matchLabels: null is no value; write a value, or leave the field out",
        ),
    ] {
        assert_eq!(after(from, to), [expected], "{to}");
    }
}

#[test]
fn values_are_within_their_bounds() {
    let long = format!("[{}]", "x".repeat(257));
    let many = format!("[{}]", "x, ".repeat(65));
    for (from, to, expected) in [
        (
            "Mutual",
            "mutual",
            "p.yaml:7:11: error[not_one_of]: spec.tls.mode: unknown value `mutual`; did you mean `Mutual`?",
        ),
        (
            "Mutual",
            "Strict",
            "p.yaml:7:11: error[not_one_of]: spec.tls.mode: unknown value `Strict`; write one of `Mutual`, `Optional`, `Permissive`, `Plaintext`",
        ),
        (
            "id: subject",
            "id: scopes",
            "p.yaml:18:24: error[not_one_of]: spec.rules[0].require.pathParams.id: unknown value `scopes`; write one of `subject`, `tenant`, `email`, `name`, `client`",
        ),
        (
            "[orders:read]",
            "[]",
            "p.yaml:17:15: error[out_of_bounds]: spec.rules[0].require.scopes: is empty; say what it lists: empty never means everything",
        ),
        ("[orders:read]", "['']", "p.yaml:17:16: error[out_of_bounds]: spec.rules[0].require.scopes[0]: is empty"),
        (
            "[orders:read]",
            &long,
            "p.yaml:17:16: error[out_of_bounds]: spec.rules[0].require.scopes[0]: has 257 characters, at most 256 are allowed",
        ),
        (
            "[orders:read]",
            &many,
            "p.yaml:17:15: error[out_of_bounds]: spec.rules[0].require.scopes: has 65 entries, at most 64 are allowed",
        ),
        (
            "{matchLabels: {app: orders}}",
            "{}",
            "p.yaml:5:13: error[out_of_bounds]: spec.selector: is empty; say what it lists: empty never means everything",
        ),
        (
            "    audiences",
            "    leeway: 1d\n    audiences",
            "p.yaml:12:13: error[bad_format]: spec.issuers[0].leeway: `1d` has not the form of a duration; write a number and one of ms, s, m and h, such as `30s`",
        ),
        (
            "    audiences",
            "    leeway: 30\n    audiences",
            "p.yaml:12:13: error[wrong_type]: spec.issuers[0].leeway: expected a string, got the number `30`; write a number and one of ms, s, m and h, such as `30s`",
        ),
        (
            "name: main",
            "name: my issuer",
            "p.yaml:10:11: error[bad_format]: spec.issuers[0].name: `my issuer` has not the form of a name; write letters, digits, `.`, `_` and `-`, with a letter or a digit at both ends",
        ),
    ] {
        assert_eq!(after(from, to), [expected], "{to}");
    }
}

#[test]
fn what_must_be_there_is_missed_where_it_should_stand() {
    for (from, to, expected) in [
        (
            "    mode: Mutual\n",
            "",
            "p.yaml:7:5: error[missing_field]: spec.tls.mode: `mode` is missing; write one of `Mutual`, `Optional`, `Permissive`, `Plaintext`",
        ),
        (
            "    issuer: https://login.example.com\n",
            "",
            "p.yaml:10:5: error[missing_field]: spec.issuers[0].issuer: `issuer` is missing; write `issuer: …`",
        ),
        (
            "name: orders, ",
            "",
            "p.yaml:3:11: error[missing_field]: metadata.name: `name` is missing; write `name: NAME`",
        ),
        (
            "  tls:\n    mode: Mutual\n    minVersion: \"1.2\"\n",
            "",
            "p.yaml:5:3: error[missing_field]: spec.tls: `tls` is missing; write `tls: {mode: Mutual}`",
        ),
    ] {
        assert_eq!(after(from, to), [expected], "{from}");
    }
}

#[test]
fn names_are_given_once() {
    let header = "{name: x-user, identity: subject}";
    assert_eq!(
        after(header, &format!("{header}, {{name: x-user, claim: sub}}")),
        [
            "p.yaml:21:57: error[duplicate_name]: spec.forward.headers[1].name: another entry has the name `x-user`; give each entry a name of its own"
        ]
    );
}

#[test]
fn fields_that_stand_together_fit() {
    let inline = "{inline: '{\"keys\":[]}'}";
    for (from, to, expected) in [
        (
            "    require:",
            "    allow: Authenticated\n    require:",
            "spec.rules[0]: write exactly one of allow and require",
        ),
        ("identity: subject", "format: Json", "spec.forward.headers[0]: write exactly one of identity and claim"),
        (
            "identity: subject",
            "identity: subject, claim: sub",
            "spec.forward.headers[0]: write exactly one of identity and claim",
        ),
        (
            "audiences: [orders-api]",
            "emailTrusted: true",
            "spec.issuers[0]: write either audiences, or anyAudience: true",
        ),
        (
            "audiences: [orders-api]",
            "anyAudience: false",
            "spec.issuers[0]: write either audiences, or anyAudience: true",
        ),
        (
            "    audiences",
            "    anyAudience: true\n    audiences",
            "spec.issuers[0]: write either audiences, or anyAudience: true",
        ),
        (
            "    audiences",
            "    identity: {tenant: a, tenantValue: b}\n    audiences",
            "spec.issuers[0].identity: write tenant or tenantValue, not both",
        ),
        (inline, "{inline: x, configMapName: a, key: b}", ONE_SOURCE),
        (inline, "{inline: x, jwksURL: b}", ONE_SOURCE),
        (inline, "{jwksURL: x, configMapName: a, key: b}", ONE_SOURCE),
        (inline, "{configMapName: a}", BOTH),
        (inline, "{inline: x, key: b}", BOTH),
        (inline, "{caBundle: {configMapName: a, key: b}, inline: x}", FETCHED),
        (inline, "{caBundle: {configMapName: a, key: b}, configMapName: a, key: b}", FETCHED),
    ] {
        only_combination(from, to, expected);
    }
}

const BOTH: &str = "spec.issuers[0].keys: write configMapName and key together";
const ONE_SOURCE: &str = "spec.issuers[0].keys: write one of inline, configMapName with key, and jwksURL";
const FETCHED: &str = "spec.issuers[0].keys: write caBundle only where keys are fetched: beside jwksURL, or alone";

#[test]
fn callers_and_authorities_are_whole() {
    for (from, to, expected) in [
        (
            "serviceAccount: web/web",
            "ca: cluster",
            "spec.rules[0].require.callers[0]: write at least one of serviceAccount, dns and spiffe",
        ),
        (
            "minVersion: \"1.2\"",
            "clientCAs: [{name: a}]",
            "spec.tls.clientCAs[0]: write either builtIn: true, or configMapName and key",
        ),
        (
            "minVersion: \"1.2\"",
            "clientCAs: [{name: a, builtIn: false}]",
            "spec.tls.clientCAs[0]: write either builtIn: true, or configMapName and key",
        ),
        (
            "minVersion: \"1.2\"",
            "clientCAs: [{name: a, builtIn: true, configMapName: b, key: c}]",
            "spec.tls.clientCAs[0]: write either builtIn: true, or configMapName and key",
        ),
        (
            "minVersion: \"1.2\"",
            "clientCAs: [{name: a, configMapName: b}]",
            "spec.tls.clientCAs[0]: write either builtIn: true, or configMapName and key",
        ),
    ] {
        only_combination(from, to, expected);
    }
}

fn only_combination(from: &str, to: &str, expected: &str) {
    let found = after(from, to);
    assert_eq!(found.len(), 1, "{to}: {found:?}");
    assert!(
        found.iter().all(|fault| fault.ends_with(&format!("error[wrong_combination]: {expected}"))),
        "{to}: {found:?}"
    );
}

#[test]
fn combinations_that_fit_pass() {
    for (from, to) in [
        ("{inline: '{\"keys\":[]}'}", "{configMapName: a, key: b}"),
        ("{inline: '{\"keys\":[]}'}", "{jwksURL: a, caBundle: {configMapName: a, key: b}}"),
        ("{inline: '{\"keys\":[]}'}", "{caBundle: {configMapName: a, key: b}}"),
        ("    keys: {inline: '{\"keys\":[]}'}\n", ""),
        ("audiences: [orders-api]", "anyAudience: true"),
        ("identity: subject", "claim: sub"),
        ("serviceAccount: web/web", "ca: partner, dns: a.example"),
        (
            "minVersion: \"1.2\"",
            "clientCAs: [{name: a, builtIn: true}, {name: b, builtIn: false, configMapName: b, key: c}]",
        ),
        ("spec:", "status: {anything: [goes]}\nspec:"),
        ("  tls:", "  port: http\n  tls:"),
        ("  tls:", "  port: 65535\n  tls:"),
    ] {
        assert_eq!(after(from, to), Vec::<String>::new(), "{to}");
    }
}

#[test]
fn words_of_yaml_1_1_are_warned_about_where_a_string_is_meant() {
    let warning = "p.yaml:17:16: warning[yaml_word]: spec.rules[0].require.scopes[0]: kubectl takes the word `No` without \
                   quotes for true or false; write it in quotes: `\"No\"`";
    assert_eq!(after("orders:read", "No"), [warning]);
    for word in ["'No'", "none", "yess"] {
        assert_eq!(after("orders:read", word), Vec::<String>::new(), "{word}");
    }
    let found = after("audiences: [orders-api]", "anyAudience: yes");
    assert_eq!(
        found,
        [
            "p.yaml:12:18: error[wrong_type]: spec.issuers[0].anyAudience: expected true or false, got the string `yes`; write `true` or `false`, without quotes"
        ]
    );
}

#[test]
fn other_objects_are_named_and_nothing_else_is_said() {
    assert_eq!(
        after("kind: ApiAuthPolicy", "kind: ConfigMap"),
        ["p.yaml:2:7: error[wrong_kind]: kind: `ConfigMap` is not read here; write `kind: ApiAuthPolicy`"]
    );
    assert_eq!(
        after("apiVersion: doorward.dev/v1alpha1\n", ""),
        [
            "p.yaml:1:1: error[missing_field]: apiVersion: `apiVersion` is missing; write `apiVersion: doorward.dev/v1alpha1`"
        ]
    );
}

#[test]
fn metadata_has_its_types_too() {
    let found = after("name: orders,", "name: orders, labels: {a: 1},");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("p.yaml:3:11: error[wrong_type]: metadata: invalid type"), "{found:?}");
}

#[test]
fn one_run_finds_every_fault() {
    let object = json!({"spec": {"tls": {"mode": null}, "rules": [{"allow": "Everyone"}, 7], "extra": 1}});
    let found = shape::check(&object, &Places::default(), crds::spec_schema());
    let mut codes: Vec<(String, &str)> = found.iter().map(|fault| (fault.path.clone(), fault.code.as_str())).collect();
    codes.sort();
    let expected = [
        ("metadata.name", "missing_field"),
        ("spec.extra", "unknown_field"),
        ("spec.rules[0].allow", "not_one_of"),
        ("spec.rules[0].path", "missing_field"),
        ("spec.rules[1]", "wrong_type"),
        ("spec.selector", "missing_field"),
        ("spec.tls.mode", "explicit_null"),
    ];
    assert_eq!(codes, expected.map(|(path, code)| (path.to_owned(), code)));
    assert!(found.iter().all(|fault| fault.line.is_none()), "an object without a file has no lines");
}

/// A value that no shape fits anywhere must be refused by words of ours, never by serde alone, and never panic.
#[test]
fn whatever_the_shape_lets_pass_the_types_take() {
    let base = source::read("p.yaml", POLICY).unwrap().remove(0);
    for pointer in pointers(&base.value, String::new()) {
        for value in [
            json!(null),
            json!(true),
            json!(-1),
            json!(""),
            json!("x"),
            json!([]),
            json!(["x"]),
            json!({}),
            json!({"a": "b"}),
        ] {
            let mut document = base.clone();
            *document.value.pointer_mut(&pointer).unwrap() = value.clone();
            let (policy, found) = shape::parse(&document);
            let clean = !found.iter().any(|fault| fault.severity == compile::diagnostic::Severity::Error);
            assert_eq!(policy.is_some(), clean, "{pointer} = {value}: {found:?}");
            let ours =
                found.iter().all(|fault| !fault.message.contains("invalid type") || pointer.starts_with("/metadata"));
            assert!(ours, "{pointer} = {value}: {found:?}");
        }
    }
}

fn pointers(value: &Value, pointer: String) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, child)| (name.clone(), child)).collect(),
        Value::Array(entries) => entries.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect(),
        _ => Vec::new(),
    };
    let below = children.into_iter().flat_map(|(name, child)| pointers(child, format!("{pointer}/{name}")));
    below.chain([pointer.clone()]).collect()
}
