//! Callers that hold places or keep the proxy busy without asking for anything.

use crate::binary::Process;
use crate::support::frames::{END_HEADERS, END_STREAM, GET, POST, PREFACE, frame, head};
use crate::support::{App, Client, Fixture, RawApp, body, eventually, read_all};
use policy::wire::TlsMode;
use sidecar::Limits;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// What a new caller may have to wait where others hold every place: the grace of those, and a second for this machine.
const SOON: Duration = Duration::from_secs(3);
const MANY: usize = 60;

async fn crowd(address: std::net::SocketAddr, first: &[u8]) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for _ in 0..MANY {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(first).await.unwrap();
        crowd.push(stream);
    }
    crowd
}

async fn in_time(client: &Client, what: &str) {
    let start = Instant::now();
    assert_eq!(client.get("/open/a", &[]).await.status, 200, "{what}");
    assert!(start.elapsed() < SOON, "{what}: {:?}", start.elapsed());
}

#[tokio::test]
async fn those_who_do_not_speak_hold_nobody_up() {
    let app = App::start().await;
    let limits = || Limits { connections: MANY / 2, ..Limits::default() };
    for first in [&b""[..], b"\x16", b"\x16\x03\x01\x01\x00"] {
        let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, limits());
        // Whoever has proven who it is stays, however long it rests.
        let mut known = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
        let crowd = crowd(proxy.running.address, first).await;
        in_time(&proxy.client(), &format!("{first:?}")).await;
        known.write_all(b"GET /open/b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(read_all(&mut known).await.starts_with("HTTP/1.1 200"));
        drop(crowd);
    }
}

#[tokio::test]
async fn strangers_that_rest_give_way_and_those_that_work_do_not() {
    let app = RawApp::start(|_, mut stream| async move {
        let mut head = vec![0; 1024];
        let count = stream.read(&mut head).await.unwrap_or_default();
        if head[..count].starts_with(b"GET /open/slow") {
            tokio::time::sleep(SOON * 2).await;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
    })
    .await;
    let limits = Limits { connections: MANY / 2, ..Limits::default() };
    let proxy = Fixture::with_limits(TlsMode::Optional, app.address, limits);
    proxy.apply(&body(TlsMode::Plaintext));
    let mut busy = TcpStream::connect(proxy.running.address).await.unwrap();
    busy.write_all(b"GET /open/slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for first in [&preface[..], b"GET /open/x HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let crowd = crowd(proxy.running.address, first).await;
        let start = Instant::now();
        let mut caller = TcpStream::connect(proxy.running.address).await.unwrap();
        caller.write_all(b"GET /open/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(read_all(&mut caller).await.starts_with("HTTP/1.1 200"));
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        drop(crowd);
    }
    assert!(read_all(&mut busy).await.starts_with("HTTP/1.1 200"));
}

/// Floods of HTTP/2 by their names, as what comes first and what is repeated with a number.
type Flood = (&'static str, Vec<u8>, fn(u32) -> Vec<u8>);

#[tokio::test]
async fn floods_of_http2_are_cut_off() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let open = head(POST, 1, END_HEADERS);
    let floods: [Flood; 10] = [
        ("ping", Vec::new(), |_| frame(6, 0, 0, &[0; 8])),
        ("settings", Vec::new(), |_| frame(4, 0, 0, &[])),
        ("priority", Vec::new(), |n| frame(2, 0, 2 * n + 1, &[0, 0, 0, 0, 7])),
        ("window", Vec::new(), |_| frame(8, 0, 0, &[0, 0, 0, 1])),
        ("unknown", Vec::new(), |_| frame(0x77, 0, 0, &[0; 5])),
        ("empty data", open.clone(), |_| frame(0, 0, 1, &[])),
        ("rapid reset", Vec::new(), |n| {
            [head(GET, 2 * n + 1, END_HEADERS | END_STREAM), frame(3, 0, 2 * n + 1, &[0, 0, 0, 8])].concat()
        }),
        ("made you reset", Vec::new(), |n| {
            [head(POST, 2 * n + 1, END_HEADERS), frame(8, 0, 2 * n + 1, &[0; 4])].concat()
        }),
        ("continuation", head(GET, 1, 0), |_| frame(9, 0, 1, &[0x40, 1, b'x', 1, b'y'])),
        ("table", head(GET, 1, 0), |_| {
            frame(9, 0, 1, &[&[0x40, 100][..], &[b'x'; 100], &[100], &[b'y'; 100]].concat())
        }),
    ];
    let most = 10_000;
    let mut cut = Vec::new();
    for (name, first, next) in floods {
        let mut stream = proxy.client().connect(Some(b"h2")).await.unwrap();
        let preface = [PREFACE, &frame(4, 0, 0, &[]), &first].concat();
        stream.write_all(&preface).await.unwrap();
        let (mut reading, mut writing) = tokio::io::split(stream);
        let reader = tokio::spawn(async move { while let Ok(1..) = reading.read(&mut [0; 4096]).await {} });
        let mut sent = 0;
        while sent < most && !reader.is_finished() {
            let burst: Vec<u8> = (sent..sent + 50).flat_map(next).collect();
            if writing.write_all(&burst).await.is_err() {
                break;
            }
            sent += 50;
            tokio::task::yield_now().await;
        }
        let ended = timeout(SOON, reader).await.is_ok();
        cut.push((name, sent, ended));
    }
    assert!(cut.iter().all(|(.., ended)| *ended), "{cut:?}");
    assert_eq!(proxy.client().get("/open/a", &[]).await.status, 200, "others are served");
    println!("frames until the end: {cut:?}");
}

/// Descriptors run out before places do where the limit is low, so the number of places follows from it.
#[tokio::test]
async fn with_few_descriptors_those_within_go_on_and_the_rest_waits() {
    let app = App::start().await;
    // (128 - 64) / 2 places.
    let process = Process::with_descriptors(128, app.address, &["--access-log", "off"], Stdio::null());
    process.configure().await;
    let within = process.client.connect(Some(b"http/1.1")).await.unwrap();
    let mut offered = Vec::new();
    for _ in 0..200 {
        let client = process.client.clone();
        offered.push(tokio::spawn(async move { client.connect(Some(b"http/1.1")).await }));
    }
    let shaken = || async { offered.iter().filter(|one| one.is_finished()).count() };
    eventually("the places are taken", || async { shaken().await >= 31 }).await;
    let before = process.cpu_seconds();
    let mut within = within;
    for _ in 0..20 {
        within.write_all(b"HEAD /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        within.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        let mut rest = Vec::new();
        while !rest.ends_with(b"\r\n\r\n") {
            rest.push(within.read_u8().await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(shaken().await < 40, "more than there are places");
    let used = process.cpu_seconds() - before;
    assert!(used < 0.5, "{used} s of the processor in one second for nothing: a busy loop");
    let start = Instant::now();
    for one in offered {
        one.abort();
        drop(one.await);
    }
    assert_eq!(process.client.get("/open/a", &[]).await.status, 200);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
