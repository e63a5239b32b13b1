//! Plaintext HTTP on a port that speaks TLS: one fixed answer that names the cure.

use crate::{answer, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A method begins with a letter; a TLS record of a handshake begins with 0x16 (RFC 8446, section 5.1).
pub(super) fn looks_like_http(first: [u8; 1]) -> bool {
    first.iter().all(u8::is_ascii_alphabetic)
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
