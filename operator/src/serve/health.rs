//! Probes and metrics in plain HTTP: nothing secret, nothing that changes state.

use super::bounds::Places;
use super::listener::{bind, reaches};
use super::{Running, Stage};
use crate::ca::Authority;
use crate::limits::{ACCEPT_PAUSE, HEALTH_CONNECTIONS, HEALTH_CONNECTIONS_PER_ADDRESS, HEALTH_HEAD, HEALTH_TIME};
use crate::metrics::{CONTENT_TYPE as METRICS_TYPE, Metrics};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

/// What readiness is made of.
#[derive(Debug)]
pub struct Health {
    metrics: Arc<Metrics>,
    authority: Arc<Authority>,
    complete: AtomicBool,
    stopping: AtomicBool,
}

impl Health {
    /// Not ready: the caches are not complete.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, authority: Arc<Authority>) -> Arc<Self> {
        Arc::new(Self { metrics, authority, complete: AtomicBool::new(false), stopping: AtomicBool::new(false) })
    }

    /// All caches are complete; they stay so.
    pub fn caches_are_complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }

    /// The process is about to end: no new sidecar should come here.
    pub fn stops(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Why this replica should get no traffic; none where it should.
    #[must_use]
    pub fn not_ready(&self) -> Option<&'static str> {
        if self.stopping.load(Ordering::Relaxed) {
            return Some("stopping\n");
        }
        if !self.authority.is_serving(Timestamp::now()) {
            return Some("the CA is not loaded, or the certificate of the operator has expired\n");
        }
        (!self.complete.load(Ordering::Relaxed)).then_some("the caches are not complete\n")
    }

    /// Answers `/livez`, `/readyz` and `/metrics`.
    ///
    /// # Errors
    /// Where the address cannot be bound.
    pub async fn start(self: &Arc<Self>, address: SocketAddr) -> io::Result<Running> {
        let listener = bind(address)?;
        let address = listener.local_addr()?;
        let stage = watch::Sender::new(Stage::Serving);
        let connections = Arc::new(Semaphore::new(HEALTH_CONNECTIONS));
        tokio::spawn(accept(Arc::clone(self), listener, Arc::clone(&connections), stage.subscribe()));
        Ok(Running::new(address, stage, connections, HEALTH_CONNECTIONS))
    }
}

async fn accept(health: Arc<Health>, listener: TcpListener, slots: Arc<Semaphore>, mut stage: watch::Receiver<Stage>) {
    let addresses = Places::new(HEALTH_CONNECTIONS_PER_ADDRESS);
    loop {
        let accepted = tokio::select! {
            () = reaches(&mut stage, Stage::Stopping) => return,
            accepted = async { (Arc::clone(&slots).acquire_owned().await, listener.accept().await) } => accepted,
        };
        match accepted {
            (Ok(permit), Ok((stream, address))) => {
                let Some(place) = addresses.take(&address.ip()) else { continue };
                let health = Arc::clone(&health);
                tokio::spawn(async move {
                    // A prober that is too slow has its answer: none.
                    let _ = timeout(HEALTH_TIME, talk(stream, health)).await;
                    drop((permit, place));
                });
            }
            _ => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn talk(stream: TcpStream, health: Arc<Health>) {
    let service = service_fn(move |request| {
        let response = answer(&request, &health);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEALTH_TIME).max_buf_size(HEALTH_HEAD).keep_alive(false);
    // A prober that goes away needs no answer.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

fn answer(request: &Request<Incoming>, health: &Health) -> Response<Full<Bytes>> {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    if !matches!(request.method(), &Method::GET | &Method::HEAD) {
        return told(StatusCode::METHOD_NOT_ALLOWED, text, "GET or HEAD\n");
    }
    match request.uri().path() {
        "/livez" => told(StatusCode::OK, text, "ok\n"),
        "/readyz" => match health.not_ready() {
            None => told(StatusCode::OK, text, "ok\n"),
            Some(reason) => told(StatusCode::SERVICE_UNAVAILABLE, text, reason),
        },
        "/metrics" => match health.metrics.text() {
            Some(metrics) => told(StatusCode::OK, HeaderValue::from_static(METRICS_TYPE), metrics),
            None => told(StatusCode::INTERNAL_SERVER_ERROR, text, ""),
        },
        _ => told(StatusCode::NOT_FOUND, text, "not found\n"),
    }
}

fn told(status: StatusCode, media_type: HeaderValue, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}
