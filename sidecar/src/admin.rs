//! Probes and metrics: whether the process lives, listens, and has something to decide with, and what it did. Nothing secret,
//! nothing that changes state.

use crate::drain::Drain;
use crate::limits::{ACCEPT_PAUSE, ADMIN_BUFFER, ADMIN_CONNECTIONS, ADMIN_TIMEOUT};
use crate::metrics::{self, Metrics};
use crate::sockets::Sockets;
use crate::state::State;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// What is told about.
pub(crate) struct Site {
    state: Arc<State>,
    drain: Arc<Drain>,
    metrics: Arc<Metrics>,
    sockets: Arc<Sockets>,
}

impl Site {
    pub(crate) fn new(state: Arc<State>, drain: Arc<Drain>, metrics: Arc<Metrics>, sockets: Arc<Sockets>) -> Self {
        Self { state, drain, metrics, sockets }
    }
}

/// Answers for ever.
pub(crate) async fn serve(listener: std::net::TcpListener, site: Site) {
    // Only a process without descriptors cannot wait for a socket, and then nothing else works either.
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let site = Arc::new(site);
    let slots = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    while let Ok(permit) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = Arc::clone(&site);
                tokio::task::spawn_local(async move {
                    // A prober that is too slow has its answer: none.
                    let _ = timeout(ADMIN_TIMEOUT, talk(stream, site)).await;
                    drop(permit);
                });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn talk(stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(move |request| {
        let response = answer(&request, &site);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(ADMIN_TIMEOUT).max_buf_size(ADMIN_BUFFER).keep_alive(false);
    // A prober that goes away needs no answer.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

fn answer(request: &Request<Incoming>, site: &Site) -> Response<Full<Bytes>> {
    if let (&Method::GET | &Method::HEAD, "/metrics") = (request.method(), request.uri().path()) {
        return metrics_of(site);
    }
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") => (StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/startupz") if site.sockets.fault().is_none() => (StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/startupz") => (StatusCode::SERVICE_UNAVAILABLE, "a port is not listened on\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if site.drain.has_begun() => {
            (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        }
        (&Method::GET | &Method::HEAD, "/readyz") if site.state.is_ready() => (StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/readyz") => (StatusCode::SERVICE_UNAVAILABLE, "no policy is in force\n"),
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, "not found\n"),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn metrics_of(site: &Site) -> Response<Full<Bytes>> {
    let Some(text) = metrics::text(&site.metrics) else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    };
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    response
}
