//! Every bound and every time bites.

use crate::support::{App, Fixture, RawApp, body, eventually, read_all};
use bytes::Bytes;
use http::Request;
use policy::request::SizeLimits;
use policy::wire::{FORMAT, KeysMessage, RulesetMessage, Snapshot, TlsMode};
use sidecar::limits::H1_HEAD;
use sidecar::settings::PortSettings;
use sidecar::{Limits, Settings, State};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Short enough for a test, and every other time far beyond its patience.
const SHORT: Duration = Duration::from_millis(150);

fn patient() -> Limits {
    let long = Duration::from_secs(3600);
    Limits { handshake: long, head: long, request: long, idle: long, connect: long, ..Limits::default() }
}

async fn silent_app() -> RawApp {
    RawApp::start(|_, mut stream| async move {
        let mut sink = [0; 1024];
        while let Ok(1..) = stream.read(&mut sink).await {}
    })
    .await
}

/// A place is taken by a connection, not by whoever waits for one: a port without callers takes none from another.
#[tokio::test]
async fn one_place_serves_every_port() {
    let app = App::start().await;
    let state = Arc::new(State::for_ports(&[1, 2]));
    let body = body(TlsMode::Plaintext);
    let rulesets = [1, 2].map(|port| RulesetMessage::new(port, 1, &body).unwrap()).into();
    let keys = vec![KeysMessage::new("main".into(), "https://a".into(), r#"{"keys":[]}"#).unwrap()];
    state.apply(&Snapshot { format: FORMAT, rulesets, keys }, &[]).unwrap();
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let ports = [1, 2].map(|port| PortSettings { port, listen: listen.clone(), upstream: app.address });
    let limits = Limits { connections: 1, ..patient() };
    let settings = Settings { workers: 2, limits, ..Settings::for_ports(ports.into(), Arc::default()) };
    let running = sidecar::start(settings, state).unwrap();
    for _ in 0..3 {
        for (port, address) in running.addresses() {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /open/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
            assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 200"), "port {port}");
        }
    }
    running.stop();
}

#[tokio::test]
async fn heads_and_bodies_that_are_too_large() {
    let app = App::start().await;
    let limits = Limits { size: SizeLimits { headers: 32 * 1024, body: 1000 }, ..patient() };
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, limits);
    let client = proxy.client();
    let large = "a".repeat(33 * 1024);
    assert_eq!(client.get("/open/a", &[("x", &large)]).await.code(), "headers_too_large");
    let request = Request::get("https://orders.test/open/a").header("x", &large).body(Bytes::new()).unwrap();
    assert_eq!(client.send_h2(request).await.unwrap().code(), "headers_too_large");
    let many: Vec<_> = (0..150).map(|_| ("x", "")).collect();
    assert_eq!(client.get("/open/a", &many).await.status, 431);
    assert_eq!(client.get("/open/a", &[("x", &"a".repeat(31 * 1024))]).await.status, 200);

    let seen = app.seen().len();
    let post = |body: &str| format!("POST /open/a HTTP/1.1\r\nhost: a\r\n{body}");
    let declared = client.raw(post("content-length: 1001\r\n\r\n").as_bytes()).await;
    assert!(
        declared.starts_with("HTTP/1.1 413")
            && declared.contains("\r\nconnection: close\r\n")
            && declared.contains("body_too_large"),
        "{declared}"
    );
    let chunk = format!("200\r\n{}\r\n", "a".repeat(0x200));
    let streamed =
        client.raw(post(&format!("transfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n")).as_bytes()).await;
    assert!(
        streamed.starts_with("HTTP/1.1 413")
            && streamed.contains("\r\nconnection: close\r\n")
            && streamed.contains("body_too_large"),
        "{streamed}"
    );
    assert_eq!(app.seen().len(), seen, "the application never saw a whole one");
    let exact = client
        .raw(post(&format!("connection: close\r\ncontent-length: 1000\r\n\r\n{}", "a".repeat(1000))).as_bytes())
        .await;
    assert!(exact.starts_with("HTTP/1.1 200"), "{exact}");
}

/// The parser gives up with bytes unread, so its own 431 may be lost to a reset; what counts is that nothing passes, and that an
/// unfinished head of that size is held and one of a little more is not.
#[tokio::test]
async fn a_head_beyond_the_parser_is_cut_off() {
    let app = App::start().await;
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, patient());
    let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    stream.write_all(b"GET /open/a HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    let held = [b'a'; H1_HEAD - 1024];
    stream.write_all(&[b"x: ", &held[..]].concat()).await.unwrap();
    let mut answer = [0; 1024];
    let silent = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut answer)).await;
    assert!(silent.is_err(), "it waits for the rest: {silent:?}");
    let _ = stream.write_all(&[b'a'; 1024]).await;
    // An answer or the end, and in either case no wait for more.
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut answer)).await.expect("it is cut off");
    assert!(ended.is_err() || !String::from_utf8_lossy(&answer).contains(" 200 "), "{ended:?}");
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test]
async fn a_streamed_body_that_is_too_large_over_http2() {
    use futures_free::Chunks;
    let app = App::start().await;
    let limits = Limits { size: SizeLimits { headers: 32 * 1024, body: 1000 }, ..patient() };
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, limits);
    let stream = proxy.client().connect(Some(b"h2")).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let request = Request::post("https://orders.test/open/a").body(Chunks(vec![600, 600])).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 413);
    assert_eq!(app.seen().len(), 0);
}

/// A body in pieces, its length not declared.
mod futures_free {
    use bytes::Bytes;
    use http_body::{Body, Frame};
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    pub(super) struct Chunks(pub(super) Vec<usize>);

    impl Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop().map(|size| Ok(Frame::data(Bytes::from(vec![b'a'; size])))))
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let app = App::start().await;
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, Limits { request: SHORT, ..patient() });
    let answer = proxy.client().raw(b"POST /open/a HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc").await;
    assert!(
        answer.starts_with("HTTP/1.1 408")
            && answer.contains("\r\nconnection: close\r\n")
            && answer.contains("request_timeout"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_that_stands_still_is_408() {
    let app = App::start().await;
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, Limits { idle: SHORT, ..patient() });
    let answer = proxy.client().raw(b"POST /open/a HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn an_application_that_does_not_answer_is_504() {
    let app = silent_app().await;
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, Limits { request: SHORT, ..patient() });
    let answer = proxy.client().get("/open/a", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (504, "app_timeout"));
    let over_h2 = proxy.client().send_h2(Request::get("https://a/open/a").body(Bytes::new()).unwrap()).await.unwrap();
    assert_eq!(over_h2.code(), "app_timeout");
}

#[tokio::test]
async fn an_application_that_is_not_there_or_goes_away_is_502() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Fixture::with_limits(TlsMode::Mutual, gone, patient());
    assert_eq!(proxy.client().get("/open/a", &[]).await.code(), "app_unreachable");
    let resets = RawApp::start(|_, mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    let proxy = Fixture::with_limits(TlsMode::Mutual, resets.address, patient());
    assert_eq!(proxy.client().get("/open/a", &[]).await.code(), "app_reset");
    let garbage = RawApp::start(|_, mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"SSH-2.0-x\r\n\r\n").await;
    })
    .await;
    let proxy = Fixture::with_limits(TlsMode::Mutual, garbage.address, patient());
    assert_eq!(proxy.client().get("/open/a", &[]).await.code(), "app_reset");
}

#[tokio::test]
async fn an_answer_that_stands_still_is_broken_off() {
    let app = RawApp::start(|_, mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, Limits { idle: SHORT, ..patient() });
    let answer = proxy.client().raw(b"GET /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nabc"), "{answer}");
}

#[tokio::test]
async fn slow_handshakes_and_heads_are_closed_without_an_answer() {
    let app = App::start().await;
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, Limits { handshake: SHORT, ..patient() });
    for bytes in [&b""[..], b"\x16", b"\x16\x03\x01\x01\x00"] {
        let mut stream = TcpStream::connect(proxy.running.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        assert_eq!(read_all(&mut stream).await, "");
    }
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, Limits { head: SHORT, ..patient() });
    let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    stream.write_all(b"HEAD /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    for part in ["GET /open/b", " HTTP/1.1\r\n"] {
        stream.write_all(part.as_bytes()).await.unwrap();
    }
    assert_eq!(read_all(&mut stream).await, "", "the second head never ends");
    assert_eq!(app.seen().len(), 1);
}

/// A frame (RFC 9113, section 4.1) of stream 1, or of the connection.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let stream = u8::from(kind != SETTINGS);
    [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream], payload].concat()
}

const SETTINGS: u8 = 4;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// POST https://a/open/a (RFC 7541: indexed fields, and two literals without indexing).
const FIELDS: &[u8] = b"\x83\x87\x01\x01a\x04\x07/open/a";

/// However it stands still or trickles: what has begun over HTTP/2 ends within the time of a head, and a body may take longer.
#[tokio::test]
async fn slow_heads_over_http2_are_closed_without_an_answer() {
    let app = App::start().await;
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, Limits { head: SHORT, ..patient() });
    let begun = [PREFACE, &frame(SETTINGS, 0, b"")].concat();
    let (headers, ends_headers) = (frame(1, 0, FIELDS), frame(1, 4, FIELDS));
    for slow in [
        PREFACE[..9].to_vec(),
        [&begun, &ends_headers[..1]].concat(),
        [&begun, &ends_headers[..12]].concat(),
        [&begun, &headers[..]].concat(),
        [&begun, &headers[..], &frame(9, 0, b"")].concat(),
        [&begun, &frame(6, 0, &[0; 8])[..12]].concat(),
    ] {
        let mut stream = proxy.client().connect(Some(b"h2")).await.unwrap();
        stream.write_all(&slow).await.unwrap();
        read_all(&mut stream).await;
    }
    // A byte at a time, each long before the time is over.
    let (mut reading, mut writing) = tokio::io::split(proxy.client().connect(Some(b"h2")).await.unwrap());
    writing.write_all(&begun).await.unwrap();
    let trickling = tokio::spawn(async move {
        let endless = frame(1, 0, &[0; 200]);
        for byte in endless {
            if writing.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(SHORT / 5).await;
        }
    });
    let start = Instant::now();
    read_all(&mut reading).await;
    assert!(start.elapsed() < SHORT * 20, "{:?}", start.elapsed());
    trickling.abort();
    assert_eq!(app.seen().len(), 0);

    let mut stream = proxy.client().connect(Some(b"h2")).await.unwrap();
    let body = frame(0, 1, b"body");
    stream.write_all(&[&begun, &ends_headers[..], &body[..11]].concat()).await.unwrap();
    tokio::time::sleep(SHORT * 3).await;
    assert_eq!(app.seen().len(), 0, "the body has not ended");
    stream.write_all(&body[11..]).await.unwrap();
    eventually("a body may stand still for longer than a head", || async { app.seen().len() == 1 }).await;
    assert_eq!(app.last().body, "body");
}

/// hyper has the beginning of this head before it is waited for.
#[tokio::test]
async fn a_head_that_came_with_the_body_before_it_has_no_more_time() {
    let app = App::start().await;
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, Limits { head: SHORT * 4, ..patient() });
    for body in ["content-length: 3\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n", "\r\n"] {
        let both = format!("PUT /open/a HTTP/1.1\r\nhost: a\r\n{body}GET /open/b HTTP/1.1\r\nho");
        let answer = proxy.client().raw(both.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(app.seen().len(), 3);
}

#[tokio::test]
async fn an_idle_connection_lives_longer_than_a_head_and_then_ends() {
    let app = App::start().await;
    let idle = SHORT * 4;
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, Limits { head: SHORT, idle, ..patient() });
    let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    stream.write_all(b"GET /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let start = Instant::now();
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert!(start.elapsed() >= idle - SHORT, "{:?}", start.elapsed());

    let stream = proxy.client().connect(Some(b"h2")).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake::<_, _, http_body_util::Empty<Bytes>>(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(20), connection).await.is_ok(), "an idle HTTP/2 connection ends");
    drop(sender);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_one_to_end() {
    let app = App::start().await;
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, Limits { connections: 2, ..patient() });
    let client = proxy.client();
    let mut first = client.connect(Some(b"http/1.1")).await.unwrap();
    let second = client.connect(Some(b"http/1.1")).await.unwrap();
    let other = client.clone();
    let mut third = tokio::spawn(async move { other.get("/open/third", &[]).await.status });
    assert!(tokio::time::timeout(SHORT * 2, &mut third).await.is_err(), "it waits");
    // Those within keep working meanwhile.
    first.write_all(b"HEAD /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    first.read_exact(&mut start).await.unwrap();
    assert_eq!((&start, app.seen().len()), (b"HTTP/1.1 200", 1));
    drop(second);
    assert_eq!(third.await.unwrap(), 200);
}

#[tokio::test]
async fn plaintext_gets_one_fixed_answer_that_names_the_cure() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut stream = TcpStream::connect(proxy.running.address).await.unwrap();
    stream.write_all(b"POST /open/a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 400")
            && answer.contains("\"code\":\"plaintext\"")
            && answer.contains("tls.mode: Permissive"),
        "{answer}"
    );
    let mut other = TcpStream::connect(proxy.running.address).await.unwrap();
    other.write_all(b"\x00\x01\x02").await.unwrap();
    assert!(!read_all(&mut other).await.contains("HTTP"));
    assert_eq!(app.seen().len(), 0);
    eventually("both are closed", || async { proxy.stranger().connect(None).await.is_ok() }).await;
}

#[tokio::test]
async fn a_stopped_proxy_listens_no_more_and_holds_no_connection() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let (address, admin) = (proxy.running.address, proxy.running.admin.unwrap());
    let mut open = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    tokio::task::spawn_blocking(move || proxy.running.stop()).await.unwrap();
    assert_eq!(read_all(&mut open).await, "");
    // Another test may have got one of the ports meanwhile, for as long as it runs.
    eventually("nobody listens", || async {
        TcpStream::connect(address).await.is_err() && TcpStream::connect(admin).await.is_err()
    })
    .await;
}

/// The caller answers pings and never opens its window: the stream does not move, and the connection ends.
#[tokio::test]
async fn an_http2_answer_that_nobody_reads_is_not_held_for_ever() {
    let app = RawApp::start(|_, mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n").await;
        let _ = stream.write_all(&vec![b'a'; 4_000_000]).await;
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, Limits { idle: SHORT * 3, ..patient() });
    let stream = proxy.client().connect(Some(b"h2")).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
        .initial_stream_window_size(1)
        .handshake::<_, http_body_util::Empty<Bytes>>(hyper_util::rt::TokioIo::new(stream))
        .await
        .unwrap();
    let ended = tokio::spawn(connection);
    let request = Request::get("https://orders.test/open/x").body(http_body_util::Empty::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(tokio::time::timeout(Duration::from_secs(20), ended).await.is_ok(), "the connection ends");
    drop(response);
}
