//! Answers that last are decided anew while they last.

use crate::support::{Client, Fixture, H2App, RawApp, Script, body, eventually, read_all};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use policy::wire::{Access, AppProtocol, Require, TlsMode};
use serde_json::json;
use std::collections::VecDeque;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// What the rules of decisions.md and the check every second leave.
const END: Duration = Duration::from_secs(5);

/// Answers with an event at once and then with one in every so much time, for ever.
async fn events(every: Duration) -> RawApp {
    RawApp::start(move |_, mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        while stream.write_all(b"9\r\ndata: 1\n\n\r\n").await.is_ok() {
            tokio::time::sleep(every).await;
        }
    })
    .await
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A token that the leeway lets live for some two seconds more.
fn short_lived(proxy: &Fixture) -> String {
    proxy.signer.bearer(json!({"exp": now() - 28}))
}

async fn send_h2(client: &Client, request: Request<Script>) -> Response<Incoming> {
    let stream = client.connect(Some(b"h2")).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

fn request(path: &str, authorization: &str) -> http::request::Builder {
    Request::post(format!("https://orders.test{path}")).header("authorization", authorization)
}

/// A message, and no end.
fn open_ended() -> Script {
    Script { frames: VecDeque::from([Frame::data(Bytes::from_static(b"message"))]), ends: false }
}

/// Everything that comes: bytes, trailers, and whether it ended as it should.
async fn collect(response: Response<Incoming>) -> (Vec<u8>, Option<HeaderMap>, bool) {
    let (mut bytes, mut body) = (Vec::new(), response.into_body());
    let reading = async {
        loop {
            match body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => bytes.extend_from_slice(&data),
                    Err(last) => return (Some(last.into_trailers().unwrap()), true),
                },
                Some(Err(_)) => return (None, false),
                None => return (None, true),
            }
        }
    };
    let (trailers, whole) = tokio::time::timeout(END * 2, reading).await.expect("it ends");
    (bytes, trailers, whole)
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_token_and_not_before() {
    for every in [Duration::from_millis(50), Duration::from_secs(3600)] {
        let app = events(every).await;
        let proxy = Fixture::start(TlsMode::Optional, app.address);
        let head = format!("GET /me HTTP/1.1\r\nhost: orders.test\r\nauthorization: {}\r\n\r\n", short_lived(&proxy));
        let start = Instant::now();
        let answer = proxy.client().raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("data: 1"), "{answer}");
        assert!(!answer.ends_with("\r\n0\r\n\r\n"), "its caller sees that it is cut off");
        assert!((Duration::from_secs(1)..END).contains(&start.elapsed()), "{:?}", start.elapsed());

        let request = request("/me", &short_lived(&proxy)).body(Script { frames: VecDeque::new(), ends: true });
        let (bytes, trailers, whole) = collect(send_h2(&proxy.client(), request.unwrap()).await).await;
        assert!(bytes.starts_with(b"data: 1") && trailers.is_none() && !whole, "the stream is reset");
    }
}

#[tokio::test]
async fn a_streamed_call_ends_with_a_status_and_so_does_its_other_half() {
    let app = H2App::start(100).await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    let mut body = body(TlsMode::Optional);
    body.forward.protocol = AppProtocol::H2c;
    proxy.apply(&body);
    body.rules.push(policy::wire::Rule { path: "/me/stream".into(), ..body.rules[1].clone() });
    proxy.apply(&body);
    let request = request("/me/stream", &short_lived(&proxy)).header("content-type", "application/grpc");
    let response = send_h2(&proxy.client(), request.body(open_ended()).unwrap()).await;
    let (bytes, trailers, _) = collect(response).await;
    let trailers = trailers.unwrap();
    assert_eq!((&bytes[..], trailers["grpc-status"].as_bytes()), (&b"first"[..], &b"16"[..]));
    assert_eq!(trailers["grpc-message"], "token_invalid");
    eventually("the application learns that the call is over", || async { app.calls().len() == 2 }).await;
    assert!(!app.calls()[1].whole);
}

#[tokio::test]
async fn a_change_of_policy_ends_streams_and_age_does_not() {
    let app = events(Duration::from_millis(50)).await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    let mut body = body(TlsMode::Optional);
    body.issuers[0].max_token_age_ms = Some(1_000);
    proxy.apply(&body);
    // Old enough in two seconds, which counts for the opening only.
    let token = proxy.signer.bearer(json!({"iat": now() - 29}));
    let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    let head = format!("GET /me HTTP/1.1\r\nhost: orders.test\r\nauthorization: {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut chunk = [0; 4096];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        assert!(stream.read(&mut chunk).await.unwrap() > 0, "it goes on");
    }
    assert_eq!(proxy.client().get("/me", &[("authorization", &token)]).await.code(), "token_invalid/token_too_old");
    // The rule stays, and so does the stream; then the rule asks for more.
    body.rules.truncate(2);
    proxy.apply(&body);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        assert!(stream.read(&mut chunk).await.unwrap() > 0, "it goes on");
    }
    body.rules[1].access = Access::Certificate;
    proxy.apply(&body);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        assert!(stream.read(&mut chunk).await.unwrap() > 0, "this caller has a certificate");
    }
    body.rules.truncate(1);
    proxy.apply(&body);
    read_all(&mut stream).await;
    assert!(start.elapsed() < END * 2, "{:?}", start.elapsed());
}

/// A token that has grown too old for new requests hides nothing from the checks behind it.
#[tokio::test]
async fn a_stricter_rule_ends_streams_whose_token_has_aged() {
    let app = events(Duration::from_millis(50)).await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    let mut body = body(TlsMode::Optional);
    body.issuers[0].max_token_age_ms = Some(1_000);
    proxy.apply(&body);
    let token = proxy.signer.bearer(json!({"iat": now() - 30}));
    let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    let head = format!("GET /me HTTP/1.1\r\nhost: orders.test\r\nauthorization: {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    let (start, mut chunk) = (Instant::now(), [0; 4096]);
    while start.elapsed() < Duration::from_secs(3) {
        assert!(stream.read(&mut chunk).await.unwrap() > 0, "it goes on");
    }
    assert_eq!(proxy.client().get("/me", &[("authorization", &token)]).await.code(), "token_invalid/token_too_old");
    body.rules[1].access = Access::Require(Box::new(Require { roles: vec!["admin".into()], ..Require::default() }));
    proxy.apply(&body);
    let start = Instant::now();
    read_all(&mut stream).await;
    assert!(start.elapsed() < END * 2, "{:?}", start.elapsed());
}

/// The application takes its time for a head; meanwhile the policy changes.
#[tokio::test]
async fn who_waits_for_an_answer_is_told() {
    let app = RawApp::start(|_, mut stream| async move {
        let mut sink = [0; 1024];
        while let Ok(1..) = stream.read(&mut sink).await {}
    })
    .await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    for upload in ["content-length: 0\r\n\r\n", "content-length: 100\r\n\r\nabc"] {
        proxy.apply(&body(TlsMode::Optional));
        let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
        stream.write_all(format!("PUT /open/x HTTP/1.1\r\nhost: orders.test\r\n{upload}").as_bytes()).await.unwrap();
        // So that the request is on its way when the policy changes.
        assert!(tokio::time::timeout(Duration::from_millis(300), stream.read_u8()).await.is_err());
        let mut other = body(TlsMode::Optional);
        other.rules[0].access = Access::Authenticated;
        proxy.apply(&other);
        let mut head = vec![0; 12];
        tokio::time::timeout(END, stream.read_exact(&mut head)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&head), "HTTP/1.1 401");
    }
}

/// The answer to a plaintext caller goes on while the policy begins to ask for TLS and a certificate.
#[tokio::test]
async fn a_stream_of_events_in_plaintext_ends_when_tls_becomes_a_duty() {
    for every in [Duration::from_millis(50), Duration::from_secs(3600)] {
        let app = events(every).await;
        let proxy = Fixture::start(TlsMode::Permissive, app.address);
        let mut plain = tokio::net::TcpStream::connect(proxy.running.address).await.unwrap();
        let mut known = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
        let head = b"GET /open/x HTTP/1.1\r\nhost: orders.test\r\n\r\n";
        plain.write_all(head).await.unwrap();
        known.write_all(head).await.unwrap();
        let mut start = [0; 12];
        for read in [plain.read_exact(&mut start).await, known.read_exact(&mut start).await] {
            assert_eq!(read.unwrap(), start.len());
        }
        proxy.apply(&body(TlsMode::Mutual));
        let start = Instant::now();
        let rest = read_all(&mut plain).await;
        assert!(start.elapsed() < END + Duration::from_secs(2), "{:?}", start.elapsed());
        assert!(rest.contains("data: 1") && !rest.ends_with("\r\n0\r\n\r\n"), "its caller sees that it is cut off");
        // What has arrived meanwhile is read until nothing is left: this one is still open.
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(read) = tokio::time::timeout(Duration::from_millis(20), known.read(&mut chunk)).await {
            assert!(read.unwrap() > 0, "a certificate is all that is asked for");
        }
    }
}
