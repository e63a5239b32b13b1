//! What is written is what is read: the types refuse what they do not know and give back what they took.

use crds::ApiAuthPolicy;
use serde_json::{Value, json};

#[test]
fn everything_comes_back_as_it_was_written() {
    let policy: ApiAuthPolicy = serde_json::from_value(full()).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), full());
}

#[test]
fn the_smallest_policy_stays_small() {
    let smallest = json!({
        "apiVersion": "doorward.dev/v1alpha1", "kind": "ApiAuthPolicy", "metadata": {"name": "users"},
        "spec": {"selector": {"matchLabels": {"app": "users"}}, "tls": {"mode": "Optional"}},
    });
    let policy: ApiAuthPolicy = serde_json::from_value(smallest.clone()).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), smallest);
}

#[test]
fn unknown_fields_are_refused_everywhere() {
    for place in [
        "/spec",
        "/spec/tls",
        "/spec/tls/clientCAs/0",
        "/spec/issuers/0",
        "/spec/issuers/0/keys",
        "/spec/issuers/0/keys/caBundle",
        "/spec/issuers/0/identity",
        "/spec/rules/0",
        "/spec/rules/0/require",
        "/spec/rules/0/require/claims/0",
        "/spec/rules/0/require/callers/0",
        "/spec/forward",
        "/spec/forward/headers/0",
        "/spec/paths",
    ] {
        let mut policy = full();
        policy.pointer_mut(place).unwrap()["scope"] = json!("x");
        let error = serde_json::from_value::<ApiAuthPolicy>(policy).unwrap_err().to_string();
        assert!(error.contains("unknown field `scope`"), "{place}: {error}");
    }
}

#[test]
fn values_are_spelled_as_in_the_api() {
    for (place, wrong) in [
        ("/spec/tls/mode", json!("mutual")),
        ("/spec/tls/minVersion", json!("1.1")),
        ("/spec/tls/minVersion", json!(1.2)),
        ("/spec/issuers/0/algorithms/0", json!("HS256")),
        ("/spec/issuers/0/algorithms/0", json!("none")),
        ("/spec/issuers/0/preset", json!("keycloak")),
        ("/spec/rules/0/require/boundToken", json!("certificate")),
        ("/spec/rules/0/require/pathParams/id", json!("scopes")),
        ("/spec/rules/1/allow", json!("anyone")),
        ("/spec/forward/token", json!("Signed")),
        ("/spec/forward/protocol", json!("h2c")),
        ("/spec/forward/headers/0/identity", json!("Subject")),
        ("/spec/paths/case", json!("Ignore")),
    ] {
        let mut policy = full();
        *policy.pointer_mut(place).unwrap() = wrong.clone();
        assert!(serde_json::from_value::<ApiAuthPolicy>(policy).is_err(), "{place}: {wrong}");
    }
}

fn full() -> Value {
    json!({
        "apiVersion": "doorward.dev/v1alpha1",
        "kind": "ApiAuthPolicy",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {
            "selector": {
                "matchLabels": {"app": "orders"},
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["api"]}],
            },
            "port": 3000,
            "tls": {
                "mode": "Mutual",
                "minVersion": "1.3",
                "clientCAs": [
                    {"name": "cluster", "builtIn": true},
                    {"name": "partner", "configMapName": "partner-ca", "key": "ca.crt"},
                ],
            },
            "issuers": [{
                "name": "main",
                "issuer": "https://login.example.com",
                "audiences": ["orders-api"],
                "keys": {
                    "jwksURL": "https://login.example.com/jwks",
                    "caBundle": {"configMapName": "corporate", "key": "ca.crt"},
                },
                "algorithms": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"],
                "tokenTypes": ["at+jwt"],
                "leeway": "30s",
                "maxTokenAge": "24h",
                "requiredClaims": ["jti"],
                "clients": ["orders-web"],
                "emailTrusted": false,
                "preset": "Keycloak",
                "identity": {
                    "subject": "sub", "scopes": "scope", "roles": "/realm_access/roles", "groups": "groups",
                    "tenantValue": "acme", "email": "email", "name": "name", "client": "azp",
                },
            }],
            "rules": [
                {
                    "path": "/orders/{id}",
                    "methods": ["GET"],
                    "hosts": ["orders.example.com"],
                    "require": {
                        "issuers": ["main"], "clients": ["orders-web"],
                        "scopes": ["orders:read"], "anyScope": ["orders:write"],
                        "roles": ["staff"], "anyRole": ["clerk"], "anyGroup": ["sales"],
                        "claims": [{"claim": "dept", "anyOf": ["a", "b"]}],
                        "pathParams": {"id": "subject"},
                        "callers": [
                            {"serviceAccount": "web/web"},
                            {"ca": "partner", "dns": "a.partner.example"},
                            {"ca": "partner", "spiffe": "spiffe://partner/ns/x/sa/y"},
                        ],
                        "boundToken": "Certificate",
                        "maxAuthAge": "15m",
                    },
                    "ips": ["203.0.113.0/24"],
                },
                {"path": "/public/**", "allow": "Anonymous"},
            ],
            "forward": {
                "token": "Remove",
                "headers": [
                    {"name": "x-user", "identity": "subject"},
                    {"name": "x-dept", "claim": "dept", "format": "Json"},
                ],
                "protocol": "H2c",
            },
            "paths": {"case": "Insensitive", "encodedSlash": "Verbatim"},
        },
    })
}
