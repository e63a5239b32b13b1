//! Probes and metrics: whether the process lives, listens, and has something to decide with, and what it did. Nothing secret,
//! nothing that changes state.

use crate::captured::CapturedPorts;
use crate::drain::Drain;
use crate::limits::{ACCEPT_PAUSE, ADMIN_BUFFER, ADMIN_CONNECTIONS, ADMIN_TIMEOUT};
use crate::metrics::{self, Metrics};
use crate::sockets::Sockets;
use crate::state::{State, in_full};
use crate::tls::CurrentCertificate;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// What is told about.
pub(crate) struct Site {
    pub(crate) state: Arc<State>,
    pub(crate) drain: Arc<Drain>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) captured: CapturedPorts,
    pub(crate) certificate: Arc<CurrentCertificate>,
}

impl Site {
    /// Why the port is not listened on that is not.
    fn not_started(&self) -> Option<String> {
        let fault = self.sockets.fault()?;
        let cure = match fault.source.kind() {
            io::ErrorKind::AddrInUse => "; under `bind` the application has to listen on 127.0.0.1 alone",
            _ => "",
        };
        Some(format!("{}{cure}", in_full(&fault)))
    }

    /// Why no request should come here, where none should.
    fn not_ready(&self) -> Option<String> {
        if self.drain.has_begun() {
            return Some("draining".to_owned());
        }
        let captured = self.captured.now();
        let astray = self.state.ports().find(|port| !captured.contains(port));
        self.not_started()
            .or_else(|| astray.map(|port| format!("the traffic of port {port} is not proven to come here")))
            .or_else(|| (!self.certificate.is_there()).then(|| "no certificate".to_owned()))
            .or_else(|| (!self.state.is_ready()).then(|| "no policy is in force".to_owned()))
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
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".into());
    }
    let told = |fault: Option<String>| match fault {
        None => plain(StatusCode::OK, "ok\n".into()),
        Some(fault) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
    };
    match request.uri().path() {
        "/livez" => told(None),
        "/startupz" => told(site.not_started()),
        "/readyz" => told(site.not_ready()),
        _ => plain(StatusCode::NOT_FOUND, "not found\n".into()),
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
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
