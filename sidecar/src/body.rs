//! Bodies on their way through: counted, timed, never gathered.

use crate::answer::{self, Refusal};
use crate::connection::{Movement, Turn};
use crate::guard::Patience;
use crate::limits::{DISCARD, DISCARD_LINGER, STREAM_CHECK};
use crate::proxy::Opened;
use crate::upstream::Lease;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use policy::forward::Trailers;
use policy::reason::Reason;
use std::cell::{Cell, OnceCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// Why a body ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    /// The client's is larger than allowed.
    #[error("the body is too large")]
    TooLarge,
    /// Nothing moved for too long.
    #[error("the body stands still")]
    Idle,
    /// Whoever sent it broke off, or framed it wrongly.
    #[error("the sender broke off")]
    Broken,
    /// The exchange would no longer be allowed.
    #[error("no longer allowed")]
    Ended(Reason),
}

/// What is known of the two bodies of an exchange; one thread, so cells.
///
/// While an exchange lasts it is decided anew every [`STREAM_CHECK`]. One that is over before the first time pays for that
/// with one comparison for each piece of a body: the clock is read for every piece anyway, and the timer of a body that
/// stands still is set to whichever moment is first.
pub(crate) struct Progress {
    moved: Cell<Instant>,
    /// The same for all bodies of the connection.
    connection: Rc<Movement>,
    sent: Cell<Option<Instant>>,
    fault: Cell<Option<BodyFault>>,
    limit: Duration,
    opened: Opened,
    check_at: Cell<Instant>,
    ended: OnceCell<Refusal>,
    /// The client's body, where it was given up.
    unread: Cell<Option<Incoming>>,
    has_unread: Notify,
}

impl Progress {
    pub(crate) fn new(limit: Duration, connection: Rc<Movement>, opened: Opened) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            moved: Cell::new(now),
            connection,
            sent: Cell::new(None),
            fault: Cell::new(None),
            limit,
            opened,
            check_at: Cell::new(now + STREAM_CHECK),
            ended: OnceCell::new(),
            unread: Cell::new(None),
            has_unread: Notify::new(),
        })
    }

    /// When the client's body was read to its end.
    pub(crate) fn sent(&self) -> Option<Instant> {
        self.sent.get()
    }

    /// What was wrong with the client's body.
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        self.fault.get()
    }

    /// What opened the exchange.
    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// When the exchange is to be decided anew.
    pub(crate) fn check_at(&self) -> Instant {
        self.check_at.get()
    }

    /// Why the exchange must not go on, where that is so; it is decided anew if that is due.
    pub(crate) fn ended(&self, now: Instant) -> Option<&Refusal> {
        if now >= self.check_at.get() && self.ended.get().is_none() {
            self.check_at.set(now + STREAM_CHECK);
            if let Err(refusal) = self.opened.still_allowed() {
                let _ = self.ended.set(refusal);
            }
        }
        self.ended.get()
    }

    fn refused(&self) -> Option<BodyFault> {
        self.ended.get().map(|refusal| BodyFault::Ended(refusal.reason))
    }

    /// Reads what its client still sends of a body that was given up.
    pub(crate) async fn discard_unread(self: Rc<Self>) {
        if timeout(DISCARD_LINGER, self.has_unread.notified()).await.is_ok()
            && let Some(body) = self.unread.take()
        {
            discard(body).await;
        }
    }

    /// A byte went in one direction or the other.
    pub(crate) fn note(&self) {
        self.note_at(Instant::now());
    }

    fn note_at(&self, now: Instant) {
        self.moved.set(now);
        self.connection.note(now);
    }

    /// A piece of a body is there; it goes on if the exchange still may.
    fn pass(&self, data: &Bytes) -> Result<(), BodyFault> {
        if data.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        self.note_at(now);
        self.ended(now).map_or(Ok(()), |refusal| Err(BodyFault::Ended(refusal.reason)))
    }

    /// Ready when a body that stands still is not waited for any more: nothing moved in either direction for the limit, or
    /// the exchange may not go on.
    fn poll_end(&self, patience: &mut Patience, cx: &mut Context) -> Poll<BodyFault> {
        loop {
            if let Some(fault) = self.refused() {
                return Poll::Ready(fault);
            }
            let idle_at = self.moved.get() + self.limit;
            ready!(patience.poll_until(cx, idle_at.min(self.check_at.get())));
            let now = Instant::now();
            // The other direction may have moved since.
            if now >= self.moved.get() + self.limit {
                return Poll::Ready(BodyFault::Idle);
            }
            self.ended(now);
        }
    }
}

/// The body of a request on its way to the application. Over HTTP/1 its trailers end here: an application that takes them
/// for fields of the head would believe what nobody checked.
pub(crate) struct Upload {
    /// None when this is gone.
    body: Option<Incoming>,
    left: u64,
    progress: Rc<Progress>,
    patience: Patience,
    trailers: Option<Trailers>,
}

impl Upload {
    pub(crate) fn new(body: Incoming, limit: u64, progress: Rc<Progress>, trailers: Option<Trailers>) -> Self {
        if body.is_end_stream() {
            progress.sent.set(Some(Instant::now()));
        }
        Self { body: Some(body), left: limit, progress, patience: Patience::default(), trailers }
    }

    fn end(&self) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.progress.sent.set(Some(Instant::now()));
        Poll::Ready(None)
    }

    fn end_with(&self, last: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let (Some(allowed), Ok(mut trailers)) = (&self.trailers, last.into_trailers()) else { return self.end() };
        allowed.strip(&mut trailers);
        self.progress.sent.set(Some(Instant::now()));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn fail(&self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.progress.fault.set(Some(fault));
        Poll::Ready(Some(Err(fault)))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let is_last = body.is_end_stream();
                let data = match frame.into_data() {
                    Ok(data) => data,
                    Err(last) => return this.end_with(last),
                };
                if let Err(fault) = this.progress.pass(&data) {
                    return this.fail(fault);
                }
                match this.left.checked_sub(data.len() as u64) {
                    Some(left) => this.left = left,
                    None => return this.fail(BodyFault::TooLarge),
                }
                if is_last {
                    this.progress.sent.set(Some(Instant::now()));
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Some(Err(_))) => this.fail(BodyFault::Broken),
            Poll::Ready(None) => this.end(),
            Poll::Pending => match this.progress.poll_end(&mut this.patience, cx) {
                Poll::Ready(fault) => this.fail(fault),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// Nobody sends the rest of it to the application.
impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            self.progress.unread.set(Some(body));
            self.progress.has_unread.notify_one();
        }
    }
}

/// Takes a body that nobody wants while its caller reads why. Over HTTP/2 a stream that is answered before its end has to be
/// reset (RFC 9113, section 8.1), and that reset may overtake what is in the caller's own buffers: some then tell their user
/// of a broken stream, and not of the answer. So the rest of a small body is read, and of a large one as much as a caller
/// may send before it looks.
pub(crate) async fn discard(mut body: Incoming) {
    let mut left = DISCARD;
    let reading = async {
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // Whoever is slower than that is reset.
    let _ = timeout(DISCARD_LINGER, reading).await;
}

/// The body of an answer, ours or the application's.
pub(crate) struct Outgoing {
    from: From,
    /// Ends the request's turn on its connection when the answer is through.
    pub(crate) turn: Turn,
}

enum From {
    Us(Option<Bytes>),
    App(Box<Download>),
}

/// The body of the application's answer.
pub(crate) struct Download {
    pub(crate) body: Incoming,
    pub(crate) lease: Option<Lease>,
    pub(crate) progress: Rc<Progress>,
    pub(crate) patience: Patience,
    /// Its caller reads from its trailers how a call ended, and we may say it there.
    pub(crate) ends_in_trailers: bool,
}

impl Outgoing {
    pub(crate) fn ours(text: Bytes, turn: Turn) -> Self {
        Self { from: From::Us(Some(text).filter(|text| !text.is_empty())), turn }
    }

    /// An answer of ours to HEAD: its fields, and nothing else. Over HTTP/1 hyper sees to it, over HTTP/2 it does not.
    pub(crate) fn withhold(&mut self) {
        if let From::Us(text) = &mut self.from {
            *text = None;
        }
    }

    pub(crate) fn of_app(download: Box<Download>, turn: Turn) -> Self {
        Self { from: From::App(download), turn }
    }
}

impl Download {
    fn poll(&mut self, cx: &mut Context) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(Err(fault)) = frame.data_ref().map(|data| self.progress.pass(data)) {
                    return self.end(fault);
                }
                self.return_when_read();
                Poll::Ready(Some(Ok(frame)))
            }
            // The other half may have been first to learn that the exchange is over, and to break it off.
            Poll::Ready(Some(Err(_))) => self.end(self.progress.refused().unwrap_or(BodyFault::Broken)),
            Poll::Ready(None) => {
                self.return_when_read();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let fault = ready!(self.progress.poll_end(&mut self.patience, cx));
                self.end(fault)
            }
        }
    }

    fn end(&mut self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.lease = None;
        Poll::Ready(Some(match fault {
            BodyFault::Ended(reason) if self.ends_in_trailers => Ok(Frame::trailers(answer::grpc_trailers(reason))),
            fault => Err(fault),
        }))
    }

    /// The connection is free for the next request as soon as the last byte is read.
    pub(crate) fn return_when_read(&mut self) {
        if self.body.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let polled = match &mut self.from {
            From::Us(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            From::App(download) => download.poll(cx),
        };
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.turn.record.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        if let From::App(download) = &self.from
            && let Some(refusal) = download.progress.ended.get()
        {
            self.turn.record.denied(download.progress.opened().head(), refusal.reason);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.from {
            From::Us(text) => text.is_none(),
            From::App(download) => download.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            From::Us(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            From::App(download) => download.body.size_hint(),
        }
    }
}
