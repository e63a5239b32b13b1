//! Times on the bytes of a connection.
//!
//! hyper's own timer for request heads runs while a connection is idle too, so it cannot be as strict as a head needs. Here
//! a head has its time from its first byte on, and a peer that does not read what it asked for is not waited for forever.
//!
//! The first bytes of a head that came in one read with the end of the request before it are hyper's already and not seen
//! here: such a head has the time of an idle connection, and costs no more than one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What the next byte of a connection belongs to. Atomic only because hyper wants an upgraded connection to be `Send`;
/// one thread uses it.
#[derive(Debug, Default)]
pub(crate) struct Phase {
    next: AtomicU8,
    ending: AtomicBool,
}

/// Nothing, or the first byte of a request head.
const BETWEEN: u8 = 0;
/// A request head.
const HEAD: u8 = 1;
/// A body, a tunnel, or HTTP/2, where a head is a frame among others.
const FREE: u8 = 2;

impl Phase {
    /// The next byte begins a request head.
    pub(crate) fn expect_head(&self) {
        self.next.store(BETWEEN, Ordering::Relaxed);
    }

    /// The next bytes are no request head.
    pub(crate) fn set_free(&self) {
        self.next.store(FREE, Ordering::Relaxed);
    }

    /// Whether no byte of a request was read since the one before it.
    pub(crate) fn is_between(&self) -> bool {
        self.is(BETWEEN)
    }

    /// No further request is waited for: what has arrived is still read, and where that is nothing, reading ends.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    fn is(&self, phase: u8) -> bool {
        self.next.load(Ordering::Relaxed) == phase
    }
}

/// A timer that costs nothing until something has to be waited for.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    sleep: Option<Pin<Box<Sleep>>>,
    until: Option<Instant>,
}

impl Patience {
    /// Ready when `limit` has passed since the first call after [`rest`](Self::rest).
    pub(crate) fn poll_lost(&mut self, cx: &mut Context, limit: Duration) -> Poll<()> {
        let until = *self.until.get_or_insert_with(|| Instant::now() + limit);
        self.poll_until(cx, until)
    }

    /// Ready when the moment has come.
    pub(crate) fn poll_until(&mut self, cx: &mut Context, until: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx)
    }

    /// There was progress.
    pub(crate) fn rest(&mut self) {
        self.until = None;
    }
}

/// A connection under the eye of its times.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    inner: S,
    phase: Arc<Phase>,
    head: Duration,
    stall: Duration,
    reading: Patience,
    writing: Patience,
}

impl<S> Guarded<S> {
    pub(crate) fn new(inner: S, phase: Arc<Phase>, head: Duration, stall: Duration) -> Self {
        Self { inner, phase, head, stall, reading: Patience::default(), writing: Patience::default() }
    }

    /// A write that waits for the peer.
    fn watch_write<T>(&mut self, cx: &mut Context, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing.rest();
            return written;
        }
        ready!(self.writing.poll_lost(cx, self.stall));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if read.is_ready() {
            if buffer.filled().len() > before && this.phase.is(BETWEEN) {
                this.phase.next.store(HEAD, Ordering::Relaxed);
                this.reading.rest();
            }
            return read;
        }
        if this.phase.is(HEAD) {
            ready!(this.reading.poll_lost(cx, this.head));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        // An answer that its caller has not taken yet would be cut off.
        let is_written = this.writing.until.is_none();
        if is_written && this.phase.is(BETWEEN) && this.phase.ending.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context,
        slices: &[io::IoSlice],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch_write(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.watch_write(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const HEAD_TIME: Duration = Duration::from_secs(10);
    const STALL_TIME: Duration = Duration::from_secs(300);

    fn pair() -> (Guarded<tokio::io::DuplexStream>, tokio::io::DuplexStream, Arc<Phase>) {
        let (ours, theirs) = tokio::io::duplex(8);
        let phase = Arc::new(Phase::default());
        (Guarded::new(ours, Arc::clone(&phase), HEAD_TIME, STALL_TIME), theirs, phase)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte_however_it_trickles() {
        let (mut ours, mut theirs, _) = pair();
        let start = Instant::now();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(100)).await;
            while theirs.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        });
        let mut sink = Vec::new();
        let read = tokio::time::timeout(HEAD_TIME * 100, ours.read_to_end(&mut sink)).await;
        let error = read.expect("it ends").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), Duration::from_secs(100) + HEAD_TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn each_head_has_a_time_of_its_own_and_bodies_have_none_here() {
        let (mut ours, mut theirs, phase) = pair();
        let mut byte = [0];
        for _ in 0..3 {
            theirs.write_all(b"x").await.unwrap();
            ours.read_exact(&mut byte).await.unwrap();
            assert!(tokio::time::timeout(HEAD_TIME / 2, ours.read_exact(&mut byte)).await.is_err());
            phase.set_free();
            assert!(tokio::time::timeout(HEAD_TIME * 2, ours.read_exact(&mut byte)).await.is_err());
            phase.expect_head();
            assert!(tokio::time::timeout(HEAD_TIME * 2, ours.read_exact(&mut byte)).await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_to_end_ends_between_requests_and_not_before_what_has_arrived() {
        let (mut ours, mut theirs, phase) = pair();
        let mut byte = [0];
        theirs.write_all(b"x").await.unwrap();
        phase.end();
        assert_eq!(ours.read(&mut byte).await.unwrap(), 1);
        assert!(tokio::time::timeout(HEAD_TIME / 2, ours.read(&mut byte)).await.is_err(), "a head has begun");
        phase.expect_head();
        assert_eq!(ours.read(&mut byte).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (mut ours, theirs, _) = pair();
        let start = Instant::now();
        let error = ours.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, STALL_TIME));
        drop(theirs);
    }
}
