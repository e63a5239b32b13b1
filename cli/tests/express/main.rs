//! The first scenario: a bare Express API becomes reachable for authenticated callers only, its code untouched.
//!
//! `doorward run` is the real binary, the application real Node; its log tells what arrived.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a helper of tests that cannot go on has failed its test"
)]

#[path = "../support/client.rs"]
mod client;
#[path = "../support/express.rs"]
mod express;
mod scene;

use scene::{Scene, claims};
use serde_json::{Map, Value, json};

/// What the application must never hear of, with the answer that the caller gets instead.
const PATHS: &[(&str, u16, &str)] = &[
    ("/admin", 403, "insufficient_scope"),
    ("/admin/", 403, "insufficient_scope"),
    ("/%61dmin", 403, "insufficient_scope"),
    ("/admin?x=/public/hello", 403, "insufficient_scope"),
    ("/ADMIN", 403, "path_case"),
    ("/Admin/", 403, "path_case"),
    ("/admin.json", 403, "no_rule"),
    ("/users.json", 403, "no_rule"),
    ("//admin", 400, "bad_request"),
    ("/admin//", 400, "bad_request"),
    ("/./admin", 400, "bad_request"),
    ("/public/../admin", 400, "bad_request"),
    ("/public/%2e%2e/admin", 400, "bad_request"),
    ("/public/..%2fadmin", 400, "bad_request"),
    ("/public%2f..%2fadmin", 400, "bad_request"),
    ("/admin%2f", 400, "bad_request"),
    ("/admin%2F", 400, "bad_request"),
    ("/%2561dmin", 400, "bad_request"),
    ("/admin;x=1", 400, "bad_request"),
    ("/admin%3bx", 400, "bad_request"),
    ("/admin\\", 400, "bad_request"),
    ("/admin%5c", 400, "bad_request"),
    ("/admin%00", 400, "bad_request"),
    ("/.doorward/config", 404, "not_found"),
];

#[test]
fn the_bare_application_lets_everybody_in() {
    let scene = Scene::start();
    let response = scene.app_directly("GET /admin HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(response.contains("the keys to the house"), "{response}");
    scene.stop();
}

#[test]
fn only_authenticated_callers_reach_users() {
    let scene = Scene::start();
    let users = |token: Option<&str>| scene.get("/users", token).status;
    let good = scene.token(&claims("alice", "users:read"));
    assert_eq!(users(None), 401);
    assert_eq!(users(Some("nonsense")), 401);
    assert_eq!(users(Some(&scene.token_of_another_key(&claims("alice", "users:read")))), 401);
    assert_eq!(users(Some(&scene.unsigned(&claims("alice", "users:read")))), 401);
    assert_eq!(users(Some(&scene.hs256_with_the_public_key(&claims("alice", "users:read")))), 401);
    let mut old = claims("alice", "users:read");
    old.insert("exp".to_owned(), json!(1_700_000_000));
    assert_eq!(users(Some(&scene.token(&old))), 401);
    assert_eq!(users(Some(&scene.token(&claims("alice", "other")))), 200, "/users asks for a token, not for a scope");
    assert_eq!(users(Some(&good)), 200);
    let arrived = scene.stop();
    assert_eq!(
        arrived.iter().map(|request| request["url"].as_str().unwrap()).collect::<Vec<_>>(),
        ["/users", "/users"]
    );
}

#[test]
fn a_refusal_explains_itself_and_leaks_nothing() {
    let scene = Scene::start();
    let none = scene.get("/users", None);
    assert_eq!(none.field("www-authenticate"), Some(r#"Bearer realm="users""#));
    assert_eq!(none.field("content-type"), Some("application/problem+json"));
    assert_eq!(none.field("cache-control"), Some("no-store"));
    assert_eq!(none.body["code"], "token_missing");
    assert_eq!(none.body["requestId"].as_str(), none.field("x-request-id"));
    let scope = scene.get("/admin", Some(&scene.token(&claims("alice", "users:read"))));
    assert_eq!(scope.status, 403);
    assert_eq!(
        scope.field("www-authenticate"),
        Some(r#"Bearer realm="users", error="insufficient_scope", scope="admin""#)
    );
    assert!(!scope.body.to_string().contains("alice"), "{}", scope.body);
    assert!(scene.stop().is_empty());
}

#[test]
fn no_spelling_of_a_path_goes_round_its_rule() {
    let scene = Scene::start();
    let token = scene.token(&claims("alice", "users:read"));
    for (path, status, code) in PATHS {
        let response = scene.get(path, Some(&token));
        assert_eq!((response.status, response.body["code"].as_str()), (*status, Some(*code)), "{path}");
    }
    let admin = scene.token(&claims("olga", "admin"));
    assert_eq!(scene.get("/admin", Some(&admin)).status, 200);
    assert_eq!(scene.get("/%61dmin/", Some(&admin)).body["received"]["url"], "/admin/");
    assert_eq!(scene.stop().len(), 2, "the two that were allowed, and nothing else");
}

#[test]
fn a_caller_without_certificate_does_not_connect() {
    let scene = Scene::start();
    assert!(scene.get_without_certificate("/public/hello").is_err());
    assert!(scene.get_with_a_strangers_certificate("/public/hello").is_err());
    assert_eq!(scene.get("/public/hello", None).status, 200);
    assert_eq!(scene.stop().len(), 1);
}

#[test]
fn the_application_gets_exactly_the_documented_headers() {
    let scene = Scene::start();
    let token = scene.token(&claims("alice", "users:read users:write"));
    let response = scene.send(&format!(
        "POST /users?q=1 HTTP/1.1\r\nhost: Users.Example:8443\r\nauthorization: Bearer {token}\r\nx-user: mallory\r\nX_User: mallory\r\n\
         x-forwarded-for: 192.0.2.1\r\nx-forwarded-user: mallory\r\nforwarded: for=192.0.2.1\r\nx-real-ip: 192.0.2.1\r\n\
         x-original-url: /admin\r\nx-http-method-override: DELETE\r\nproxy-authorization: x\r\nconnection: x-drop, x-scopes\r\nx-drop: 1\r\n\
         content-type: application/json\r\ncontent-length: 13\r\nx-keep: yes\r\n\r\n{{\"id\":\"carl\"}}"
    ));
    assert_eq!(response.status, 201, "{response:?}");
    let received = &response.body["received"];
    assert_eq!((&received["url"], &received["body"]), (&json!("/users?q=1"), &json!({"id": "carl"})));
    let mut headers: Map<String, Value> = received["headers"].as_object().unwrap().clone();
    let id = headers.remove("x-request-id").unwrap();
    assert_eq!(id.as_str(), response.field("x-request-id").or(id.as_str()));
    assert_eq!(
        Value::Object(headers),
        json!({
            "host": "users.example:8443", "content-type": "application/json", "content-length": "13", "x-keep": "yes",
            "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https", "x-forwarded-host": "users.example:8443",
            "x-user": "alice", "x-scopes": "users:read,users:write",
        })
    );
    scene.stop();
}
