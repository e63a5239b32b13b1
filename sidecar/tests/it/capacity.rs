//! What is kept or taken at once has a bound, and what is beyond it waits, is refused or makes room.

use crate::support::{App, Fixture, RawApp, eventually, plain_get, read_all};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use policy::wire::TlsMode;
use serde_json::json;
use sidecar::Limits;
use sidecar::limits::{ADMIN_CONNECTIONS, ADMIN_TIMEOUT, H2_STREAMS};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Barrier;
use tokio::time::{Instant, timeout};

/// Short enough for a test, and every other time far beyond its patience.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3600);

/// One worker, so that there is one pool and one cache.
fn proxy(app: std::net::SocketAddr, limits: Limits) -> Fixture {
    let fixture = Fixture::adjusted(app, |settings| {
        settings.limits = limits;
        settings.workers = 1;
    });
    fixture.apply(&crate::support::body(TlsMode::Mutual));
    fixture
}

/// A port whose queue of connections is full: the kernel drops what comes, and nobody hears of it.
async fn full() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(SHORT, TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    (listener, queued)
}

#[tokio::test]
async fn an_application_that_does_not_take_the_connection_is_502_in_time() {
    let (listener, queued) = full().await;
    let limits = Limits { connect: SHORT, request: LONG, ..Limits::default() };
    let proxy = proxy(listener.local_addr().unwrap(), limits);
    let start = Instant::now();
    let answer = proxy.client().get("/open/a", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "app_unreachable"));
    assert!(start.elapsed() >= SHORT && start.elapsed() < SHORT * 20, "{:?}", start.elapsed());
    drop(queued);
}

#[tokio::test]
async fn idle_connections_to_the_application_are_no_more_than_the_pool_holds() {
    const AT_ONCE: usize = 4;
    let (opened, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&opened), Arc::clone(&closed));
    // Each waits for the others, so that every one needs a connection of its own.
    let all_there = Arc::new(Barrier::new(AT_ONCE));
    let app = RawApp::start(move |_, mut stream| {
        let ((opened, closed), all_there) = (counts.clone(), Arc::clone(&all_there));
        async move {
            opened.fetch_add(1, Ordering::SeqCst);
            while let Ok(1..) = stream.read(&mut [0; 4096]).await {
                all_there.wait().await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
            closed.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let proxy = proxy(app.address, Limits { pool: 2, pool_idle: LONG, ..Limits::default() });
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let client = proxy.client();
        requests.spawn(async move { client.get("/open/a", &[]).await.status.as_u16() });
    }
    assert_eq!(requests.join_all().await, [200; AT_ONCE]);
    eventually("those beyond the bound are closed", || async { closed.load(Ordering::SeqCst) == AT_ONCE - 2 }).await;
    assert!(timeout(SHORT, eventually_more(&closed, AT_ONCE - 2)).await.is_err(), "and no others");
    assert_eq!(opened.load(Ordering::SeqCst), AT_ONCE);
}

async fn eventually_more(count: &AtomicUsize, than: usize) {
    while count.load(Ordering::SeqCst) <= than {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The value of a series without labels.
async fn metric(proxy: &Fixture, name: &str) -> usize {
    let (_, text) = plain_get(proxy.running.admin.unwrap(), "/metrics").await;
    let line = text.lines().find(|line| line.split(' ').next().is_some_and(|series| series.ends_with(name)));
    line.expect("the series is there").rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn verified_tokens_take_no_more_memory_than_they_may() {
    const BOUND: usize = 16 * 1024;
    let app = App::start().await;
    let proxy = proxy(app.address, Limits { token_cache: BOUND, ..Limits::default() });
    let stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut ask = async |token: &str| {
        let request = Request::get("/me").header("host", "orders.test").header("authorization", token);
        sender.ready().await.unwrap();
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
    };
    let tokens: Vec<_> = (0..40).map(|number| proxy.signer.bearer(json!({"jti": number.to_string()}))).collect();
    for token in &tokens {
        ask(token).await;
        // The one that is used all the time stays.
        ask(&tokens[0]).await;
        assert!((1..=BOUND).contains(&metric(&proxy, "token_cache_bytes").await));
    }
    let entries = metric(&proxy, "token_cache_entries").await;
    assert!((2..tokens.len() / 2).contains(&entries), "{entries}");
    assert_eq!(metric(&proxy, "token_cache_misses_total").await, tokens.len());
    ask(tokens.last().unwrap()).await;
    assert_eq!(metric(&proxy, "token_cache_misses_total").await, tokens.len(), "the last is kept");
    ask(&tokens[1]).await;
    assert_eq!(metric(&proxy, "token_cache_misses_total").await, tokens.len() + 1, "the oldest made room");
}

/// Type, stream and payload of the next frame (RFC 9113, section 4.1).
async fn next_frame(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> (u8, u32, Vec<u8>) {
    let mut header = [0; 9];
    stream.read_exact(&mut header).await.unwrap();
    let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
    stream.read_exact(&mut payload).await.unwrap();
    (header[3], u32::from_be_bytes(header[5..].try_into().unwrap()), payload)
}

#[tokio::test]
async fn a_caller_has_no_more_streams_at_once_than_it_was_told() {
    let app = RawApp::start(|_, mut stream| async move {
        let mut sink = [0; 1024];
        while let Ok(1..) = stream.read(&mut sink).await {}
    })
    .await;
    let proxy = proxy(app.address, Limits::default());
    let mut stream = proxy.client().connect(Some(b"h2")).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let (kind, _, settings) = next_frame(&mut stream).await;
    // SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113, section 6.5.2).
    let told = settings.chunks(6).find(|one| one[..2] == [0, 3]).map(|one| one[2..].to_vec());
    assert_eq!((kind, told), (4, Some(H2_STREAMS.to_be_bytes().to_vec())));
    // GET https://a/open/a, whole (RFC 7541: indexed fields, and two literals without indexing).
    let fields = b"\x82\x87\x01\x01a\x04\x07/open/a";
    for number in 0..=H2_STREAMS {
        let id = (2 * number + 1).to_be_bytes();
        let head = [&[0, 0, u8::try_from(fields.len()).unwrap(), 1, 5][..], &id, fields].concat();
        stream.write_all(&head).await.unwrap();
    }
    let refused = async {
        loop {
            let (kind, id, payload) = next_frame(&mut stream).await;
            assert_ne!(kind, 1, "nobody is answered");
            // RST_STREAM (section 6.4).
            if kind == 3 {
                return (id, payload);
            }
        }
    };
    let (id, why) = timeout(Duration::from_secs(20), refused).await.unwrap();
    assert_eq!((id, why), (2 * H2_STREAMS + 1, 7_u32.to_be_bytes().to_vec()), "REFUSED_STREAM for the one beyond");
}

#[tokio::test]
async fn nobody_keeps_the_kubelet_from_the_admin_port_and_nobody_stays_for_long() {
    let app = App::start().await;
    let proxy = proxy(app.address, Limits::default());
    let admin = proxy.running.admin.unwrap();
    let start = Instant::now();
    let mut silent = Vec::new();
    // From so many addresses that all seats are taken, and no address has its share.
    for index in 0..ADMIN_CONNECTIONS * 2 {
        let from = [127, 0, 0, 2 + u8::try_from(index % 16).unwrap()];
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        silent.push(socket.connect(admin).await.unwrap());
    }
    let answered = timeout(ADMIN_TIMEOUT / 2, plain_get(admin, "/livez")).await.expect("it has a seat");
    assert_eq!(answered.0, 200);
    // Those that came first have lost theirs.
    assert!(read_all(&mut silent.remove(0)).await.is_empty());
    assert!(start.elapsed() < ADMIN_TIMEOUT, "{:?}", start.elapsed());
    let start = Instant::now();
    silent = vec![TcpStream::connect(admin).await.unwrap()];
    // A byte now and then is no reason to stay.
    let (mut reading, mut writing) = silent.remove(0).into_split();
    let trickling = tokio::spawn(async move {
        for byte in b"GET /livez HTTP/1.1\r\nx-endless: ".iter().chain(std::iter::repeat(&b'a')) {
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(SHORT).await;
        }
    });
    assert!(!read_all(&mut reading).await.contains("200"));
    assert!(start.elapsed() >= ADMIN_TIMEOUT && start.elapsed() < ADMIN_TIMEOUT * 2, "{:?}", start.elapsed());
    trickling.abort();
}
