//! Bodies on their way through: counted, timed, never gathered.

use crate::connection::Turn;
use crate::guard::Patience;
use crate::upstream::Lease;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

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
}

/// What is known of the two bodies of an exchange; one thread, so cells.
#[derive(Debug)]
pub(crate) struct Progress {
    moved: Cell<Instant>,
    /// The same for all bodies of the connection.
    connection: Rc<Cell<Instant>>,
    sent: Cell<Option<Instant>>,
    fault: Cell<Option<BodyFault>>,
    limit: Duration,
}

impl Progress {
    pub(crate) fn new(limit: Duration, connection: Rc<Cell<Instant>>) -> Rc<Self> {
        let moved = Cell::new(Instant::now());
        Rc::new(Self { moved, connection, sent: Cell::new(None), fault: Cell::new(None), limit })
    }

    /// When the client's body was read to its end.
    pub(crate) fn sent(&self) -> Option<Instant> {
        self.sent.get()
    }

    /// What was wrong with the client's body.
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        self.fault.get()
    }

    /// A byte went in one direction or the other.
    pub(crate) fn note(&self) {
        let now = Instant::now();
        self.moved.set(now);
        self.connection.set(now);
    }

    /// Ready when nothing moved in either direction for the limit.
    pub(crate) fn poll_idle(&self, patience: &mut Patience, cx: &mut Context) -> Poll<()> {
        loop {
            let until = self.moved.get() + self.limit;
            match patience.poll_until(cx, until) {
                // The other direction may have moved since.
                Poll::Ready(()) if self.moved.get() + self.limit > until => {}
                poll => return poll,
            }
        }
    }
}

/// The body of a request on its way to the application. Trailers end here: an application that takes them for fields of
/// the head would believe what nobody checked.
pub(crate) struct Upload {
    body: Incoming,
    left: u64,
    progress: Rc<Progress>,
    patience: Patience,
}

impl Upload {
    pub(crate) fn new(body: Incoming, limit: u64, progress: Rc<Progress>) -> Self {
        if body.is_end_stream() {
            progress.sent.set(Some(Instant::now()));
        }
        Self { body, left: limit, progress, patience: Patience::default() }
    }

    fn end(&self) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.progress.sent.set(Some(Instant::now()));
        Poll::Ready(None)
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
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.progress.note();
                let Ok(data) = frame.into_data() else { return this.end() };
                match this.left.checked_sub(data.len() as u64) {
                    Some(left) => this.left = left,
                    None => return this.fail(BodyFault::TooLarge),
                }
                if this.body.is_end_stream() {
                    this.progress.sent.set(Some(Instant::now()));
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Some(Err(_))) => this.fail(BodyFault::Broken),
            Poll::Ready(None) => this.end(),
            Poll::Pending => match this.progress.poll_idle(&mut this.patience, cx) {
                Poll::Ready(()) => this.fail(BodyFault::Idle),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
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
                self.progress.note();
                self.return_when_read();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => {
                self.lease = None;
                Poll::Ready(Some(Err(BodyFault::Broken)))
            }
            Poll::Ready(None) => {
                self.return_when_read();
                Poll::Ready(None)
            }
            Poll::Pending => self.progress.poll_idle(&mut self.patience, cx).map(|()| {
                self.lease = None;
                Some(Err(BodyFault::Idle))
            }),
        }
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
