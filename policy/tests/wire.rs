//! What travels comes back as it was, and what is foreign or damaged is refused.

#![expect(clippy::unwrap_used, reason = "a helper of tests that cannot go on has failed its test")]

#[path = "../src/testing.rs"]
mod testing;

use policy::ruleset::Ruleset;
use policy::wire::{Body, FORMAT, KeysMessage, MAX_SNAPSHOT_BYTES, RulesetMessage, Snapshot, WireError};
use serde_json::{Value, json};
use testing::{GONE, body, edited, issuer, require, rule};

/// A body with a value in every field.
fn rich() -> Value {
    let everything = require(json!({
        "issuers": ["main"], "clients": ["app"], "scopes": ["s"], "anyScope": ["t"], "roles": ["r"], "anyRole": ["q"],
        "anyGroup": ["g"], "claims": [{"claim": "/a/b", "anyOf": ["x", "y"]}],
        "pathParams": {"id": "subject", "t": "tenant"}, "boundToken": true, "maxAuthAgeMs": 1000,
        "callers": [
            {"ca": "cluster", "serviceAccount": "a/b"},
            {"ca": "partner", "dns": "a.example.com", "spiffe": "spiffe://partner/x"},
        ],
    }));
    let full = issuer(json!({
        "maxTokenAgeMs": 5, "requiredClaims": ["jti"], "clients": ["app"],
        "identity": {"scopes": "scp", "tenant": "tid", "tenantValue": "acme"},
    }));
    body(json!({
        "issuers": [full, issuer(json!({"name": "other", "issuer": "https://other"}))],
        "rules": [
            rule(json!({"path": "/{t}/{id}", "methods": ["GET"], "hosts": ["a.b", "*.c"], "access": everything, "ips": ["192.0.2.0/24", "::1/128"]})),
            rule(json!({"access": "Authenticated"})),
            rule(json!({"path": "/c", "access": "Certificate"})),
        ],
        "forward": {"keepToken": true, "headers": [
            {"name": "x-user", "value": {"identity": "subject"}, "format": "Comma"},
            {"name": "x-dept", "value": {"claim": "dept"}, "format": "Json"},
        ]},
        "paths": {"caseInsensitive": true, "encodedSlash": true},
    }))
}

fn read(value: &Value) -> Result<Body, serde_json::Error> {
    serde_json::from_value(value.clone())
}

fn snapshot() -> Snapshot {
    let message = RulesetMessage::new(3000, 7, &read(&rich()).unwrap()).unwrap();
    let keys = KeysMessage::new("k".into(), "https://login.example.com".into(), r#" {"keys": [ ]} "#).unwrap();
    Snapshot { format: FORMAT, rulesets: vec![message], keys: vec![keys] }
}

#[test]
fn a_snapshot_comes_back_as_it_was() {
    let written = serde_json::to_vec_pretty(&snapshot()).unwrap();
    let again = Snapshot::read(&written).unwrap();
    let message = &again.rulesets[0];
    assert_eq!((message.port, message.generation), (3000, 7));
    assert_eq!(message.body().unwrap(), read(&rich()).unwrap());
    assert_eq!(again.keys[0].jwks().unwrap(), r#"{"keys": [ ]}"#, "byte for byte");
    assert_eq!(message.revision, snapshot().rulesets[0].revision, "the same bytes have the same revision");
    assert!(Ruleset::new(&message.body().unwrap()).is_ok());
}

/// Every object in a value, by its JSON Pointer.
fn objects(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.push(pointer.to_owned());
            fields.iter().for_each(|(name, inner)| objects(inner, &format!("{pointer}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, inner)| objects(inner, &format!("{pointer}/{n}"), found));
        }
        _ => {}
    }
}

#[test]
fn fields_that_this_version_does_not_know_are_refused_everywhere() {
    let mut found = Vec::new();
    objects(&rich(), "", &mut found);
    assert!(found.len() > 20, "{found:?}");
    for pointer in found {
        let mut changed = rich();
        changed.pointer_mut(&pointer).unwrap()["later"] = json!({"x": 1});
        assert!(read(&changed).is_err(), "{pointer}");
    }
    let mut written = serde_json::to_value(snapshot()).unwrap();
    for pointer in ["", "/rulesets/0", "/keys/0"] {
        let mut changed = written.clone();
        changed.pointer_mut(pointer).unwrap()["later"] = json!(1);
        assert!(matches!(Snapshot::read(changed.to_string().as_bytes()), Err(WireError::Json(_))), "{pointer}");
    }
    written["rulesets"][0]["type"] = json!("keys");
    assert!(Snapshot::read(written.to_string().as_bytes()).is_err(), "another type of message");
}

#[test]
fn fields_that_are_missing_are_never_filled_in() {
    let mut found = Vec::new();
    objects(&rich(), "", &mut found);
    let optional = [
        "maxTokenAgeMs",
        "scopes",
        "roles",
        "groups",
        "tenant",
        "tenantValue",
        "maxAuthAgeMs",
        "serviceAccount",
        "dns",
        "spiffe",
    ];
    for pointer in found.iter().filter(|pointer| !pointer.ends_with("pathParams")) {
        for name in rich().pointer(pointer).unwrap().as_object().unwrap().keys() {
            if (pointer.contains("identity") || !["scopes", "roles"].contains(&name.as_str()))
                && optional.contains(&name.as_str())
            {
                continue;
            }
            let mut changed = rich();
            changed.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name);
            assert!(read(&changed).is_err(), "{pointer}/{name}");
        }
    }
    assert!(read(&edited(rich(), json!({"tls": GONE}))).is_err());
}

#[test]
fn bytes_that_were_not_published_are_refused() {
    let written = serde_json::to_string(&snapshot()).unwrap();
    for (from, to) in [("\"boundToken\":true", "\"boundToken\":false"), ("orders-api", "orders-apj")] {
        assert!(written.contains(from));
        let changed = Snapshot::read(written.replace(from, to).as_bytes()).unwrap();
        assert!(matches!(changed.rulesets[0].body(), Err(WireError::Revision)), "{from}");
    }
    let changed = Snapshot::read(written.replace(r#"{"keys": [ ]}"#, r#"{"keys":[]}"#).as_bytes()).unwrap();
    assert!(matches!(changed.keys[0].jwks(), Err(WireError::Revision)), "spaces count");
    let mut upper = snapshot();
    upper.rulesets[0].revision = upper.rulesets[0].revision.to_uppercase();
    assert!(matches!(upper.rulesets[0].body(), Err(WireError::Revision)));
}

#[test]
fn other_formats_and_other_files() {
    let written = serde_json::to_value(snapshot()).unwrap();
    for format in [0, 2, 4_294_967_295_u32] {
        let changed = edited(written.clone(), json!({"format": format, "later": 1}));
        match Snapshot::read(changed.to_string().as_bytes()) {
            Err(WireError::Format(found)) => assert_eq!(found, format),
            other => panic!("{other:?}"),
        }
    }
    for text in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"format":"1"}"#,
        r#"{"format":1,"format":1,"rulesets":[],"keys":[]}"#,
        r#"{"format":1,"rulesets":[]}"#,
    ] {
        assert!(matches!(Snapshot::read(text.as_bytes()), Err(WireError::Json(_))), "{text}");
    }
    let mut long = written.to_string().into_bytes();
    long.resize(MAX_SNAPSHOT_BYTES, b' ');
    assert!(Snapshot::read(&long).is_ok());
    long.push(b' ');
    assert!(matches!(Snapshot::read(&long), Err(WireError::TooLarge)));
    let deep = format!(r#"{{"format":1,"rulesets":{},"keys":[]}}"#, "[".repeat(100_000));
    assert!(matches!(Snapshot::read(deep.as_bytes()), Err(WireError::Json(_))));
}

#[test]
fn bodies_that_are_no_ruleset() {
    let one = |change: Value| json!({"rules": [rule(change)]});
    let wants = |change: Value| one(json!({"path": "/{id}", "access": require(change)}));
    let header = |name: &str| json!({"name": name, "value": {"identity": "subject"}, "format": "Comma"});
    let second = |change: Value| json!({"issuers": [issuer(json!({})), issuer(edited(json!({"name": "other", "issuer": "https://other"}), change))]});
    for (change, place) in [
        (second(json!({"issuer": "https://login.example.com"})), "issuers[1].issuer"),
        (second(json!({"name": "main"})), "issuers[1].name"),
        (json!({"issuers": [issuer(json!({"audiences": []}))]}), "issuers[0].audiences"),
        (json!({"issuers": [issuer(json!({"requiredClaims": ["/~2"]}))]}), "issuers[0].requiredClaims"),
        (json!({"issuers": [issuer(json!({"identity": {"roles": ""}}))]}), "issuers[0].identity.roles"),
        (json!({"issuers": [issuer(json!({"identity": {"client": ["/~"]}}))]}), "issuers[0].identity.client"),
        (one(json!({"path": "a"})), "rules[0].path"),
        (one(json!({"path": format!("/{}", "a/".repeat(600_000))})), "rules[0].path"),
        (json!({"rules": [rule(json!({"path": "/a"})), rule(json!({"path": "/A"}))]}), "rules[1].path"),
        (one(json!({"methods": ["get"]})), "rules[0].methods"),
        (one(json!({"methods": ["TRACE"]})), "rules[0].methods"),
        (one(json!({"methods": [""]})), "rules[0].methods"),
        (one(json!({"hosts": ["A.b"]})), "rules[0].hosts"),
        (one(json!({"hosts": ["*"]})), "rules[0].hosts"),
        (wants(json!({})), "rules[0].require"),
        (wants(json!({"issuers": ["x"]})), "rules[0].require.issuers"),
        (wants(json!({"claims": [{"claim": "", "anyOf": ["x"]}]})), "rules[0].require.claims"),
        (wants(json!({"pathParams": {"x": "subject"}})), "rules[0].require.pathParams.x"),
        (wants(json!({"pathParams": {"id": "roles"}})), "rules[0].require.pathParams.id"),
        (wants(json!({"pathParams": {"id": "issuer"}})), "rules[0].require.pathParams.id"),
        (wants(json!({"callers": [{"ca": "x", "dns": "a"}]})), "rules[0].require.callers"),
        (wants(json!({"callers": [{"ca": "cluster"}]})), "rules[0].require.callers"),
        (edited(second(json!({})), wants(json!({"roles": ["r"]}))), "rules[0].require.issuers"),
        (json!({"forward": {"headers": [header("authorization")]}}), "forward.headers[0].name"),
        (json!({"forward": {"headers": [header("x-a"), header("x-a")]}}), "forward.headers[1].name"),
        (
            json!({"forward": {"headers": [{"name": "x-a", "value": {"claim": ""}, "format": "Json"}]}}),
            "forward.headers[0].claim",
        ),
        (
            json!({"tls": {"clientCas": [{"name": "a", "builtIn": false, "certificates": ["?"], "crls": []}]}}),
            "tls.clientCAs[0]",
        ),
        (
            json!({"tls": {"clientCas": [{"name": "a", "builtIn": true, "certificates": [], "crls": []}, {"name": "a", "builtIn": false, "certificates": [], "crls": []}]}}),
            "tls.clientCAs[1].name",
        ),
    ] {
        let fault = Ruleset::new(&read(&body(change)).unwrap()).unwrap_err();
        assert_eq!(fault.place(), place, "{fault}");
        assert!(!fault.message().is_empty());
    }
}
