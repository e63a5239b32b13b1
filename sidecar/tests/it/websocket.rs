//! The one change of protocol that passes.

use crate::support::{Fixture, RawApp, body, read_all};
use policy::wire::TlsMode;
use sidecar::Limits;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const OPENING: &str = "connection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";

/// Records heads; answers with `answer`, then echoes bytes.
async fn app(answer: &'static str, heads: Arc<Mutex<Vec<String>>>) -> RawApp {
    RawApp::start(move |_, mut stream| {
        let heads = Arc::clone(&heads);
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { return };
                head.push(byte);
            }
            heads.lock().unwrap().push(String::from_utf8(head).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut chunk = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut chunk).await {
                if stream.write_all(&chunk[..count]).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x01\x05first";

async fn open(proxy: &Fixture, path: &str, fields: &str) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n").as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn an_agreed_tunnel_carries_bytes_both_ways_longer_than_a_head_may_take() {
    let heads = Arc::default();
    let app = app(SWITCHING, Arc::clone(&heads)).await;
    let short = Duration::from_millis(100);
    let proxy =
        Fixture::with_limits(TlsMode::Mutual, app.address, Limits { head: short, request: short, ..Limits::default() });
    let mut stream = open(&proxy, "/open/ws", OPENING).await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"first") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101") && answer.contains("sec-websocket-accept"), "{answer}");
    for _ in 0..3 {
        stream.write_all(b"\x81\x02hi").await.unwrap();
        let mut echoed = [0; 4];
        stream.read_exact(&mut echoed).await.unwrap();
        assert_eq!(&echoed, b"\x81\x02hi");
        assert!(tokio::time::timeout(short * 2, stream.read_u8()).await.is_err(), "it stays open");
    }
    let head = heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(head.contains("\r\nupgrade: websocket\r\n") && head.contains("\r\nconnection: upgrade\r\n"), "{head}");
}

#[tokio::test]
async fn an_idle_tunnel_ends() {
    let app = app(SWITCHING, Arc::default()).await;
    let proxy = Fixture::with_limits(
        TlsMode::Mutual,
        app.address,
        Limits { idle: Duration::from_millis(150), ..Limits::default() },
    );
    let mut stream = open(&proxy, "/open/ws", OPENING).await;
    assert!(read_all(&mut stream).await.ends_with("first"));
}

#[tokio::test]
async fn an_application_that_does_not_agree_gets_no_tunnel() {
    let heads = Arc::default();
    let app = app("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno", Arc::clone(&heads)).await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut stream = open(&proxy, "/open/ws", OPENING).await;
    stream.write_all(b"GET /internal2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(
        answer.contains("\r\n\r\nno") && answer.matches("HTTP/1.1 ").count() == 2 && answer.contains("no_rule"),
        "{answer}"
    );
    assert_eq!(heads.lock().unwrap().len(), 1, "what follows is a request, and it is decided");
}

#[tokio::test]
async fn another_protocol_than_the_one_asked_for_opens_nothing() {
    let app =
        app("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\nfirst", Arc::default())
            .await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut stream = open(&proxy, "/open/ws", &format!("{OPENING}connection: close\r\n")).await;
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 502") && !answer.contains("first"), "{answer}");
}

#[tokio::test]
async fn refused_or_unknown_upgrades_open_nothing() {
    let heads = Arc::default();
    let app = app(SWITCHING, Arc::clone(&heads)).await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut stream = open(&proxy, "/me", &format!("{OPENING}connection: close\r\n")).await;
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 401"));
    assert!(heads.lock().unwrap().is_empty());
    // Not asked for by us, so a 101 is no answer.
    let mut stream = open(&proxy, "/open/ws", "connection: upgrade, close\r\nupgrade: h2c\r\n").await;
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 502") && !answer.contains("first"), "{answer}");
    let head = heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(!head.contains("upgrade"), "{head}");
}

/// The policy changes under an open tunnel: first in a way that allows it still, then in one that does not.
#[tokio::test]
async fn a_tunnel_ends_when_it_would_no_longer_be_opened() {
    let app = app(SWITCHING, Arc::default()).await;
    let proxy = Fixture::start(TlsMode::Permissive, app.address);
    let mut stream = open(&proxy, "/open/ws", OPENING).await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"first") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let mut other = body(TlsMode::Permissive);
    other.rules.truncate(1);
    proxy.apply(&other);
    stream.write_all(b"\x81\x02on").await.unwrap();
    let mut echoed = [0; 4];
    stream.read_exact(&mut echoed).await.unwrap();
    other.rules[0].access = policy::wire::Access::Authenticated;
    proxy.apply(&other);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(rest, [0x88, 2, 0x03, 0xf0], "a close frame that says 1008");
}

/// Nobody may speak plaintext any more, and the application's other half learns it too.
#[tokio::test]
async fn a_tunnel_in_plaintext_ends_when_tls_becomes_a_duty() {
    let app = app(SWITCHING, Arc::default()).await;
    let proxy = Fixture::start(TlsMode::Permissive, app.address);
    let mut plain = tokio::net::TcpStream::connect(proxy.running.address).await.unwrap();
    plain.write_all(format!("GET /open/ws HTTP/1.1\r\nhost: a\r\n{OPENING}\r\n").as_bytes()).await.unwrap();
    let mut known = open(&proxy, "/open/ws", OPENING).await;
    for stream in [&mut plain as &mut dyn Stream, &mut known] {
        let mut answer = Vec::new();
        while !answer.ends_with(b"first") {
            answer.push(stream.read_u8().await.unwrap());
        }
    }
    proxy.apply(&body(TlsMode::Mutual));
    let start = tokio::time::Instant::now();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), plain.read_to_end(&mut rest)).await.expect("it ends");
    assert_eq!(rest, [0x88, 2, 0x03, 0xf0], "a close frame that says 1008");
    // Five seconds (decisions.md), and two for a machine that is busy with other tests.
    assert!(start.elapsed() < Duration::from_secs(7), "{:?}", start.elapsed());
    known.write_all(b"\x81\x02on").await.unwrap();
    let mut echoed = [0; 4];
    known.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"\x81\x02on", "a certificate is all that is asked for");
}

trait Stream: tokio::io::AsyncRead + Unpin {}
impl<T: tokio::io::AsyncRead + Unpin> Stream for T {}
