//! Where the frames of a WebSocket begin and end, so that a last one of ours can follow them (RFC 6455, section 5.2).
//!
//! What passes is not looked at: only lengths are read, and where an application speaks something else its tunnel ends
//! without a word, or with one that nobody understands.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A close frame that says "policy violation" (RFC 6455, sections 5.5.1 and 7.4.1: 1008).
pub(super) const POLICY_VIOLATION: [u8; 4] = [0x88, 0x02, 0x03, 0xf0];

/// The caller's side of a tunnel, and the frames that are written to it.
pub(super) struct Framed<S> {
    pub(super) inner: S,
    frame: Frame,
    state: Rc<State>,
}

/// What is known of a [`Framed`] while it is in use.
#[derive(Debug)]
pub(super) struct State {
    between: Cell<bool>,
    ending: Cell<bool>,
}

impl State {
    /// Whether a frame that begins now can be read.
    pub(super) fn is_between_frames(&self) -> bool {
        self.between.get()
    }

    /// From now on the rest of the frame that is under way is taken, and nothing after it.
    pub(super) fn end_after_frame(&self) {
        self.ending.set(true);
    }
}

impl<S> Framed<S> {
    pub(super) fn new(inner: S) -> (Self, Rc<State>) {
        let state = Rc::new(State { between: Cell::new(true), ending: Cell::new(false) });
        (Self { inner, frame: Frame::default(), state: Rc::clone(&state) }, state)
    }
}

/// What is known of the frame under way.
#[derive(Clone, Debug, Default)]
struct Frame {
    header: [u8; 14],
    have: usize,
    /// Bytes of its payload that are to come.
    payload: u64,
}

impl Frame {
    fn is_none(&self) -> bool {
        self.have == 0 && self.payload == 0
    }

    /// Takes bytes: all, or those up to the end of the frame under way; tells how many.
    fn take(&mut self, bytes: &[u8], ending: bool) -> usize {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if ending && self.is_none() {
                break;
            }
            if self.payload == 0 {
                self.take_header(*byte);
                rest = after;
            } else {
                let there = usize::try_from(self.payload).unwrap_or(usize::MAX).min(rest.len());
                self.payload -= there as u64;
                rest = rest.get(there..).unwrap_or_default();
            }
        }
        bytes.len() - rest.len()
    }

    fn take_header(&mut self, byte: u8) {
        if let Some(place) = self.header.get_mut(self.have) {
            *place = byte;
        }
        self.have += 1;
        let [_, second, extended @ ..] = self.header;
        let short = second & 0x7f;
        let size = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        if self.have >= 2 && self.have == 2 + size + mask {
            let long = extended.iter().take(size).fold(0, |length, byte| length << 8 | u64::from(*byte));
            self.payload = if size == 0 { u64::from(short) } else { long };
            self.have = 0;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let allowed = if this.state.ending.get() { this.frame.clone().take(bytes, true) } else { bytes.len() };
        if allowed == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, bytes.get(..allowed).unwrap_or_default()))?;
        this.frame.take(bytes.get(..written).unwrap_or_default(), false);
        this.state.between.set(this.frame.is_none());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match u16::try_from(length) {
            Ok(length @ ..126) => frame.push(mask | u8::try_from(length).unwrap()),
            Ok(length) => frame.extend([&[mask | 126][..], &length.to_be_bytes()].concat()),
            Err(_) => frame.extend([&[mask | 127][..], &(length as u64).to_be_bytes()].concat()),
        }
        frame.extend(vec![0xaa; length + if masked { 4 } else { 0 }]);
        frame
    }

    #[tokio::test]
    async fn frames_of_every_length_end_where_they_end() {
        for (length, masked) in [(0, false), (5, false), (125, true), (126, false), (70_000, true), (70_000, false)] {
            for piece in [1, 3, 4096] {
                let (mut framed, state) = Framed::new(Vec::new());
                let one = frame(length, masked);
                let (last, before) = one.split_last().unwrap();
                for _ in 0..2 {
                    for bytes in before.chunks(piece) {
                        framed.write_all(bytes).await.unwrap();
                        assert!(!state.is_between_frames(), "{length} {masked}");
                    }
                    framed.write_all(&[*last]).await.unwrap();
                    assert!(state.is_between_frames(), "{length} {masked}");
                }
            }
        }
    }

    #[tokio::test]
    async fn nothing_follows_the_last_frame() {
        let (mut framed, state) = Framed::new(Vec::new());
        let all = [frame(5, false), frame(6, false)].concat();
        framed.write_all(&all[..3]).await.unwrap();
        state.end_after_frame();
        assert!(framed.write_all(&all[3..]).await.is_err());
        assert_eq!(framed.inner, frame(5, false));
        assert!(state.is_between_frames());
    }
}
