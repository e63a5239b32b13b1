//! Nothing ambiguous and nothing forged reaches the application.

use crate::support::{App, Fixture};
use policy::wire::TlsMode;

#[tokio::test]
async fn identity_and_proxy_fields_of_the_client_never_pass() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let forged = [
        ("x-user", "root"),
        ("x_user", "root"),
        ("X-User", "root"),
        ("x-forwarded-for", "198.51.100.1"),
        ("x_forwarded_for", "198.51.100.1"),
        ("x-forwarded-host", "evil.test"),
        ("forwarded", "for=198.51.100.1"),
        ("x-real-ip", "198.51.100.1"),
        ("x-request-id", "mine"),
        ("x-original-url", "/orders/7"),
        ("x-http-method-override", "DELETE"),
        ("proxy-authorization", "Basic YQ=="),
    ];
    let alice = proxy.alice();
    let own = [
        ("authorization", alice.as_str()),
        ("connection", "x-user, authorization, host"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
    ];
    for path in ["/open/a", "/orders/7"] {
        let answer = proxy.client().get(path, &[&forged[..], &own].concat()).await;
        assert_eq!(answer.status, 200);
        let seen = app.last();
        let user: &[&str] = if path == "/orders/7" { &["alice"] } else { &[] };
        assert_eq!(seen.header("x-user"), user);
        assert_eq!(
            (seen.header("x-forwarded-for"), seen.header("x-forwarded-host")),
            (vec!["127.0.0.1"], vec!["orders.test"])
        );
        assert_eq!(seen.header("x-request-id").len(), 1);
        assert_ne!(seen.header("x-request-id"), ["mine"]);
        for name in [
            "x_user",
            "x_forwarded_for",
            "forwarded",
            "x-real-ip",
            "x-original-url",
            "x-http-method-override",
            "proxy-authorization",
            "te",
            "upgrade",
            "connection",
            "authorization",
        ] {
            assert!(seen.header(name).is_empty(), "{name}: {:?}", seen.header(name));
        }
    }
}

#[tokio::test]
async fn path_variants_never_reach_the_application() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    for (target, status, code) in [
        ("/open/../internal", 400, "bad_request/dot_segment"),
        ("/open/%2e%2e/internal", 400, "bad_request/dot_segment"),
        ("/open/..;/internal", 400, "bad_request/matrix_parameter"),
        ("/open/%2f..%2finternal", 400, "bad_request/encoded_slash"),
        ("/open//internal", 400, "bad_request/empty_segment"),
        ("/open/\\..\\internal", 400, "bad_request/backslash"),
        ("/open/%5c..", 400, "bad_request/backslash"),
        ("/open/%252e%252e", 400, "bad_request/double_escape"),
        ("/open/%00", 400, "bad_request/control_character"),
        ("/open/%c0%ae", 400, "bad_request/bad_utf8"),
        ("/open/%zz", 400, "bad_request/bad_escape"),
        ("/ME", 403, "path_case"),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: orders.test\r\nconnection: close\r\n\r\n");
        let answer = proxy.client().raw(head.as_bytes()).await;
        let wanted = code.split('/').map(|word| format!("\"{word}\"")).collect::<Vec<_>>();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{target}: {answer}");
        assert!(wanted.iter().all(|word| answer.contains(word)), "{target}: {answer}");
    }
    assert_eq!(app.seen().len(), 0);
    // What may pass arrives in the one form that was decided on.
    let answer = proxy
        .client()
        .raw(b"GET /open/%7Ea%c3%a9?q=%2e HTTP/1.1\r\nhost: ORDERS.test.\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"));
    assert_eq!((app.last().target.as_str(), app.last().header("host")), ("/open/~a%C3%A9?q=%2e", vec!["orders.test"]));
}

/// The fragment is none of a target's (RFC 9112, section 3.2), and parsers leave nothing of these.
#[tokio::test]
async fn a_target_without_a_path_is_the_root() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut body = crate::support::body(TlsMode::Mutual);
    body.rules[0].path = "/**".into();
    proxy.apply(&body);
    for target in ["http://orders.test", "http://orders.test#", "http://orders.test#/internal"] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: orders.test\r\nconnection: close\r\n\r\n");
        let answer = proxy.client().raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{target}: {answer}");
        assert_eq!(app.last().target, "/", "{target}");
    }
}

#[tokio::test]
async fn hosts_and_methods_that_two_readers_could_take_differently_are_refused() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    for (head, detail) in [
        ("GET /open/a HTTP/1.1\r\nconnection: close\r\n\r\n", "host"),
        ("GET /open/a HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n", "host"),
        ("GET http://b/open/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "authority_mismatch"),
        ("OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "target_form"),
        ("TRACE /open/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "method"),
        ("get /open/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "method"),
        ("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n", "method"),
        (
            "GET /open/a HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a\r\nauthorization: Bearer b\r\nconnection: close\r\n\r\n",
            "several_credentials",
        ),
    ] {
        let answer = proxy.client().raw(head.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") && answer.contains(&format!("\"detail\":\"{detail}\"")),
            "{head}: {answer}"
        );
    }
    let answer =
        proxy.client().raw(b"GET /open/a HTTP/1.1\r\nhost: a\r\nexpect: 200-ok\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 417"), "{answer}");
    assert_eq!(app.seen().len(), 0);
}
