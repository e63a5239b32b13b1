//! Connections to the application.

use crate::support::{App, Fixture, RawApp, eventually};
use bytes::Bytes;
use http::Request;
use policy::wire::TlsMode;
use sidecar::Limits;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

/// Reads one head without a body.
async fn head(stream: &mut tokio::net::TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// One connection of a client, so that one worker with its one pool serves all requests on it.
async fn on_one_connection(proxy: &Fixture) -> hyper::client::conn::http1::SendRequest<http_body_util::Full<Bytes>> {
    let stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn status(
    sender: &mut hyper::client::conn::http1::SendRequest<http_body_util::Full<Bytes>>,
    method: &str,
    body: &'static str,
) -> u16 {
    let request = Request::builder()
        .method(method)
        .uri("/open/a")
        .header("host", "a")
        .body(http_body_util::Full::from(body))
        .unwrap();
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    status
}

#[tokio::test]
async fn an_application_of_an_older_version_ends_its_own_connection_only() {
    let app = RawApp::start(|_, mut stream| async move {
        while head(&mut stream).await.is_some() {
            stream.write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    })
    .await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let twice = b"GET /open/a HTTP/1.1\r\nhost: a\r\n\r\n".repeat(2);
    let closing = b"GET /open/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answers = proxy.client().raw(&[&twice[..], closing].concat()).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
}

#[tokio::test]
async fn a_caller_that_ends_its_side_is_gone_and_the_application_learns_it() {
    let (arrived, given_up) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let app = {
        let (arrived, given_up) = (Arc::clone(&arrived), Arc::clone(&given_up));
        RawApp::start(move |_, mut stream| {
            let (arrived, given_up) = (Arc::clone(&arrived), Arc::clone(&given_up));
            async move {
                head(&mut stream).await.unwrap();
                arrived.notify_one();
                assert!(stream.read_u8().await.is_err(), "nothing more comes");
                given_up.notify_one();
            }
        })
        .await
    };
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut caller = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    caller.write_all(b"GET /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    arrived.notified().await;
    caller.shutdown().await.unwrap();
    // Sooner than the times of the proxy's own would end it.
    let told = tokio::time::timeout(Duration::from_secs(30), given_up.notified()).await;
    assert!(told.is_ok(), "the application is not told");
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut sender = on_one_connection(&proxy).await;
    for method in ["GET", "POST", "PUT", "HEAD", "DELETE", "GET"] {
        assert_eq!(
            status(&mut sender, method, if method == "GET" || method == "HEAD" { "" } else { "body" }).await,
            200
        );
    }
    assert_eq!((app.seen().len(), app.connections()), (6, 1));
}

#[tokio::test]
async fn a_connection_that_the_application_closed_while_idle_costs_no_request() {
    let closed = Arc::new(Notify::new());
    let (close, served) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let app = {
        let (close, closed, served) = (Arc::clone(&close), Arc::clone(&closed), Arc::clone(&served));
        RawApp::start(move |_, mut stream| {
            let (close, closed, served) = (Arc::clone(&close), Arc::clone(&closed), Arc::clone(&served));
            async move {
                head(&mut stream).await.unwrap();
                served.fetch_add(1, Ordering::SeqCst);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                close.notified().await;
                drop(stream);
                closed.notify_one();
            }
        })
        .await
    };
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut sender = on_one_connection(&proxy).await;
    for round in 1..=20 {
        assert_eq!(status(&mut sender, "DELETE", "").await, 200, "{round}");
        close.notify_one();
        closed.notified().await;
    }
    assert_eq!(served.load(Ordering::SeqCst), 20, "and none was sent twice");
}

#[tokio::test]
async fn what_the_application_promises_to_keep_is_all_that_is_kept() {
    for (promise, wanted) in [("timeout=1", 3), ("timeout=60", 1)] {
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let app = RawApp::start(move |_, mut stream| {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                while head(&mut stream).await.is_some() {
                    let answer = format!("HTTP/1.1 200 OK\r\nkeep-alive: {promise}\r\ncontent-length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        let proxy = Fixture::start(TlsMode::Mutual, app.address);
        let mut sender = on_one_connection(&proxy).await;
        for _ in 0..3 {
            assert_eq!(status(&mut sender, "GET", "").await, 200);
        }
        assert_eq!(connections.load(Ordering::SeqCst), wanted, "{promise}");
    }
}

/// The one test that lets time pass: a promise is in whole seconds.
#[tokio::test]
async fn a_connection_is_not_used_beyond_its_promise() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let app = RawApp::start(move |_, mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            while head(&mut stream).await.is_some() {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=2\r\ncontent-length: 0\r\n\r\n")
                    .await
                    .unwrap();
            }
        }
    })
    .await;
    // Nothing but the promise ends it: nobody sweeps within the hour.
    let limits = Limits { pool_idle: Duration::from_secs(3600), ..Limits::default() };
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, limits);
    let mut sender = on_one_connection(&proxy).await;
    assert_eq!((status(&mut sender, "GET", "").await, status(&mut sender, "GET", "").await), (200, 200));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!((status(&mut sender, "GET", "").await, connections.load(Ordering::SeqCst)), (200, 2));
}

#[tokio::test]
async fn idle_connections_are_closed_by_us_in_time() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let app = RawApp::start(move |_, mut stream| {
        let count = Arc::clone(&count);
        async move {
            while head(&mut stream).await.is_some() {
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
            count.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let limits = Limits { pool_idle: Duration::from_millis(50), ..Limits::default() };
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, limits);
    let mut sender = on_one_connection(&proxy).await;
    assert_eq!(status(&mut sender, "GET", "").await, 204);
    eventually("the application sees it closed", || async { ended.load(Ordering::SeqCst) == 1 }).await;
}

#[tokio::test]
async fn bodies_stream_in_both_directions_before_either_ends() {
    let first = Arc::new(Mutex::new(Vec::new()));
    let got = Arc::clone(&first);
    let app = RawApp::start(move |_, mut stream| {
        let got = Arc::clone(&got);
        async move {
            head(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await.unwrap();
            let mut rest = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut rest).await {
                got.lock().unwrap().extend_from_slice(&rest[..count]);
            }
        }
    })
    .await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    stream.write_all(b"POST /open/a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"2\r\nhi\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(b"3\r\nabc\r\n").await.unwrap();
    eventually("the chunk is there before the body ends", || async {
        first.lock().unwrap().ends_with(b"3\r\nabc\r\n")
    })
    .await;
}
