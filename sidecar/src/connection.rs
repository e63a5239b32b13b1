//! One connection: its handshake, and HTTP on it until it ends.

mod arrival;
mod peer;
mod plaintext;
mod registry;
mod transport;

pub(crate) use registry::{Registry, watch};

use crate::answer;
use crate::body::{Outgoing, Progress, discard};
use crate::clock::Clock;
use crate::drain;
use crate::events::Record;
use crate::executor::LocalExecutor;
use crate::guard::{Guarded, Length, Phase};
use crate::limits::{self, Limits};
use crate::listener::Slot;
use crate::proxy::Worker;
use arrival::Arrived;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use peer::JudgedPeer;
use std::cell::Cell;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use transport::Transport;

/// What the requests on one connection share.
pub(crate) struct Connection {
    pub(crate) peer: JudgedPeer,
    pub(crate) is_h2: bool,
    pub(crate) address: SocketAddr,
    phase: Arc<Phase>,
    tunnel: Cell<bool>,
    open: Cell<usize>,
    /// Requests that it had.
    turns: Cell<u64>,
    /// Requests whose answer has not begun.
    waiting: Cell<usize>,
    moved: Rc<Movement>,
    ending: Ending,
    /// Whether one of its requests waits for a key.
    awaits_key: Cell<bool>,
    idle: Duration,
    /// From when on it takes no further request.
    old_from: Instant,
    slot: Slot,
}

/// When anything last moved in a body, or a request began or ended.
pub(crate) struct Movement {
    at: Cell<Instant>,
    phase: Arc<Phase>,
}

impl Movement {
    pub(crate) fn note(&self, now: Instant) {
        self.at.set(now);
        self.phase.note_movement();
    }
}

/// A request from its head to the end of its answer.
pub(crate) struct Turn {
    connection: Rc<Connection>,
    length: Length,
    pub(crate) record: Record,
}

impl Connection {
    /// A request begins.
    pub(crate) fn turn(self: &Rc<Self>, record: Record, body: &Incoming) -> Turn {
        if !self.is_h2 {
            self.phase.set_free();
        }
        self.open.set(self.open.get() + 1);
        self.moved.note(Instant::now());
        self.turns.set(self.turns.get() + 1);
        let length = body.size_hint().exact().map_or(Length::Chunked, Length::Known);
        Turn { connection: Rc::clone(self), length, record }
    }

    /// Where bodies note that they move.
    pub(crate) fn moved(&self) -> Rc<Movement> {
        Rc::clone(&self.moved)
    }

    /// The body of a request that is answered without it. Its caller may be sending it for a while, and must not be cut off
    /// before it has read the answer.
    pub(crate) fn leave_unread(&self, body: Incoming) {
        if body.is_end_stream() {
            return;
        }
        if self.is_h2 {
            spawn_local(discard(body));
        } else {
            self.phase.leave_unread();
        }
    }

    /// As above, where the application did not get the whole of it.
    pub(crate) fn leave_upload(&self, progress: Rc<Progress>) {
        if progress.sent().is_some() {
            return;
        }
        if self.is_h2 {
            spawn_local(progress.discard_unread());
        } else {
            self.phase.leave_unread();
        }
    }

    /// No request head will follow: what comes is another protocol.
    pub(crate) fn becomes_tunnel(&self) {
        self.tunnel.set(true);
    }

    /// Whether it was used for as long as `limits.connectionAge` and its caller's certificate let it.
    pub(crate) fn is_over(&self, clock: Clock) -> bool {
        Instant::now() >= self.old_from || self.peer.ends_soon(clock)
    }

    /// The one place of this connection among the requests that wait for a key; none where it is taken.
    pub(crate) fn waits_for_key(&self) -> Option<AwaitsKey<'_>> {
        (!self.awaits_key.replace(true)).then_some(AwaitsKey(&self.awaits_key))
    }

    /// How many requests it had; none while one is under way.
    fn activity(&self) -> Option<u64> {
        (self.open.get() == 0 && (self.is_h2 || self.phase.is_between())).then_some(self.turns.get())
    }

    /// Whether nothing has been under way for so long.
    fn is_at_rest(&self, since: Duration) -> bool {
        self.activity().is_some() && self.moved.at.get().elapsed() >= since
    }

    /// Takes no further request; what is under way may end.
    pub(crate) fn end_gently(&self) {
        self.ending.ask(false);
    }

    /// Takes no further request; what is under way ends in [`limits::CLOSING`].
    pub(crate) fn end_now(&self) {
        self.ending.ask(true);
    }
}

/// See [`Connection::waits_for_key`].
pub(crate) struct AwaitsKey<'a>(&'a Cell<bool>);

impl Drop for AwaitsKey<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.open.set(connection.open.get().saturating_sub(1));
        if connection.is_h2 {
            connection.moved.note(Instant::now());
        } else if !connection.tunnel.get() {
            connection.moved.note(Instant::now());
            connection.phase.expect_head(self.length);
        }
    }
}

/// How a connection is asked to end, from outside its own task.
#[derive(Default)]
struct Ending {
    asked: Notify,
    urgent: Cell<bool>,
}

impl Ending {
    fn ask(&self, urgent: bool) {
        self.urgent.set(urgent || self.urgent.get());
        self.asked.notify_one();
    }

    /// Waits until it is asked for.
    async fn comes(&self) {
        self.asked.notified().await;
    }

    /// Waits until it is asked for without delay, and then for as long as what is under way may take.
    async fn closes(&self) {
        while !self.urgent.get() {
            self.asked.notified().await;
        }
        sleep(limits::CLOSING).await;
    }
}

/// Serves a connection until it ends, whoever ends it.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, address: SocketAddr, slot: Slot) {
    // A connection that cannot be configured is as good as any other: it is only slower.
    let _ = stream.set_nodelay(true);
    let arriving = timeout(worker.limits.handshake, arrival::arrive(&worker, stream, address));
    let arrived = arriving.await.inspect_err(|_| worker.events.counters.handshake_failures.add(1));
    let Ok(Some(Arrived { transport, peer, is_h2 })) = arrived else { return };
    let phase = Arc::new(Phase::default());
    if is_h2 {
        phase.set_h2();
    }
    let limits = {
        let policy = worker.state.load().in_force().ok().map(|in_force| in_force.ruleset.limits());
        worker.limits.under(policy)
    };
    let io = TokioIo::new(Guarded::new(transport, Arc::clone(&phase), worker.limits.head, limits.idle));
    let connection = Rc::new(Connection {
        peer,
        is_h2,
        address,
        phase: Arc::clone(&phase),
        tunnel: Cell::new(false),
        open: Cell::new(0),
        turns: Cell::new(0),
        waiting: Cell::new(0),
        moved: Rc::new(Movement { at: Cell::new(Instant::now()), phase }),
        ending: Ending::default(),
        awaits_key: Cell::new(false),
        idle: limits.idle,
        old_from: Instant::now() + jittered(limits.age),
        slot,
    });
    worker.connections.opened(&connection);
    if is_h2 { serve_h2(worker, connection, io).await } else { serve_h1(worker, connection, io).await }
}

type Io = TokioIo<Guarded<Transport>>;

async fn respond(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Infallible> {
    let is_head = request.method() == Method::HEAD;
    let waiting = Waiting::new(&connection);
    let mut response = worker.answer(&connection, request).await;
    drop(waiting);
    if is_head {
        response.body_mut().withhold();
    }
    let status = response.status();
    response.body_mut().turn.record.answered(status);
    // In a tunnel the field has another meaning, and the end of it is its own.
    if worker.drain.has_begun() && status != StatusCode::SWITCHING_PROTOCOLS {
        answer::end_connection(&mut response, connection.is_h2);
    }
    Ok(response)
}

async fn serve_h1(worker: Rc<Worker>, connection: Rc<Connection>, io: Io) {
    let idle = connection.idle;
    let (local, events, shared) = (Rc::clone(&worker.drain), Rc::clone(&worker.events), Rc::clone(&connection));
    let service = service_fn(move |request| respond(Rc::clone(&worker), Rc::clone(&shared), request));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(limits::H1_BUFFER)
        .max_header_size(limits::H1_HEAD)
        .half_close(false)
        .keep_alive(true);
    // How a connection ended tells nothing that the requests on it did not: they were answered, or nobody is there.
    let mut serving = pin!(builder.serve_connection(io, service).with_upgrades());
    let served = tokio::select! {
        served = serving.as_mut() => served,
        // hyper's own graceful shutdown would drop a head of which it has read a part. This one ends where nothing has
        // arrived, and what has is answered, by an answer that closes.
        () = ends(&local, &connection) => {
            connection.phase.end();
            tokio::select! {
                served = serving.as_mut() => served,
                () = connection.ending.closes() => return,
            }
        }
    };
    if served.is_err_and(|error| error.is_parse()) {
        events.counters.parser_refused.add(1);
    }
}

/// Ends when an HTTP/1 connection is not to wait for a further request.
async fn ends(local: &Rc<drain::Local>, connection: &Connection) {
    tokio::select! {
        () = drain::quiet(local, || connection.activity()) => {}
        () = connection.ending.comes() => {}
    }
}

async fn serve_h2(worker: Rc<Worker>, connection: Rc<Connection>, io: Io) {
    let idle = connection.idle;
    let (local, shared) = (Rc::clone(&worker.drain), Rc::clone(&connection));
    let builder = h2_builder(&worker.limits);
    let service = service_fn(move |request| respond(Rc::clone(&worker), Rc::clone(&shared), request));
    let mut serving = pin!(builder.serve_connection(io, service));
    tokio::select! {
        _ = serving.as_mut() => return,
        () = connection.ending.comes() => {}
        () = idle_for(&connection, idle) => connection.end_now(),
        () = drain::goes_away(&local, || connection.turns.get() > 0) => {
            serving.as_mut().graceful_shutdown();
            // The drain has its own end for what is in flight.
            let _ = serving.await;
            return;
        }
    }
    serving.as_mut().graceful_shutdown();
    loop {
        tokio::select! {
            _ = serving.as_mut() => return,
            () = connection.ending.closes() => return,
            // What nobody reads is not waited for.
            () = idle_for(&connection, idle), if !connection.ending.urgent.get() => connection.end_now(),
        }
    }
}

fn h2_builder(limits: &Limits) -> hyper::server::conn::http2::Builder<LocalExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::H2_STREAMS)
        .initial_stream_window_size(limits::H2_STREAM_WINDOW)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW)
        .adaptive_window(false)
        .max_frame_size(limits::H2_FRAME)
        .max_header_list_size(limits::H2_HEADERS)
        .header_table_size(limits::H2_HEADER_TABLE)
        .max_pending_accept_reset_streams(limits::H2_PENDING_RESETS)
        .max_local_error_reset_streams(limits::H2_LOCAL_RESETS)
        .max_send_buf_size(limits::H2_SEND_BUFFER)
        .keep_alive_interval(limits.ping)
        .keep_alive_timeout(limits.pong);
    builder
}

/// A request from its head to the head of its answer, or to its caller's change of mind.
struct Waiting(Rc<Connection>);

impl Waiting {
    fn new(connection: &Rc<Connection>) -> Self {
        connection.waiting.set(connection.waiting.get() + 1);
        Self(Rc::clone(connection))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
        self.0.moved.note(Instant::now());
    }
}

/// Ends when nothing moved on any stream for so long; pings do not count, nor does a stream that its caller does not read.
async fn idle_for(connection: &Connection, idle: Duration) {
    loop {
        // While the application thinks, its own time counts.
        let since = if connection.waiting.get() > 0 { Instant::now() } else { connection.moved.at.get() };
        if since.elapsed() >= idle {
            return;
        }
        sleep_until(since + idle).await;
    }
}

/// Up to a tenth more or less, so that connections that came together do not go together.
fn jittered(age: Duration) -> Duration {
    let random = u16::try_from(RandomState::new().hash_one(()) >> 48).unwrap_or_default();
    let share = f64::from(random) / f64::from(u16::MAX);
    age.mul_f64(0.9 + 0.2 * share)
}
