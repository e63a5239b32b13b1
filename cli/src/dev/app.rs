//! The sample API: it answers with what it was sent, and asks nobody who they are.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// A running sample API; it ends with the process.
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<AtomicUsize>,
}

impl App {
    /// Starts it on any free port of 127.0.0.1.
    ///
    /// # Errors
    /// Where no port is to be had.
    pub fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let seen = Arc::new(AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let counter = Arc::clone(&seen);
        std::thread::spawn(move || runtime.block_on(serve(listener, counter)));
        Ok(Self { address, seen })
    }

    /// How many requests it got.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

async fn serve(listener: std::net::TcpListener, seen: Arc<AtomicUsize>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        // Accepting fails when descriptors run out; the demo's own few connections free them.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                seen.fetch_add(1, Ordering::SeqCst);
                std::future::ready(Ok::<_, Infallible>(answer(&request)))
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new());
            // A broken connection is the proxy's to notice.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let text = |value: &http::HeaderValue| Value::from(String::from_utf8_lossy(value.as_bytes()).into_owned());
    let headers: Map<String, Value> =
        request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = json!({"method": request.method().as_str(), "path": request.uri().to_string(), "headers": headers});
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
