use super::*;
use crate::decide::{Authenticate, Decision, Question, decide};
use crate::peer::{Peer, PeerCertificate};
use crate::request::{CanonicalRequest, RequestHead, SizeLimits};
use crate::ruleset::Ruleset;
use crate::testing::{body, edited, require, rule};
use crate::time::Timestamp;
use crate::token::{Unproven, VerifiedToken};
use http::{Method, Uri, Version};
use serde_json::{Value, json};
use std::sync::Arc;

/// Believes that every bearer token has these claims.
struct Believe<'a>(&'a Ruleset, Value);

impl Authenticate for Believe<'_> {
    fn authenticate(&mut self, _token: &str) -> Result<Arc<VerifiedToken>, Unproven> {
        Ok(Arc::new(VerifiedToken::assume(self.1.as_object().unwrap().clone(), self.0.issuers(), 0)?))
    }
}

const EXCHANGE: Exchange<'_> = Exchange { scheme: "https", request_id: "id-1" };

fn caller() -> Peer {
    Peer::at("192.0.2.7".parse().unwrap(), None)
}

fn header_map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

/// What is removed, and what the application receives.
fn forward_as(change: Value, fields: &[(&str, &str)], peer: &Peer, claims: Value) -> (Vec<String>, HeaderMap) {
    permitted(change, fields, peer, claims, |permit, headers| {
        let removed = removed(permit, headers).iter().map(ToString::to_string).collect();
        rewrite(permit, headers, &EXCHANGE);
        (removed, headers.clone())
    })
}

fn permitted<T>(
    change: Value,
    fields: &[(&str, &str)],
    peer: &Peer,
    claims: Value,
    then: impl FnOnce(&Permit, &mut HeaderMap) -> T,
) -> T {
    let ruleset = Ruleset::new(&serde_json::from_value(body(change)).unwrap()).unwrap();
    let mut headers = header_map(&[&[("host", "Orders.example.com.:80")], fields].concat());
    let before = headers.clone();
    let uri = Uri::from_static("/orders");
    let head = RequestHead { method: &Method::GET, uri: &uri, version: Version::HTTP_11, headers: &before };
    let request = CanonicalRequest::read(&head, ruleset.paths(), &SizeLimits::default()).unwrap();
    let question = Question {
        ruleset: &ruleset,
        head,
        request: &request,
        peer,
        now: Timestamp::from_millis(0),
        begun: Timestamp::from_millis(0),
    };
    let Decision::Granted(granted) = decide(question, &mut Believe(&ruleset, claims)) else { panic!("refused") };
    then(&granted.discharge(), &mut headers)
}

fn forward(change: Value, fields: &[(&str, &str)]) -> (Vec<String>, HeaderMap) {
    forward_as(change, fields, &caller(), json!({"sub": "alice"}))
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

fn authenticated(change: Value) -> Value {
    edited(json!({"rules": [rule(json!({"access": "Authenticated"}))]}), change)
}

fn identity_header(name: &str, value: Value) -> Value {
    json!({"forward": {"headers": [{"name": name, "value": value, "format": "Comma"}]}})
}

const BEARER: (&str, &str) = ("authorization", "Bearer a.b.c");

#[test]
fn ordinary_fields_pass_as_they_came() {
    let fields = [("accept", "a"), ("accept", "b"), ("x-bytes", "z\u{fc}"), ("content-type", "t"), ("x_custom", "c")];
    let (removed, headers) = forward(json!({}), &fields);
    assert!(removed.is_empty(), "{removed:?}");
    assert_eq!(all(&headers, "accept"), ["a", "b"]);
    assert_eq!(headers["x-bytes"].as_bytes(), "z\u{fc}".as_bytes());
    assert_eq!(
        (&headers["content-type"], &headers["x_custom"]),
        (&HeaderValue::from_static("t"), &HeaderValue::from_static("c"))
    );
}

#[test]
fn what_is_set_for_the_application() {
    let (_, headers) = forward(json!({}), &[]);
    for (name, wanted) in [
        ("host", "orders.example.com:80"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "orders.example.com:80"),
        ("x-request-id", "id-1"),
    ] {
        assert_eq!(all(&headers, name), [wanted], "{name}");
    }
    let (_, headers) = forward_as(json!({}), &[("x-forwarded-for", "10.0.0.1")], &Peer::default(), json!({}));
    assert!(all(&headers, "x-forwarded-for").is_empty(), "an unknown client has no address");
}

#[test]
fn fields_for_one_hop_go() {
    for name in ["connection", "keep-alive", "te", "trailer", "upgrade", "http2-settings"] {
        let (removed, headers) = forward(json!({}), &[(name, "x")]);
        assert_eq!(removed, [name]);
        assert!(!headers.contains_key(name));
    }
    let (removed, headers) = forward(json!({}), &[("transfer-encoding", "chunked")]);
    assert_eq!(removed, ["transfer-encoding"]);
    assert!(!headers.contains_key("transfer-encoding"));
}

#[test]
fn over_http2_the_application_learns_that_trailers_are_taken() {
    let te = |protocol: &str, fields: &[(&str, &str)]| {
        let (removed, headers) = forward(json!({"forward": {"protocol": protocol}}), fields);
        (removed, headers.get(header::TE).is_some())
    };
    assert_eq!(te("H2c", &[("te", "trailers")]), (vec![], true));
    let gone = (vec!["te".to_owned()], false);
    assert_eq!(te("Http1", &[("te", "trailers")]), gone);
    assert_eq!(te("H2c", &[("te", "trailers, deflate")]), gone);
    assert_eq!(te("H2c", &[("te", "trailers"), ("te", "trailers")]), gone);
    let named = te("H2c", &[("connection", "te"), ("te", "trailers")]);
    assert_eq!(named, (vec!["connection".to_owned(), "te".to_owned()], false));
}

#[test]
fn trailers_say_nothing_that_the_head_decided() {
    let left = |mode: &str| {
        let change = edited(identity_header("x-user", json!({"identity": "subject"})), json!({"mode": mode}));
        let fields = [
            ("grpc-status", "0"),
            ("x-checksum", "1"),
            ("x-user", "mallory"),
            ("X_User", "mallory"),
            ("host", "other"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("content-length", "1"),
            ("te", "trailers"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-http-method-override", "DELETE"),
        ];
        let mut trailers = header_map(&fields);
        permitted(change, &[], &caller(), json!({}), |permit, _| Trailers::of(permit)).strip(&mut trailers);
        let mut names: Vec<_> = trailers.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(left("Enforce"), ["grpc-status", "x-checksum"]);
    assert_eq!(left("Audit"), ["grpc-status", "x-checksum", "x-forwarded-for", "x-http-method-override"]);
}

#[test]
fn connection_names_fields_for_one_hop_but_not_those_that_were_decided_on() {
    let fields = [
        ("connection", "close, X-One ,,\tx-two\t"),
        ("connection", "x-three, \u{e9}, a b"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
        ("x-four", "4"),
    ];
    let (removed, headers) = forward(json!({}), &fields);
    assert_eq!(removed, ["connection", "x-one", "x-two", "x-three"]);
    assert!(headers.contains_key("x-four"));
    for (name, value) in [("host", ""), ("content-length", "7"), ("cookie", "a=b"), ("authorization", "Basic YTpi")] {
        let mut fields = vec![("connection", name)];
        fields.extend((name != "host").then_some((name, value)));
        let (removed, headers) = forward(json!({}), &fields);
        assert_eq!(removed, ["connection"], "{name}");
        assert!(headers.contains_key(name), "{name}");
    }
    // Ours are set after it, so that it cannot name them away.
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "x-user"] {
        let with = authenticated(identity_header("x-user", json!({"identity": "subject"})));
        let (_, headers) = forward(with, &[("connection", name), (name, "forged"), BEARER]);
        assert_eq!(all(&headers, name).len(), 1, "{name}");
        assert!(!all(&headers, name).contains(&"forged"), "{name}");
    }
    let keep = authenticated(json!({"forward": {"keepToken": true}}));
    let (_, headers) = forward(keep, &[("connection", "authorization"), BEARER]);
    assert_eq!(all(&headers, "authorization"), ["Bearer a.b.c"]);
}

#[test]
fn ours_never_come_from_the_client() {
    let long = format!("x-forwarded-{}", "a".repeat(80));
    let policy = || identity_header("x-user", json!({"identity": "subject"}));
    for name in [
        "x-forwarded-for",
        "X_Forwarded_For",
        "x-forwarded-user",
        "x.forwarded.proto",
        "x-forwarded-",
        "x-forwarded-client-cert",
        "x_forwarded_client_cert",
        "forwarded",
        "Forwarded",
        "x-real-ip",
        "x_real_ip",
        "x-request-id",
        "x_request_id",
        "proxy-authorization",
        "proxy_authorization",
        "proxy-connection",
        "proxy-x",
        "proxy-",
        "x-original-url",
        "x_original_url",
        "x-rewrite-url",
        "x-http-method-override",
        "x_http_method_override",
        "x-http-method",
        "x-method-override",
        "x~method!override",
        "x-user",
        "X-USER",
        "x_user",
        "x.user",
        "x*user",
        "x|user",
        &long,
    ] {
        let (removed, headers) = forward(policy(), &[(name, "forged"), (name, "twice")]);
        assert_eq!(removed, [name.to_ascii_lowercase()]);
        assert!(!headers.iter().any(|(_, value)| value == "forged" || value == "twice"), "{name}");
    }
    for name in ["xuser", "x-user-id", "xx-user", "x--user", "user", "xforwarded-for", "proxyx", "x-original-uri2"] {
        let (removed, _) = forward(policy(), &[(name, "v")]);
        assert!(removed.is_empty(), "{name} is nobody's look-alike");
    }
}

#[test]
fn identity_headers_are_set_where_a_token_was_verified_for_the_rule() {
    let user = || identity_header("x-user", json!({"identity": "subject"}));
    let (_, headers) = forward(authenticated(user()), &[BEARER, ("x-user", "root")]);
    assert_eq!(all(&headers, "x-user"), ["alice"]);
    let (_, headers) = forward(user(), &[BEARER, ("x-user", "root")]);
    assert!(all(&headers, "x-user").is_empty(), "an anonymous rule looks at no token");
    let (_, headers) = forward_as(authenticated(user()), &[BEARER, ("x-user", "root")], &caller(), json!({}));
    assert!(all(&headers, "x-user").is_empty(), "an absent attribute leaves no field of the client behind");
}

#[test]
fn values_of_identity_headers() {
    let claims = json!({
        "sub": "z\u{fc} %", "scope": "a b", "roles": ["x,y", "z"], "groups": [],
        "email": "a@b", "email_verified": true, "n": 7, "yes": true, "list": [1, true, "a b,"],
        "mixed": [1, {}], "object": {}, "null": null, "half": 0.5, "line": "a\r\nx-admin: 1", "deep": {"er": " x "},
    });
    for (value, comma, json) in [
        (json!({"identity": "subject"}), Some("z%C3%BC %25"), Some(r#""z\u00fc %""#)),
        (json!({"identity": "issuer"}), Some("main"), Some(r#""main""#)),
        (json!({"identity": "scopes"}), Some("a,b"), Some(r#"["a","b"]"#)),
        (json!({"identity": "roles"}), Some("x%2Cy,z"), Some(r#"["x,y","z"]"#)),
        (json!({"identity": "groups"}), None, None),
        (json!({"identity": "tenant"}), None, None),
        (json!({"identity": "email"}), Some("a@b"), Some(r#""a@b""#)),
        (json!({"claim": "n"}), Some("7"), Some(r#""7""#)),
        (json!({"claim": "yes"}), Some("true"), Some(r#""true""#)),
        (json!({"claim": "list"}), Some("1,true,a b%2C"), Some(r#"["1","true","a b,"]"#)),
        (json!({"claim": "mixed"}), None, None),
        (json!({"claim": "object"}), None, None),
        (json!({"claim": "null"}), None, None),
        (json!({"claim": "half"}), None, None),
        (json!({"claim": "none"}), None, None),
        (json!({"claim": "line"}), Some("a%0D%0Ax-admin: 1"), Some(r#""a\r\nx-admin: 1""#)),
        (json!({"claim": "/deep/er"}), Some("%20x%20"), Some(r#"" x ""#)),
    ] {
        for (format, wanted) in [("Comma", comma), ("Json", json)] {
            let headers = json!({"forward": {"headers": [{"name": "x-v", "value": value, "format": format}]}});
            let (_, headers) = forward_as(authenticated(headers), &[BEARER], &caller(), claims.clone());
            assert_eq!(all(&headers, "x-v"), wanted.into_iter().collect::<Vec<_>>(), "{value} {format}");
        }
    }
}

#[test]
fn credentials() {
    let keep = |access: &str| json!({"rules": [rule(json!({ "access": access }))], "forward": {"keepToken": true}});
    let remove = |access: &str| json!({"rules": [rule(json!({ "access": access }))]});
    for (policy, value, stays) in [
        (keep("Authenticated"), "Bearer a.b.c", true),
        (keep("Authenticated"), "  Bearer a.b.c", true),
        (remove("Authenticated"), "Bearer a.b.c", false),
        // nobody verified it
        (keep("Anonymous"), "Bearer a.b.c", false),
        (remove("Anonymous"), "Bearer a.b.c", false),
        (remove("Anonymous"), "bearer", false),
        (remove("Anonymous"), "BEARER x y", false),
        (remove("Anonymous"), " Bearer a.b.c", false),
        (remove("Anonymous"), "Bearer:a.b.c", false),
        (remove("Anonymous"), "Basic YTpi", true),
        (remove("Anonymous"), "DPoP a.b.c", true),
        (remove("Anonymous"), "", true),
    ] {
        let (removed, headers) = forward(policy, &[("authorization", value)]);
        assert_eq!(headers.contains_key("authorization"), stays, "{value}");
        assert_eq!(removed.contains(&"authorization".to_owned()), !stays, "{value}");
    }
}

#[test]
fn another_scheme_passes_on_anonymous_rules_only() {
    let callers = require(json!({"callers": [{"ca": "cluster", "serviceAccount": "web/web"}]}));
    for access in [json!("Certificate"), callers] {
        let policy = body(json!({"tls": {"mode": "Mutual"}, "rules": [rule(json!({ "access": access }))]}));
        let ruleset = Ruleset::new(&serde_json::from_value(policy).unwrap()).unwrap();
        let headers = header_map(&[("host", "a"), ("authorization", "Basic YTpi")]);
        let uri = Uri::from_static("/");
        let head = RequestHead { method: &Method::GET, uri: &uri, version: Version::HTTP_11, headers: &headers };
        let request = CanonicalRequest::read(&head, ruleset.paths(), &SizeLimits::default()).unwrap();
        let account = Some("web/web".into());
        let certificate = PeerCertificate { ca: "cluster".into(), service_account: account, ..Default::default() };
        let peer = Peer { certificate: Some(certificate), ..Peer::default() };
        let question = Question {
            ruleset: &ruleset,
            head,
            request: &request,
            peer: &peer,
            now: Timestamp::from_millis(0),
            begun: Timestamp::from_millis(0),
        };
        let Decision::Granted(granted) = decide(question, &mut Believe(&ruleset, json!({}))) else { panic!("refused") };
        assert_eq!(removed(&granted.discharge(), &headers), [header::AUTHORIZATION]);
    }
}

#[test]
fn crumbs_of_cookies_become_one_field() {
    let (_, headers) = forward(json!({}), &[("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")]);
    assert_eq!(all(&headers, "cookie"), ["a=b; c=d; e=f"]);
    let (_, headers) = forward(json!({}), &[("cookie", "a=b;c=d")]);
    assert_eq!(all(&headers, "cookie"), ["a=b;c=d"]);
}

#[test]
fn the_application_sees_one_length() {
    let (_, headers) = forward(json!({}), &[("content-length", "7"), ("content-length", "7")]);
    assert_eq!(all(&headers, "content-length"), ["7"]);
}
