//! Probes and metrics: whether the process lives, listens, and has something to decide with, and what it did. Nothing secret,
//! nothing that changes state.

mod debug;

use crate::captured::CapturedPorts;
use crate::denials::Denials;
use crate::drain::Drain;
use crate::limits::{ACCEPT_PAUSE, ADMIN_BUFFER, ADMIN_CONNECTIONS, ADMIN_CONNECTIONS_PER_ADDRESS, ADMIN_TIMEOUT};
use crate::metrics::{self, Metrics};
use crate::probe::Probes;
use crate::seats::Seats;
use crate::sockets::Sockets;
use crate::state::{State, in_full};
use crate::tls::CurrentCertificate;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use policy::wire::{PROBE_PATH, Probe};
use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// What is told about.
pub(crate) struct Site {
    pub(crate) state: Arc<State>,
    pub(crate) drain: Arc<Drain>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) captured: CapturedPorts,
    pub(crate) certificate: Arc<CurrentCertificate>,
    pub(crate) probes: Vec<Probe>,
    /// Of each thread.
    pub(crate) denials: Vec<Arc<Denials>>,
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

    fn lacks_certificate(&self) -> bool {
        !self.certificate.is_there() && self.state.speaks_tls()
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
            .or_else(|| self.lacks_certificate().then(|| "no certificate".to_owned()))
            .or_else(|| (!self.state.is_ready()).then(|| "no policy is in force".to_owned()))
    }
}

/// What is told where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Desk {
    /// On all addresses: probes and metrics.
    Admin,
    /// On the loopback address.
    Debug,
}

/// Answers for ever on the admin port, and on the debug port where there is one.
pub(crate) async fn serve(admin: std::net::TcpListener, debug: Option<std::net::TcpListener>, site: Site) {
    let patience = ADMIN_TIMEOUT + Probes::longest(&site.probes);
    let probing = 2 * site.probes.len();
    let seats = Seats::new(ADMIN_CONNECTIONS + probing, ADMIN_CONNECTIONS_PER_ADDRESS + probing);
    let probes = Rc::new(Probes::new(site.probes.clone()));
    let site = Rc::new(site);
    let talk = |desk| {
        let (site, probes) = (Rc::clone(&site), Rc::clone(&probes));
        move |stream, has_asked| {
            let (site, probes) = (Rc::clone(&site), Rc::clone(&probes));
            async move {
                // A prober that is too slow has its answer: none.
                let _ = timeout(patience, talk(stream, has_asked, desk, site, probes)).await;
            }
        }
    };
    let debugging = async {
        match debug {
            // All who come here have the same address.
            Some(debug) => accept(debug, Seats::new(ADMIN_CONNECTIONS, ADMIN_CONNECTIONS), talk(Desk::Debug)).await,
            None => std::future::pending().await,
        }
    };
    tokio::join!(accept(admin, seats, talk(Desk::Admin)), debugging);
}

async fn accept<F: Future<Output = ()> + 'static>(
    listener: std::net::TcpListener,
    seats: Seats,
    talk: impl Fn(TcpStream, Rc<Cell<bool>>) -> F,
) {
    // Only a process without descriptors cannot wait for a socket, and then nothing else works either.
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let seats = Rc::new(seats);
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Whoever finds no seat is closed without a word.
                let Some(seat) = seats.take(address.ip()) else { continue };
                let talking = talk(stream, seat.has_asked());
                let number = seat.number();
                let task = tokio::task::spawn_local(async move {
                    talking.await;
                    drop(seat);
                });
                seats.serves(number, task.abort_handle());
                // Whoever has sent its question is heard before a burst of others takes its seat.
                tokio::task::yield_now().await;
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn talk(stream: TcpStream, has_asked: Rc<Cell<bool>>, desk: Desk, site: Rc<Site>, probes: Rc<Probes>) {
    let service = service_fn(move |request: Request<Incoming>| {
        has_asked.set(true);
        let (site, probes) = (Rc::clone(&site), Rc::clone(&probes));
        // Nothing of a request counts but its method and path, and nothing of it goes on.
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        async move { Ok::<_, Infallible>(answer(&method, &path, desk, &site, &probes).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(ADMIN_TIMEOUT).max_buf_size(ADMIN_BUFFER).keep_alive(false);
    // A prober that goes away needs no answer.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(method: &Method, path: &str, desk: Desk, site: &Site, probes: &Probes) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".into());
    }
    if desk == Desk::Debug {
        return debug::answer(path, site);
    }
    if let Some(index) = path.strip_prefix(PROBE_PATH) {
        return probe(method, index, probes).await;
    }
    let told = |fault: Option<String>| match fault {
        None => plain(StatusCode::OK, "ok\n".into()),
        Some(fault) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
    };
    match path {
        "/metrics" => metrics_of(site),
        "/livez" => told(None),
        "/startupz" => told(site.not_started()),
        "/readyz" => told(site.not_ready()),
        _ => plain(StatusCode::NOT_FOUND, "not found\n".into()),
    }
}

/// Runs a probe of the application; its outcome is the status and nothing else.
async fn probe(method: &Method, index: &str, probes: &Probes) -> Response<Full<Bytes>> {
    let outcome = match index.parse() {
        Ok(index) if *method == Method::GET => probes.outcome(index).await,
        _ => None,
    };
    let status = match outcome {
        Some(true) => StatusCode::OK,
        Some(false) => StatusCode::SERVICE_UNAVAILABLE,
        None => StatusCode::NOT_FOUND,
    };
    plain(status, String::new())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::LocalSet;

    #[tokio::test(flavor = "current_thread")]
    async fn whoever_has_sent_its_question_is_heard_in_a_burst() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut callers = Vec::new();
        for _ in 0..8 {
            let mut caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            caller.write_all(b"?").await.unwrap();
            callers.push(caller);
        }
        let hear = |mut stream: TcpStream, has_asked: Rc<Cell<bool>>| async move {
            stream.read_u8().await.unwrap();
            has_asked.set(true);
            stream.write_all(b"!").await.unwrap();
        };
        let answers = async {
            for (number, caller) in callers.iter_mut().enumerate() {
                assert!(matches!(caller.read_u8().await, Ok(b'!')), "{number} had to go");
            }
        };
        let serving = accept(listener, Seats::new(2, 8), hear);
        LocalSet::new()
            .run_until(async {
                tokio::select! { () = serving => {}, () = answers => {} }
            })
            .await;
    }
}
