//! Times on the bytes of a connection.
//!
//! hyper's own timer for request heads runs while a connection is idle too, so it cannot be as strict as a head needs. Here
//! a head has its time from its first byte on, and a peer that does not read what it asked for is not waited for forever.

mod frames;
mod heads;

use frames::Frames;
use heads::Heads;
pub(crate) use heads::Length;

use crate::limits::{DISCARD, DISCARD_LINGER};
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
    /// Whether a request was answered of whose body nobody read the rest.
    unread: AtomicBool,
    /// Whether a request moved since the guard looked.
    moved: AtomicBool,
    heads: Heads,
}

/// Nothing, or the first byte of a request head.
const BETWEEN: u8 = 0;
/// A request head.
const HEAD: u8 = 1;
/// A body or a tunnel.
const FREE: u8 = 2;
/// HTTP/2, where a head is a frame among others.
const H2: u8 = 3;
/// A request head of which a part came in one read with the end of the request before it.
const BEGUN: u8 = 4;

impl Phase {
    /// The next byte begins a request head; or, where more than the last request was read, one has begun.
    pub(crate) fn expect_head(&self, last: Length) {
        let next = if self.heads.end(last) { BEGUN } else { BETWEEN };
        self.next.store(next, Ordering::Relaxed);
    }

    /// The next bytes are no request head.
    pub(crate) fn set_free(&self) {
        self.next.store(FREE, Ordering::Relaxed);
    }

    /// All that comes is HTTP/2.
    pub(crate) fn set_h2(&self) {
        self.next.store(H2, Ordering::Relaxed);
    }

    /// A request is answered before its body was read: closing at once would reset the connection, and that can overtake the
    /// answer (RFC 9112, section 9.6).
    pub(crate) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// A request began, or something of it went on.
    pub(crate) fn note_movement(&self) {
        self.moved.store(true, Ordering::Relaxed);
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
    frames: Option<Box<Frames>>,
    lingering: Option<Box<Linger>>,
}

/// The end of a connection on which something is left unread.
#[derive(Debug, Default)]
struct Linger {
    patience: Patience,
    read: usize,
}

impl<S> Guarded<S> {
    pub(crate) fn new(inner: S, phase: Arc<Phase>, head: Duration, stall: Duration) -> Self {
        let frames = phase.is(H2).then(Box::default);
        Self {
            inner,
            phase,
            head,
            stall,
            reading: Patience::default(),
            writing: Patience::default(),
            frames,
            lingering: None,
        }
    }

    /// Bytes came.
    fn look_at(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(frames) = &mut self.frames {
            if self.phase.moved.swap(false, Ordering::Relaxed) {
                frames.rest();
            }
            let cut = frames.are_too_many(bytes);
            if frames.take_ended() {
                self.reading.rest();
            }
            return if cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) };
        }
        if self.phase.is(BETWEEN) {
            self.phase.heads.begin();
            self.phase.next.store(HEAD, Ordering::Relaxed);
            self.reading.rest();
        }
        self.phase.heads.take(bytes, self.phase.is(HEAD));
        Ok(())
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
            let new = buffer.filled().get(before..).unwrap_or_default();
            if !new.is_empty() {
                this.look_at(new)?;
            }
            return read;
        }
        if this.phase.is(BEGUN) {
            this.phase.next.store(HEAD, Ordering::Relaxed);
            this.reading.rest();
        }
        if this.phase.is(HEAD) || this.frames.as_ref().is_some_and(|frames| frames.is_unfinished()) {
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
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
        if self.lingering.is_none() {
            let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
            ready!(self.watch_write(cx, shut))?;
            if !self.phase.unread.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_linger(cx).map(Ok)
    }
}

impl<S: AsyncRead + Unpin> Guarded<S> {
    /// Reads what the peer still sends until it closes, or sent more than can have been under way, or takes too long.
    fn poll_linger(&mut self, cx: &mut Context) -> Poll<()> {
        let Linger { patience, read } = &mut **self.lingering.get_or_insert_default();
        let mut sink = [0; 4096];
        while *read < DISCARD {
            let mut buffer = ReadBuf::new(&mut sink);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => *read += buffer.filled().len(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return patience.poll_lost(cx, DISCARD_LINGER),
            }
        }
        Poll::Ready(())
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
            theirs.write_all(b"\r\n\r\n").await.unwrap();
            ours.read_exact(&mut [0; 4]).await.unwrap();
            assert!(tokio::time::timeout(HEAD_TIME / 2, ours.read_exact(&mut byte)).await.is_err());
            phase.set_free();
            assert!(tokio::time::timeout(HEAD_TIME * 2, ours.read_exact(&mut byte)).await.is_err());
            phase.expect_head(Length::Known(0));
            assert!(tokio::time::timeout(HEAD_TIME * 2, ours.read_exact(&mut byte)).await.is_err());
        }
    }

    /// What hyper has in its buffer already begins the clock of the next head.
    #[tokio::test(start_paused = true)]
    async fn a_head_that_came_with_the_request_before_it_has_its_time_too() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let phase = Arc::new(Phase::default());
        let mut ours = Guarded::new(ours, Arc::clone(&phase), HEAD_TIME, STALL_TIME);
        theirs.write_all(b"POST / HTTP/1.1\r\n\r\nbodyGET /").await.unwrap();
        assert!(ours.read(&mut [0; 1024]).await.unwrap() > 20);
        phase.set_free();
        phase.expect_head(Length::Known(4));
        let start = Instant::now();
        let error = ours.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, HEAD_TIME));
        drop(theirs);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_to_end_ends_between_requests_and_not_before_what_has_arrived() {
        let (mut ours, mut theirs, phase) = pair();
        let mut byte = [0];
        theirs.write_all(b"\r\n\r\n").await.unwrap();
        phase.end();
        assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 4);
        assert!(tokio::time::timeout(HEAD_TIME / 2, ours.read(&mut byte)).await.is_err(), "a head has begun");
        phase.expect_head(Length::Known(0));
        assert_eq!(ours.read(&mut byte).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_unread_is_waited_for_at_the_end_and_not_for_long() {
        let (mut ours, mut theirs, phase) = pair();
        ours.shutdown().await.unwrap();
        phase.leave_unread();
        let start = Instant::now();
        theirs.write_all(b"12345678").await.unwrap();
        tokio::join!(async { ours.shutdown().await.unwrap() }, async { theirs.write_all(b"12345678").await.unwrap() });
        assert_eq!(start.elapsed(), DISCARD_LINGER);
        drop(theirs);
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
