//! An API server in trouble: it stands before the real one, and answers some requests with a fault instead.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Context;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Of so many watches one is answered that its place in the history is gone.
const GONE: u64 = 3;
/// Of so many requests one is put off, and one fails.
const BUSY: u64 = 7;
const BROKEN: u64 = 5;
/// Of so many events of a watch one is told twice, and one is told again after the next.
const TWICE: u64 = 2;
const LATE: u64 = 3;
/// After so many events a watch is told in itself that its place in the history is gone, as the API server does it mostly.
const EXPIRED: u64 = 11;

/// A way to the API server, until it is dropped.
#[derive(Debug)]
pub struct Faulty {
    /// Where it answers, without TLS.
    pub address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    is_well: AtomicBool,
    requests: AtomicU64,
    watches: AtomicU64,
    faults: AtomicU64,
    events: AtomicU64,
}

type Answer = Response<UnsyncBoxBody<Bytes, kube::Error>>;

impl Faulty {
    /// Begins. Whoever asks here is, to the real one, who `client` is.
    ///
    /// # Errors
    /// Where nothing can be listened on.
    pub async fn start(client: Client) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen")?;
        let address = listener.local_addr().context("no address")?;
        let state = Arc::<State>::default();
        let task = tokio::spawn(serve(listener, client, Arc::clone(&state)));
        Ok(Self { address, state, task })
    }

    /// From now on every answer is the real one's.
    pub fn is_well(&self) {
        self.state.is_well.store(true, Ordering::Relaxed);
    }

    /// Events that were told again until now.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.state.events.load(Ordering::Relaxed)
    }

    /// Faults that were answered until now.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.state.faults.load(Ordering::Relaxed)
    }
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.contains("watch=true"))
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn fault(&self, request: &Request<Incoming>) -> Option<Answer> {
        if self.is_well.load(Ordering::Relaxed) {
            return None;
        }
        let is_watch = is_watch(request.uri());
        let count = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if is_watch && (self.watches.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(GONE) {
            return Some(self.answer(StatusCode::GONE, "Expired"));
        }
        match count {
            count if count.is_multiple_of(BUSY) => Some(self.answer(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests")),
            count if count.is_multiple_of(BROKEN) => {
                Some(self.answer(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"))
            }
            _ => None,
        }
    }

    fn answer(&self, status: StatusCode, reason: &str) -> Answer {
        self.faults.fetch_add(1, Ordering::Relaxed);
        failure(status, reason)
    }
}

fn status(code: StatusCode, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "a fault of the test", "reason": reason, "code": code.as_u16(),
    })
}

fn failure(code: StatusCode, reason: &str) -> Answer {
    let told = status(code, reason);
    let body = Full::from(told.to_string()).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = code;
    answer.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    if code == StatusCode::TOO_MANY_REQUESTS {
        answer.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
    }
    answer
}

async fn serve(listener: TcpListener, client: Client, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (client, state) = (client.clone(), Arc::clone(&state));
        let answer = move |request: Request<Incoming>| {
            let (client, state) = (client.clone(), Arc::clone(&state));
            async move {
                let answer = match state.fault(&request) {
                    Some(fault) => fault,
                    None if is_watch(request.uri()) => forward(&client, request).await.map(|body| retold(body, state)),
                    None => forward(&client, request).await,
                };
                Ok::<_, Infallible>(answer)
            }
        };
        let mut serving = http1::Builder::new();
        let connection = serving.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(connection);
    }
}

async fn forward(client: &Client, request: Request<Incoming>) -> Answer {
    let (mut head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return failure(StatusCode::BAD_REQUEST, "BadRequest") };
    // The client adds its own.
    head.headers.remove("authorization");
    head.headers.remove("host");
    head.uri = head.uri.path_and_query().and_then(|path| path.as_str().parse().ok()).unwrap_or_default();
    let answer = client.send(Request::from_parts(head, Body::from(body.to_bytes()))).await;
    answer
        .map_or_else(|_| failure(StatusCode::BAD_GATEWAY, "InternalError"), |answer| answer.map(BodyExt::boxed_unsync))
}

/// A watch that tells some of its events again, at once or after the next one.
fn retold(body: UnsyncBoxBody<Bytes, kube::Error>, state: Arc<State>) -> UnsyncBoxBody<Bytes, kube::Error> {
    let mut retelling = Retelling { state, line: Vec::new(), before: Vec::new(), count: 0 };
    body.map_frame(move |frame| frame.map_data(|data| retelling.take(&data))).boxed_unsync()
}

struct Retelling {
    state: Arc<State>,
    /// What has come of an event.
    line: Vec<u8>,
    /// The event before.
    before: Vec<u8>,
    count: u64,
}

impl Retelling {
    /// What is passed on of a part of the body: whole events, each one line (Kubernetes API concepts, "Efficient detection of changes").
    fn take(&mut self, data: &[u8]) -> Bytes {
        let mut told = Vec::new();
        for part in data.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.pass(&mut told);
            }
        }
        told.into()
    }

    fn pass(&mut self, told: &mut Vec<u8>) {
        self.count += 1;
        told.extend_from_slice(&self.line);
        let (twice, late) = (self.count.is_multiple_of(TWICE), self.count.is_multiple_of(LATE));
        if !self.state.is_well.load(Ordering::Relaxed) && (twice || late) {
            told.extend_from_slice(if twice { &self.line } else { &self.before });
            self.state.events.fetch_add(1, Ordering::Relaxed);
        }
        self.before = std::mem::take(&mut self.line);
        if !self.state.is_well.load(Ordering::Relaxed) && self.count.is_multiple_of(EXPIRED) {
            let event = json!({"type": "ERROR", "object": status(StatusCode::GONE, "Expired")});
            told.extend_from_slice(format!("{event}\n").as_bytes());
            self.state.faults.fetch_add(1, Ordering::Relaxed);
        }
    }
}
