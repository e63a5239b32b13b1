//! HTTP/2 connections to the application, each for many requests at once.

use super::{Sent, await_head, failure};
use crate::body::{Progress, Upload};
use crate::executor::LocalExecutor;
use crate::limits::{
    H2_FRAME, H2_HEADER_TABLE, H2_HEADERS, H2_LOCAL_RESETS, H2_PENDING_RESETS, H2_SEND_BUFFER, H2C_ATTEMPTS,
    H2C_CONNECTION_WINDOW, H2C_SETTINGS_CHECK, H2C_STREAM_WINDOW, H2C_STREAMS, Limits,
};
use crate::metrics::Counters;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use policy::reason::Reason;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// The connections of one worker.
pub(super) struct Streams {
    address: SocketAddr,
    open: RefCell<Vec<Rc<Shared>>>,
    most: usize,
    keep: Duration,
    connect: Duration,
    counters: Arc<Counters>,
    /// When dialling failed last. One dials, and who waits meanwhile gets its connection or its failure.
    failed: Mutex<Option<Instant>>,
}

/// One connection.
struct Shared {
    sender: SendRequest<Upload>,
    /// Requests on it.
    streams: Cell<usize>,
    /// Requests that the application takes on it.
    room: Rc<Cell<usize>>,
    used: Cell<Instant>,
}

/// A request's place on a connection.
pub(crate) struct Place(Rc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get().saturating_sub(1));
        self.0.used.set(Instant::now());
    }
}

impl Shared {
    fn has_room(&self) -> bool {
        self.streams.get() < self.room.get().min(H2C_STREAMS as usize)
    }
}

impl Streams {
    pub(super) fn new(address: SocketAddr, limits: &Limits, counters: Arc<Counters>) -> Self {
        Self {
            address,
            open: RefCell::default(),
            most: limits.pool.max(1),
            keep: limits.pool_idle,
            connect: limits.connect,
            counters,
            failed: Mutex::new(None),
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        mut request: Request<Upload>,
        progress: &Progress,
        patience: Duration,
    ) -> Result<(Response<Incoming>, Place), Reason> {
        let started = Instant::now();
        for _ in 0..H2C_ATTEMPTS {
            let place = self.place(started).await?;
            let mut sender = place.0.sender.clone();
            let sent: Sent = await_head(sender.try_send_request(request), progress, started, patience).await?;
            match sent {
                Ok(response) => return Ok((response, place)),
                // The application closed the connection before anything of the request left us.
                Err(mut error) => request = error.take_message().ok_or_else(|| failure(progress))?,
            }
        }
        Err(Reason::AppReset)
    }

    async fn place(&self, asked: Instant) -> Result<Place, Reason> {
        if let Some(place) = self.take() {
            self.counters.app_reuses.add(1);
            return Ok(place);
        }
        let mut failed = self.failed.lock().await;
        if let Some(place) = self.take() {
            self.counters.app_reuses.add(1);
            return Ok(place);
        }
        if failed.is_some_and(|at| at >= asked) {
            return Err(Reason::AppUnreachable);
        }
        match timeout(self.connect, self.dial()).await.ok().flatten() {
            Some(shared) => {
                self.counters.app_connects.add(1);
                self.open.borrow_mut().push(Rc::clone(&shared));
                shared.streams.set(1);
                Ok(Place(shared))
            }
            None => {
                self.counters.app_failures.add(1);
                *failed = Some(Instant::now());
                Err(Reason::AppUnreachable)
            }
        }
    }

    /// A place on the first connection that has one, so that the others can go; at the bound on the one with the fewest.
    fn take(&self) -> Option<Place> {
        self.sweep();
        let open = self.open.borrow();
        let free = open.iter().find(|shared| shared.has_room());
        let crowded = || open.iter().filter(|_| open.len() >= self.most).min_by_key(|shared| shared.streams.get());
        let shared = Rc::clone(free.or_else(crowded)?);
        shared.streams.set(shared.streams.get() + 1);
        Some(Place(shared))
    }

    async fn dial(&self) -> Option<Rc<Shared>> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        // As with callers: without it the connection is only slower.
        let _ = stream.set_nodelay(true);
        let (sender, mut connection) = builder().handshake(TokioIo::new(stream)).await.ok()?;
        let room = Rc::new(Cell::new(0));
        // Before the application says how many requests it takes, it might refuse all but a few. The library does not tell
        // when it has, and a connection is made seldom.
        while room.get() == 0 {
            if poll_fn(|cx| Poll::Ready(look(&mut connection, &room, cx))).await.is_ready() {
                return None;
            }
            sleep(H2C_SETTINGS_CHECK).await;
        }
        tokio::task::spawn_local(drive(connection, Rc::clone(&room)));
        Some(Rc::new(Shared { sender, streams: Cell::new(0), room, used: Cell::new(Instant::now()) }))
    }

    /// Closes what nobody used for a while.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let rests = |shared: &Shared| shared.streams.get() == 0 && now >= shared.used.get() + self.keep;
        self.open.borrow_mut().retain(|shared| !shared.sender.is_closed() && !rests(shared));
    }
}

type Driven = Connection<TokioIo<TcpStream>, Upload, LocalExecutor>;

/// Runs a connection until it ends, and tells how many requests the application takes on it. Whatever ends it, the requests
/// on it learn it themselves.
async fn drive(mut connection: Driven, room: Rc<Cell<usize>>) {
    poll_fn(|cx| look(&mut connection, &room, cx)).await;
}

fn look(connection: &mut Driven, room: &Cell<usize>, cx: &mut Context) -> Poll<()> {
    let ended = Pin::new(&mut *connection).poll(cx);
    room.set(connection.current_max_send_streams());
    ended.map(drop)
}

/// The application is in the same pod: no pings, its own time bounds what it does.
fn builder() -> Builder<LocalExecutor> {
    let mut builder = Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .initial_max_send_streams(0)
        .initial_stream_window_size(H2C_STREAM_WINDOW)
        .initial_connection_window_size(H2C_CONNECTION_WINDOW)
        .adaptive_window(false)
        .max_frame_size(H2_FRAME)
        .max_header_list_size(H2_HEADERS)
        .header_table_size(H2_HEADER_TABLE)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS)
        .max_local_error_reset_streams(H2_LOCAL_RESETS)
        .max_send_buf_size(H2_SEND_BUFFER)
        .keep_alive_interval(None);
    builder
}
