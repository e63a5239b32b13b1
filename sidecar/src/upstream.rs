//! The application: connections to it, and the one function that sends it a request.

mod outbound;
mod pool;
mod response;
pub(crate) mod tunnel;

pub(crate) use outbound::Outbound;
pub(crate) use pool::Lease;

use crate::body::{BodyFault, Download, Progress, Upload};
use crate::guard::Patience;
use crate::limits::{H1_BUFFER, Limits};
use crate::metrics::Counters;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use policy::reason::{BadRequest, Reason};
use pool::Pool;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// The application as one worker sees it.
pub(crate) struct Upstream {
    address: SocketAddr,
    pool: Rc<Pool>,
    connect: Duration,
    counters: Arc<Counters>,
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
        Self { address, pool: Rc::new(Pool::new(limits.pool, limits.pool_idle)), connect: limits.connect, counters }
    }

    /// Sends a request; an [`Outbound`] is made from a permit and from nothing else.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn send(
        &self,
        outbound: Outbound,
        upload: Upload,
        progress: Rc<Progress>,
        patience: Duration,
    ) -> Result<Arrival, Reason> {
        let started = Instant::now();
        let upgrade = outbound.wants_upgrade();
        let mut request = outbound.into_request(upload);
        // The answer to an upgrade takes its connection with it, so it gets one of its own.
        let pooled = if upgrade { None } else { self.pool.take() };
        if let Some(mut sender) = pooled {
            let sent = await_head(sender.try_send_request(request), &progress, started, patience).await?;
            match sent {
                Ok(response) => {
                    self.counters.app_reuses.add(1);
                    return self.arrived(response, sender, progress);
                }
                // The application closed it while it was idle: nothing of the request left us, so nothing can happen twice.
                Err(mut error) => request = error.take_message().ok_or_else(|| failure(&progress))?,
            }
        }
        let dialled = self.dial(upgrade).await;
        let counted = if dialled.is_ok() { &self.counters.app_connects } else { &self.counters.app_failures };
        counted.add(1);
        let mut sender = dialled?;
        let sent = await_head(sender.try_send_request(request), &progress, started, patience).await?;
        let response = sent.map_err(|_| failure(&progress))?;
        if upgrade && response::agrees(&response) {
            let (head, app_side) = response::switching(response);
            return Ok(Arrival::Tunnel(head, app_side));
        }
        self.arrived(response, sender, progress)
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

    fn arrived(
        &self,
        response: Response<Incoming>,
        sender: SendRequest<Upload>,
        progress: Rc<Progress>,
    ) -> Result<Arrival, Reason> {
        // A change of protocol that nobody asked for: what follows would be bytes that no rule was asked about.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Reason::AppReset);
        }
        progress.note();
        let (mut head, body) = response.into_parts();
        let lease = Lease::new(sender, &self.pool, response::keep_alive(&head.headers));
        response::strip(&mut head.headers);
        let mut download = Box::new(Download { body, lease: Some(lease), progress, patience: Patience::default() });
        download.return_when_read();
        Ok(Arrival::Answer(Response::from_parts(head, download)))
    }

    /// Closes connections that were idle for too long, for ever.
    pub(crate) async fn sweep(&self) {
        self.pool.sweep().await;
    }
}

/// The response head: in time from the start while the body is under way, and in time once more after its end.
async fn await_head(
    sent: impl Future<Output = Sent>,
    progress: &Progress,
    started: Instant,
    patience: Duration,
) -> Result<Sent, Reason> {
    let mut sent = pin!(sent);
    let mut until = started + patience;
    loop {
        if let Ok(sent) = timeout_at(until, sent.as_mut()).await {
            return Ok(sent);
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
        None => Reason::AppReset,
    }
}
