//! Probes of the application through the admin port.

use crate::support::{App, Fixture, RawApp, eventually, plain_get};
use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use policy::wire::{Probe, ProbeAction};
use sidecar::limits::ADMIN_CONNECTIONS_PER_ADDRESS;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn http(port: u16, path: &str) -> Probe {
    let headers = vec![("x-key".to_owned(), "hunter2".to_owned())];
    Probe { action: ProbeAction::Http { tls: false, port, path: path.to_owned(), headers }, timeout_seconds: 1 }
}

fn probing(probes: Vec<Probe>) -> Fixture {
    Fixture::adjusted(([127, 0, 0, 1], 1).into(), |settings| settings.probes = probes)
}

async fn ask(proxy: &Fixture, index: usize) -> u16 {
    let (status, body) = plain_get(proxy.running.admin.unwrap(), &format!("/probe/{index}")).await;
    assert_eq!(body, "", "the outcome and nothing else");
    status
}

#[tokio::test]
async fn a_get_as_it_was_fixed_and_nothing_of_the_callers() {
    let app = App::start().await;
    let statuses = RawApp::start(|_, mut stream| async move {
        let mut head = vec![0; 1024];
        let count = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..count]).into_owned();
        let status = head.split(' ').nth(1).unwrap().trim_start_matches('/');
        let _ = stream.write_all(format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
    })
    .await;
    let mut probes = vec![http(app.address.port(), "/health?deep=1"), http(1, "/")];
    let wanted = [(200, 200), (302, 200), (399, 200), (400, 503), (401, 503), (500, 503)];
    probes.extend(wanted.map(|(status, _)| http(statuses.address.port(), &format!("/{status}"))));
    let proxy = probing(probes);
    let request = "GET /probe/0?x=1 HTTP/1.1\r\nhost: evil\r\nx-evil: 1\r\nauthorization: Bearer x\r\n\r\n";
    let mut stream = tokio::net::TcpStream::connect(proxy.running.admin.unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(crate::support::read_all(&mut stream).await.starts_with("HTTP/1.1 200"));
    let seen = app.last();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/health?deep=1"));
    assert_eq!(seen.header("x-key"), ["hunter2"]);
    assert_eq!(seen.header("host"), [format!("127.0.0.1:{}", app.address.port())]);
    assert!(seen.header("x-evil").is_empty() && seen.header("authorization").is_empty());
    assert_eq!(ask(&proxy, 1).await, 503);
    for (index, (status, outcome)) in wanted.into_iter().enumerate() {
        assert_eq!(ask(&proxy, index + 2).await, outcome, "{status}");
    }
    for (path, status) in [("/probe/99", 404), ("/probe/", 404), ("/probe/-1", 404), ("/probe/0/x", 404)] {
        assert_eq!(plain_get(proxy.running.admin.unwrap(), path).await.0, status, "{path}");
    }
    let mut stream = tokio::net::TcpStream::connect(proxy.running.admin.unwrap()).await.unwrap();
    stream.write_all(b"POST /probe/0 HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert!(crate::support::read_all(&mut stream).await.starts_with("HTTP/1.1 405"));
    assert_eq!(app.seen().len(), 1);
}

#[tokio::test]
async fn one_run_serves_all_who_ask_meanwhile() {
    let connections = Arc::new(AtomicUsize::new(0));
    let (gate, counted) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::clone(&connections));
    let opened = Arc::clone(&gate);
    let app = RawApp::start(move |_, mut stream| {
        let (gate, counted) = (Arc::clone(&opened), Arc::clone(&counted));
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            let _ = stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let probe = Probe { timeout_seconds: 30, ..http(app.address.port(), "/") };
    let proxy = Arc::new(probing(vec![probe]));
    let asking: Vec<_> = (0..ADMIN_CONNECTIONS_PER_ADDRESS)
        .map(|_| {
            let proxy = Arc::clone(&proxy);
            tokio::spawn(async move { ask(&proxy, 0).await })
        })
        .collect();
    eventually("one connection", || async { connections.load(Ordering::SeqCst) == 1 }).await;
    gate.add_permits(1);
    for asked in asking {
        // Who came after the end of the first run waits for a second one.
        gate.add_permits(1);
        assert_eq!(asked.await.unwrap(), 200);
    }
    assert!(connections.load(Ordering::SeqCst) < ADMIN_CONNECTIONS_PER_ADDRESS, "{connections:?}");
}

#[tokio::test]
async fn a_probe_ends_in_time_and_tls_is_not_looked_at() {
    let silent = RawApp::start(|_, mut stream| async move {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    let app = App::start().await;
    // Another proxy stands for an application with TLS: its certificate says `localhost`, and nobody vouches for it.
    let with_tls = Fixture::start(policy::wire::TlsMode::Optional, app.address);
    let tls = |path: &str| Probe {
        action: ProbeAction::Http {
            tls: true,
            port: with_tls.running.address.port(),
            path: path.to_owned(),
            headers: vec![("Host".to_owned(), "orders.test".to_owned())],
        },
        timeout_seconds: 5,
    };
    let tcp = |port| Probe { action: ProbeAction::Tcp { port }, timeout_seconds: 1 };
    let silent = silent.address.port();
    let proxy = probing(vec![http(silent, "/"), tls("/open/a"), tls("/me"), tcp(silent), tcp(1)]);
    for (index, outcome) in [503, 200, 503, 200, 503].into_iter().enumerate() {
        assert_eq!(ask(&proxy, index).await, outcome, "{index}");
    }
}

/// A gRPC server that answers health checks with these bytes and this status, and remembers what it was asked.
async fn health(answer: &'static [u8], status: &'static str) -> (u16, Arc<std::sync::Mutex<Vec<Bytes>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let heard = Arc::clone(&heard);
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let heard = Arc::clone(&heard);
                async move {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    assert_eq!(request.headers()["content-type"], "application/grpc");
                    let message = request.into_body().collect().await.unwrap().to_bytes();
                    heard.lock().unwrap().push(message);
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", status.parse().unwrap());
                    let body =
                        Full::<Bytes>::from(Bytes::from_static(answer)).with_trailers(async { Some(Ok(trailers)) });
                    Ok::<_, Infallible>(
                        Response::builder().header("content-type", "application/grpc").body(body).unwrap(),
                    )
                }
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (port, asked)
}

#[tokio::test]
async fn grpc_health_checks() {
    let (well, asked) = health(&[0, 0, 0, 0, 2, 8, 1], "0").await;
    let (ill, _) = health(&[0, 0, 0, 0, 2, 8, 2], "0").await;
    let (unknown, _) = health(&[], "5").await;
    let (lies, _) = health(&[0, 0, 0, 0, 2, 8, 1], "13").await;
    let app = App::start().await;
    let grpc = |port: u16, service: &str| Probe {
        action: ProbeAction::Grpc { port, service: service.to_owned() },
        timeout_seconds: 2,
    };
    let proxy = probing(vec![
        grpc(well, ""),
        grpc(well, "orders"),
        grpc(ill, ""),
        grpc(unknown, "x"),
        grpc(lies, ""),
        grpc(app.address.port(), ""),
        grpc(1, ""),
    ]);
    for (index, outcome) in [200, 200, 503, 503, 503, 503, 503].into_iter().enumerate() {
        assert_eq!(ask(&proxy, index).await, outcome, "{index}");
    }
    assert_eq!(*asked.lock().unwrap(), [&[0, 0, 0, 0, 0][..], b"\0\0\0\0\x08\x0a\x06orders"]);
}
