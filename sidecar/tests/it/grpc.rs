//! gRPC: HTTP/2 to the application, trailers, and refusals that its clients can read.

use crate::support::{App, Fixture, H2App, Script, body};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use policy::wire::{AppProtocol, Body, TlsMode};
use serde_json::json;
use sidecar::Limits;
use std::collections::VecDeque;
use std::net::SocketAddr;

fn h2c(mode: TlsMode) -> Body {
    let mut body = body(mode);
    body.forward.protocol = AppProtocol::H2c;
    body
}

fn start(app: SocketAddr) -> Fixture {
    let proxy = Fixture::start(TlsMode::Optional, app);
    proxy.apply(&h2c(TlsMode::Optional));
    proxy
}

async fn connect(proxy: &Fixture) -> SendRequest<Script> {
    let stream = proxy.client().connect(Some(b"h2")).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A call with one message, and trailers behind it where there are any.
fn call(path: &str, trailers: &[(&'static str, &'static str)]) -> Request<Script> {
    let mut frames = VecDeque::from([Frame::data(Bytes::from_static(b"message"))]);
    if !trailers.is_empty() {
        let fields = trailers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        frames.push_back(Frame::trailers(fields.collect()));
    }
    Request::post(format!("https://orders.test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Script { frames, ends: true })
        .unwrap()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

async fn read(response: Response<Incoming>) -> (Bytes, HeaderMap) {
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    (collected.to_bytes(), trailers)
}

#[tokio::test]
async fn a_call_passes_with_its_trailers() {
    let app = H2App::start(100).await;
    let proxy = start(app.address);
    let mut sender = connect(&proxy).await;
    let trailers = [("x-checksum", "7"), ("x-user", "mallory"), ("authorization", "Bearer x")];
    let response = sender.send_request(call("/open/orders.Orders/Get", &trailers)).await.unwrap();
    assert_eq!((response.status().as_u16(), text(response.headers(), "content-type")), (200, "application/grpc"));
    let (message, trailers) = read(response).await;
    assert_eq!((&message[..], &trailers["grpc-status"]), (&b"message"[..], &HeaderValue::from_static("0")));
    let seen = app.calls().pop().unwrap();
    assert_eq!((seen.version, seen.target.as_str()), (Version::HTTP_2, "http://orders.test/open/orders.Orders/Get"));
    assert_eq!((text(&seen.headers, "te"), text(&seen.headers, "x-forwarded-proto")), ("trailers", "https"));
    assert!(!seen.headers.contains_key("host") && !seen.headers.contains_key("transfer-encoding"));
    let trailers = seen.trailers.unwrap();
    assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-checksum"], "nothing about the caller comes from trailers");
}

#[tokio::test]
async fn calls_share_connections_as_far_as_the_application_allows() {
    for (allowed, calls, connections) in [(100, 60, 1..=2), (5, 60, 2..=60)] {
        let app = H2App::start(allowed).await;
        let proxy = start(app.address);
        let sender = connect(&proxy).await;
        // The application's settings are known from here on.
        read(sender.clone().send_request(call("/open/x", &[])).await.unwrap()).await;
        let all = (0..calls).map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move { read(sender.send_request(call("/open/x", &[])).await.unwrap()).await })
        });
        for one in all.collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap().1["grpc-status"], "0");
        }
        assert!(connections.contains(&app.connections()), "{allowed}: {}", app.connections());
        assert_eq!(app.calls().len(), calls + 1);
    }
}

#[tokio::test]
async fn http1_callers_reach_such_an_application_too() {
    let app = H2App::start(100).await;
    let proxy = start(app.address);
    let chunked = "POST /open/x HTTP/1.1\r\nhost: orders.test\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\nx-checksum: 7\r\n\r\n";
    let answer = proxy.client().raw(chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = app.calls().pop().unwrap();
    assert_eq!((&seen.body[..], seen.trailers.map(|trailers| trailers.len())), (&b"abc"[..], Some(1)));
    let opening = "GET /open/ws HTTP/1.1\r\nhost: orders.test\r\nconnection: Upgrade, close\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    let answer = proxy.client().raw(opening.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "no change of protocol over HTTP/2: {answer}");
    assert!(!app.calls().pop().unwrap().headers.contains_key("upgrade"));
}

#[tokio::test]
async fn an_application_that_is_not_there_or_speaks_another_protocol() {
    let proxy = start(([127, 0, 0, 1], 1).into());
    let response = connect(&proxy).await.send_request(call("/open/x", &[])).await.unwrap();
    assert_eq!(
        (text(response.headers(), "grpc-status"), text(response.headers(), "grpc-message")),
        ("14", "app_unreachable")
    );
    let http1 = App::start().await;
    let proxy = start(http1.address);
    let response = connect(&proxy).await.send_request(call("/open/x", &[])).await.unwrap();
    assert_eq!(
        (text(response.headers(), "grpc-status"), text(response.headers(), "grpc-message")),
        ("14", "app_unreachable")
    );
}

/// The table of decisions, through the socket: the status is 200, and all is said in the head (gRPC over HTTP/2,
/// "Trailers-Only").
#[tokio::test]
async fn refusals_are_answers_that_grpc_clients_read() {
    let app = H2App::start(100).await;
    let proxy = start(app.address);
    let mut sender = connect(&proxy).await;
    let other = crate::support::Signer::new("k1").bearer(json!({}));
    let unscoped = proxy.signer.bearer(json!({"scope": "other"}));
    let large = "a".repeat(33 * 1024);
    let realm = r#"Bearer realm="orders""#;
    let invalid = r#"Bearer realm="orders", error="invalid_token""#;
    let scope = r#"Bearer realm="orders", error="insufficient_scope", scope="orders:read""#;
    for (path, field, status, code, challenge) in [
        ("/open//x", ("x", "y"), "3", "bad_request", ""),
        ("/open/x", ("expect", "x"), "3", "expectation", ""),
        ("/open/x", ("x-large", large.as_str()), "8", "headers_too_large", ""),
        ("/open/x", ("content-length", "99999999999"), "8", "body_too_large", ""),
        ("/.doorward/x", ("x", "y"), "5", "not_found", ""),
        ("/other", ("x", "y"), "7", "no_rule", ""),
        ("/me", ("x", "y"), "16", "token_missing", realm),
        ("/me", ("authorization", other.as_str()), "16", "token_invalid", invalid),
        ("/orders/7", ("authorization", unscoped.as_str()), "7", "insufficient_scope", scope),
    ] {
        let mut request = call(path, &[]);
        if field.0 == "content-length" {
            request.body_mut().ends = false;
        }
        if path == "/orders/7" {
            *request.method_mut() = http::Method::PUT;
        }
        request
            .headers_mut()
            .insert(http::HeaderName::from_bytes(field.0.as_bytes()).unwrap(), field.1.parse().unwrap());
        let response = sender.send_request(request).await.unwrap();
        let text = |name: &str| text(response.headers(), name);
        assert_eq!(
            (response.status().as_u16(), text("grpc-status"), text("grpc-message")),
            (200, status, code),
            "{path} {}",
            field.0
        );
        assert_eq!(text("www-authenticate"), challenge, "{code}");
        assert_eq!((text("content-type"), text("cache-control")), ("application/grpc", "no-store"));
        assert!(!text("x-request-id").is_empty());
        let (rest, trailers) = read(response).await;
        assert!(rest.is_empty() && trailers.is_empty(), "{code}");
    }
    assert!(app.calls().is_empty());
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_given_up() {
    let app = H2App::start(100).await;
    let keep = std::time::Duration::from_millis(100);
    let proxy = Fixture::with_limits(TlsMode::Optional, app.address, Limits { pool_idle: keep, ..Limits::default() });
    proxy.apply(&h2c(TlsMode::Optional));
    let sender = connect(&proxy).await;
    let ask = || async { read(sender.clone().send_request(call("/open/x", &[])).await.unwrap()).await };
    ask().await;
    ask().await;
    assert_eq!(app.connections(), 1);
    tokio::time::sleep(keep * 3).await;
    ask().await;
    assert_eq!((app.connections(), app.calls().len()), (2, 3));
}
