//! Bytes in both directions after both sides agreed on another protocol.

mod frames;

use crate::limits::{CLOSE_LINGER, STREAM_CHECK};
use frames::{Framed, POLICY_VIOLATION};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Opens a tunnel as soon as the caller has the answer that announces it. It ends when nothing moves in it for `idle`, or,
/// with a close frame, when it is no longer `allowed`; whatever `allowed` holds is held until then.
pub(crate) fn open(client_side: OnUpgrade, app_side: OnUpgrade, idle: Duration, allowed: impl Fn() -> bool + 'static) {
    tokio::task::spawn_local(async move {
        let (Ok(client), Ok(app)) = (client_side.await, app_side.await) else { return };
        let moved = Rc::new(Cell::new(Instant::now()));
        let (mut client, state) = Framed::new(TokioIo::new(client));
        let mut app = Metered { inner: TokioIo::new(app), moved: Rc::clone(&moved) };
        {
            let mut copying = pin!(copy_bidirectional(&mut client, &mut app));
            tokio::select! {
                _ = copying.as_mut() => return,
                () = idle_for(&moved, idle) => return,
                () = refused(allowed) => state.end_after_frame(),
            }
            if !state.is_between_frames() {
                // A frame that does not end soon is cut off.
                let _ = timeout(STREAM_CHECK, copying).await;
            }
        }
        drop(app);
        if state.is_between_frames() {
            // A caller that does not take the frame goes without.
            let _ = timeout(CLOSE_LINGER, close(client.inner)).await;
        }
    });
}

/// Says why, and waits until the caller has read it: closing with unread bytes would send a reset, which can overtake it.
async fn close(mut client: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    client.write_all(&POLICY_VIOLATION).await?;
    client.shutdown().await?;
    let mut sink = [0; 1024];
    while client.read(&mut sink).await? > 0 {}
    Ok(())
}

/// Ends when the tunnel would no longer be opened.
async fn refused(allowed: impl Fn() -> bool) {
    while allowed() {
        sleep(STREAM_CHECK).await;
    }
}

async fn idle_for(moved: &Cell<Instant>, idle: Duration) {
    while moved.get().elapsed() < idle {
        sleep_until(moved.get() + idle).await;
    }
}

/// Notes when bytes go in either direction.
struct Metered<S> {
    inner: S,
    moved: Rc<Cell<Instant>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if read.is_ready() {
            self.moved.set(Instant::now());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if written.is_ready() {
            self.moved.set(Instant::now());
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
