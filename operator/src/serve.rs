//! The operator's server for sidecars: streams, reports, certificates, each for the pod that shows who it is.

mod answer;
mod bounds;
mod certificate;
mod health;
mod identity;
mod listener;
mod report;
mod stream;
mod transport;
pub mod webhooks;

pub use health::Health;
pub use identity::{KubeReviewer, ReviewError, Reviewer};
pub use report::UnknownKeys;

use crate::ca::Authority;
use crate::hub::{Hub, PodId};
use crate::limits::{Limits, STOP};
use crate::metrics::Metrics;
use answer::{Answer, Refusal};
use bounds::{Places, Rates};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use identity::Identities;
use policy::wire::{CERTIFICATE_PATH, CONFIG_PATH, MAX_CERTIFICATE_REQUEST_BYTES, MAX_REPORT_BYTES, REPORT_PATH};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// What the server is made of.
pub struct ServerParts {
    /// What every pod should run.
    pub hub: Arc<Hub>,
    /// Who says whose a token is.
    pub reviewer: Arc<dyn Reviewer>,
    /// The CA, and the certificate of the server itself.
    pub authority: Arc<Authority>,
    /// Who fetches keys.
    pub unknown_keys: Arc<dyn UnknownKeys>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Every bound.
    pub limits: Limits,
}

impl fmt::Debug for ServerParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerParts").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("the address cannot be bound")]
    Bind(#[from] io::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// The server for sidecars.
#[derive(Debug)]
pub struct Server;

/// A server that runs until it is stopped; dropping this lets it run on.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stage: watch::Sender<Stage>,
    connections: Arc<Semaphore>,
    all: usize,
}

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    /// Nothing new is accepted, streams end, answers in flight are finished.
    Stopping,
    /// What is still open is closed.
    Closed,
}

/// What all connections share.
struct Shared {
    parts: ServerParts,
    identities: Identities,
    connections: Arc<Semaphore>,
    addresses: Arc<Places<IpAddr>>,
    streams: Arc<Places<PodId>>,
    reports: Rates<PodId>,
    certificates: Rates<PodId>,
    stage: watch::Sender<Stage>,
}

impl Server {
    /// Binds and serves. Handshakes succeed once the authority has a CA.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(address: SocketAddr, parts: ServerParts) -> Result<Running, StartError> {
        let listener = listener::bind(address)?;
        let address = listener.local_addr()?;
        let tls = parts.authority.serving_config()?;
        let all = parts.limits.connections;
        let connections = Arc::new(Semaphore::new(all));
        let stage = watch::Sender::new(Stage::Serving);
        let shared = Arc::new(Shared {
            identities: Identities::new(Arc::clone(&parts.reviewer), Arc::clone(&parts.metrics), &parts.limits),
            connections: Arc::clone(&connections),
            addresses: Places::new(parts.limits.connections_per_address),
            streams: Places::new(parts.limits.streams_per_pod),
            reports: Rates::new(parts.limits.reports_per_pod),
            certificates: Rates::new(parts.limits.certificates_per_pod),
            stage: stage.clone(),
            parts,
        });
        tokio::spawn(listener::accept(shared, listener, tls));
        Ok(Running::new(address, stage, connections, all))
    }
}

impl Running {
    fn new(address: SocketAddr, stage: watch::Sender<Stage>, connections: Arc<Semaphore>, all: usize) -> Self {
        Self { address, stage, connections, all }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, ends streams, finishes answers within [`STOP`], closes what is left.
    pub async fn stop(self) {
        self.stage.send_replace(Stage::Stopping);
        // Every connection has a permit: with all of them in hand none is open.
        let all = u32::try_from(self.all).unwrap_or(u32::MAX);
        let _ = timeout(STOP, self.connections.acquire_many(all)).await;
        self.stage.send_replace(Stage::Closed);
    }
}

/// The answer to any request; a refusal is counted and told here and nowhere else.
async fn answer_to(request: Request<Incoming>, shared: &Arc<Shared>, address: IpAddr) -> Answer {
    let mut pod = None;
    let outcome = route(request, shared, address, &mut pod).await;
    outcome.unwrap_or_else(|refusal| {
        shared.parts.metrics.refused(refusal.code);
        match pod {
            Some(pod) => tracing::info!(%pod, %address, code = refusal.code, "a request of a pod is refused"),
            None => tracing::debug!(%address, code = refusal.code, "a request is refused"),
        }
        refusal.into()
    })
}

async fn route(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    address: IpAddr,
    pod: &mut Option<PodId>,
) -> Result<Answer, Refusal> {
    let (method, body_limit) = match request.uri().path() {
        CONFIG_PATH => (Method::GET, 0),
        REPORT_PATH => (Method::POST, MAX_REPORT_BYTES),
        CERTIFICATE_PATH => (Method::POST, MAX_CERTIFICATE_REQUEST_BYTES),
        _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "not_found", "no such path").closing()),
    };
    if request.method() != method {
        let message = format!("{method} is the method here");
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).closing());
    }
    let (head, body) = request.into_parts();
    let identity = match head.uri.path() {
        REPORT_PATH => shared.identities.identify_reporter(&head.headers, address).await,
        _ => shared.identities.identify(&head.headers, address).await,
    };
    let identity = identity.map_err(Refusal::closing)?;
    *pod = Some(identity.pod.clone());
    let body = timeout(shared.parts.limits.body, read(body, body_limit)).await.unwrap_or_else(|_| {
        Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not come in time").closing())
    })?;
    match head.uri.path() {
        CONFIG_PATH => stream::open(shared, &identity, head.uri.query()),
        REPORT_PATH => report::take(shared, &identity, &body),
        _ => certificate::issue(shared, &identity, &body),
    }
}

async fn read(body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("the body has more than {limit} bytes");
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message).closing())
        }
        Err(_) => Err(Refusal::bad("body_broken", "the body ended early").closing()),
    }
}
