//! The application: connections to it, and the one function that sends it a request.

mod outbound;
mod pool;
mod response;
mod streams;
pub(crate) mod tunnel;

pub(crate) use outbound::Outbound;

use crate::body::{BodyFault, Download, Progress, Upload};
use crate::guard::Patience;
use crate::limits::{H1_BUFFER, Limits};
use crate::metrics::Counters;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use policy::reason::{BadRequest, Reason};
use policy::wire::AppProtocol;
use pool::Pool;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use streams::Streams;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// The application as one worker sees it.
pub(crate) struct Upstream {
    address: SocketAddr,
    pool: Rc<Pool>,
    streams: Streams,
    connect: Duration,
    keep: Duration,
    counters: Arc<Counters>,
}

/// What an answer occupies until it is read to its end.
pub(crate) enum Lease {
    /// Of HTTP/1: the whole connection.
    Connection(pool::Lease),
    /// Of HTTP/2: one stream.
    Place(streams::Place),
}

impl Lease {
    /// The answer was read to its end.
    pub(crate) fn give_back(self) {
        match self {
            Self::Connection(lease) => lease.give_back(),
            Self::Place(place) => drop(place),
        }
    }
}

/// What the application made of a request.
pub(crate) enum Arrival {
    /// An answer.
    Answer(Response<Box<Download>>),
    /// It agreed to change the protocol: the head that says so, and its side of the tunnel.
    Tunnel(Response<()>, OnUpgrade),
}

type Sent = Result<Response<Incoming>, TrySendError<Request<Upload>>>;

impl Upstream {
    pub(crate) fn new(address: SocketAddr, limits: &Limits, counters: Arc<Counters>) -> Self {
        let pool = Rc::new(Pool::new(limits.pool, limits.pool_idle));
        let streams = Streams::new(address, limits, Arc::clone(&counters));
        Self { address, pool, streams, connect: limits.connect, keep: limits.pool_idle, counters }
    }

    /// Sends a request; an [`Outbound`] is made from a permit and from nothing else.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn send(
        &self,
        outbound: Outbound,
        upload: Upload,
        progress: &Rc<Progress>,
        patience: Duration,
    ) -> Result<Arrival, Reason> {
        match outbound.protocol() {
            AppProtocol::Http1 => self.send_alone(outbound, upload, progress, patience).await,
            AppProtocol::H2c => {
                let sending = self.streams.send(outbound.into_request(upload), progress, patience);
                // In a box, so that requests over HTTP/1 need not have room for it.
                let (response, place) = Box::pin(sending).await?;
                arrived(response, |_| Lease::Place(place), progress)
            }
        }
    }

    /// Over HTTP/1 a request has its connection for itself.
    async fn send_alone(
        &self,
        outbound: Outbound,
        upload: Upload,
        progress: &Rc<Progress>,
        patience: Duration,
    ) -> Result<Arrival, Reason> {
        let started = Instant::now();
        let upgrade = outbound.wants_upgrade();
        let mut request = outbound.into_request(upload);
        let lease = |sender| {
            |head: &HeaderMap| Lease::Connection(pool::Lease::new(sender, &self.pool, response::keep_alive(head)))
        };
        // The answer to an upgrade takes its connection with it, so it gets one of its own.
        let pooled = if upgrade { None } else { self.pool.take() };
        if let Some(mut sender) = pooled {
            let sent = await_head(sender.try_send_request(request), progress, started, patience).await?;
            match sent {
                Ok(response) => {
                    self.counters.app_reuses.add(1);
                    return arrived(response, lease(sender), progress);
                }
                // The application closed it while it was idle: nothing of the request left us, so nothing can happen twice.
                Err(mut error) => request = error.take_message().ok_or_else(|| failure(progress))?,
            }
        }
        let dialled = self.dial(upgrade).await;
        let counted = if dialled.is_ok() { &self.counters.app_connects } else { &self.counters.app_failures };
        counted.add(1);
        let mut sender = dialled?;
        let sent = await_head(sender.try_send_request(request), progress, started, patience).await?;
        let response = sent.map_err(|_| failure(progress))?;
        if upgrade && response::agrees(&response) {
            let (head, app_side) = response::switching(response);
            return Ok(Arrival::Tunnel(head, app_side));
        }
        arrived(response, lease(sender), progress)
    }

    async fn dial(&self, upgrade: bool) -> Result<SendRequest<Upload>, Reason> {
        let connecting = timeout(self.connect, TcpStream::connect(self.address)).await;
        let stream = connecting.ok().and_then(Result::ok).ok_or(Reason::AppUnreachable)?;
        // As with callers: without it the connection is only slower.
        let _ = stream.set_nodelay(true);
        let handshake = Builder::new().max_buf_size(H1_BUFFER).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|_| Reason::AppUnreachable)?;
        // Whatever ends the connection, the request on it learns it from its own future or body.
        if upgrade {
            tokio::task::spawn_local(async move { drop(connection.with_upgrades().await) });
        } else {
            tokio::task::spawn_local(async move { drop(connection.await) });
        }
        Ok(sender)
    }

    /// Closes connections that were idle for too long, for ever.
    pub(crate) async fn sweep(&self) {
        loop {
            sleep(self.keep).await;
            self.pool.sweep();
            self.streams.sweep();
        }
    }
}

fn arrived(
    response: Response<Incoming>,
    lease: impl FnOnce(&HeaderMap) -> Lease,
    progress: &Rc<Progress>,
) -> Result<Arrival, Reason> {
    // A change of protocol that nobody asked for: what follows would be bytes that no rule was asked about.
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Reason::AppReset);
    }
    progress.note();
    let (mut head, body) = response.into_parts();
    let lease = Some(lease(&head.headers));
    response::strip(&mut head.headers);
    // Each hop has a version of its own (RFC 9110, section 6.2): an application that answers in HTTP/1.0 ends its own connection only.
    head.version = Version::HTTP_11;
    let (progress, patience) = (Rc::clone(progress), Patience::default());
    let mut download = Box::new(Download { body, lease, progress, patience, ends_in_trailers: false });
    download.return_when_read();
    Ok(Arrival::Answer(Response::from_parts(head, download)))
}

/// The response head: in time from the start while the body is under way, and in time once more after its end; and only while
/// the request would still be let pass.
async fn await_head(
    sent: impl Future<Output = Sent>,
    progress: &Progress,
    started: Instant,
    patience: Duration,
) -> Result<Sent, Reason> {
    let mut sent = pin!(sent);
    let mut until = started + patience;
    loop {
        let look_at = progress.check_at();
        if let Ok(sent) = timeout_at(until.min(look_at), sent.as_mut()).await {
            return Ok(sent);
        }
        if let Some(refusal) = progress.ended(Instant::now()) {
            return Err(refusal.reason);
        }
        if look_at < until {
            continue;
        }
        let body_end = progress.sent().ok_or(Reason::RequestTimeout)?;
        if body_end + patience <= until {
            return Err(Reason::AppTimeout);
        }
        until = body_end + patience;
    }
}

/// Whose fault it is that there is no answer.
fn failure(progress: &Progress) -> Reason {
    match progress.fault() {
        Some(BodyFault::TooLarge) => Reason::BodyTooLarge,
        Some(BodyFault::Idle) => Reason::RequestTimeout,
        Some(BodyFault::Broken) => Reason::BadRequest(BadRequest::Framing),
        Some(BodyFault::Ended(reason)) => reason,
        None => Reason::AppReset,
    }
}
