//! Plaintext HTTP on a port that speaks TLS: one fixed answer that names the cure.

use crate::{answer, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// A method begins with a letter; a TLS record of a handshake begins with 0x16 (RFC 8446, section 5.1).
pub(super) fn looks_like_http(first: [u8; 1]) -> bool {
    first.iter().all(u8::is_ascii_alphabetic)
}

/// The first bytes of an HTTP/2 connection (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a connection begins as HTTP/2 does. Nothing is taken from it; the handshake's time bounds the wait.
pub(super) async fn begins_h2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        let seen = seen.get(..count).unwrap_or_default();
        if count == PREFACE.len() || count == 0 || !PREFACE.starts_with(seen) {
            return Ok(seen == PREFACE);
        }
        sleep(limits::PREFACE_PAUSE).await;
    }
}

/// Answers and closes.
pub(super) async fn answer(mut stream: TcpStream) {
    let exchange = async {
        stream.write_all(answer::plaintext().as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would send a reset, and that can overtake the answer.
        let mut rest = stream.take(limits::PLAINTEXT_DRAIN as u64);
        let mut sink = [0; 1024];
        while rest.read(&mut sink).await? > 0 {}
        std::io::Result::Ok(())
    };
    // A caller that does not take the answer goes without.
    let _ = timeout(limits::PLAINTEXT_LINGER, exchange).await;
}
