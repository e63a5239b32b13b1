//! Plain data for tests: a policy on the wire that is good, to be changed field by field.

use serde_json::{Value, json};

/// In a change: takes the field away.
pub(crate) const GONE: &str = "\u{0}gone";

/// A value with objects of `change` merged into it; everything else replaces what is there.
pub(crate) fn edited(base: Value, change: Value) -> Value {
    match (base, change) {
        (Value::Object(mut base), Value::Object(change)) => {
            for (name, value) in change {
                match base.remove(&name) {
                    _ if value == GONE => {}
                    Some(old) => drop(base.insert(name, edited(old, value))),
                    None => drop(base.insert(name, value)),
                }
            }
            Value::Object(base)
        }
        (_, change) => change,
    }
}

/// An issuer with all defaults.
pub(crate) fn issuer(change: Value) -> Value {
    let good = json!({
        "name": "main", "issuer": "https://login.example.com", "keys": "k",
        "audiences": ["orders-api"], "anyAudience": false,
        "algorithms": ["RS256", "PS256", "ES256", "ES384", "EdDSA"],
        "tokenTypes": ["at+jwt", "jwt"], "untyped": true, "idTokens": false,
        "leewayMs": 30_000, "requiredClaims": [], "clients": [],
        "emailTrusted": false, "accessTokenUse": false,
        "identity": {
            "subject": "sub", "roles": "roles", "groups": "groups", "email": "email", "name": "name",
            "client": ["azp", "client_id"],
        },
    });
    edited(good, change)
}

/// A rule; anybody may.
pub(crate) fn rule(change: Value) -> Value {
    edited(json!({"path": "/**", "methods": [], "hosts": [], "access": "Anonymous", "ips": [], "audit": false}), change)
}

/// What a `require` asks for, as the access of a rule.
pub(crate) fn require(change: Value) -> Value {
    let nothing = json!({
        "issuers": [], "clients": [], "scopes": [], "anyScope": [], "roles": [], "anyRole": [], "anyGroup": [],
        "claims": [], "pathParams": {}, "callers": [], "boundToken": false,
    });
    json!({"Require": edited(nothing, change)})
}

/// A whole policy: one issuer, the built-in CA and one more, and one rule.
pub(crate) fn body(change: Value) -> Value {
    let good = json!({
        "policy": {"namespace": "shop", "name": "orders"}, "mode": "Enforce",
        "tls": {
            "mode": "Optional", "minVersion": "1.2", "trustDomain": "cluster.local",
            "clientCas": [
                {"name": "cluster", "builtIn": true, "certificates": [], "crls": []},
                {"name": "partner", "builtIn": false, "certificates": ["AAAA"], "crls": []},
            ],
        },
        "issuers": [issuer(json!({}))],
        "rules": [rule(json!({}))],
        "forward": {"keepToken": false, "headers": [], "clientCertificate": false, "protocol": "Http1"},
        "addresses": {"allow": [], "deny": [], "trustedNetworks": [], "trustedCallers": []},
        "limits": {
            "body": 1_048_576, "headers": 32_768, "requestTimeoutMs": 60_000, "idleTimeoutMs": 300_000, "connectionAgeMs": 3_600_000,
        },
        "paths": {"caseInsensitive": false, "encodedSlash": false},
    });
    edited(good, change)
}
