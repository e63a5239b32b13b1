//! The lines of a stream, each bounded.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use policy::wire::MAX_SNAPSHOT_BYTES;

/// Lines as they come. Nothing is lost when a wait for one is given up.
#[derive(Debug)]
pub(super) struct Lines<B = Incoming> {
    body: B,
    buffer: Vec<u8>,
    /// So many bytes of the buffer hold no end of a line.
    searched: usize,
}

/// Why there is no further line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("the stream was broken off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("a message of more than {MAX_SNAPSHOT_BYTES} bytes")]
    TooLong,
    #[error("the stream ended")]
    Ended,
}

impl<B> Lines<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    pub(super) fn of(body: B) -> Self {
        Self { body, buffer: Vec::new(), searched: 0 }
    }

    /// The next line without its end.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, LineError> {
        loop {
            if let Some(end) = self.find_end() {
                let rest = self.buffer.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.truncate(end);
                self.searched = 0;
                return Ok(line);
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > MAX_SNAPSHOT_BYTES {
                return Err(LineError::TooLong);
            }
            // What stands there without an end is no message: the rest of it may be anything.
            let frame = self.body.frame().await.ok_or(LineError::Ended)?;
            if let Ok(data) = frame.map_err(|error| LineError::Broken(error.into()))?.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    fn find_end(&self) -> Option<usize> {
        let unsearched = self.buffer.get(self.searched..)?;
        unsearched.iter().position(|byte| *byte == b'\n').map(|place| self.searched + place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    struct Pieces(VecDeque<Vec<u8>>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(http_body::Frame::data(piece.into()))))
        }
    }

    #[tokio::test]
    async fn lines_come_whole_whatever_the_pieces() {
        let text = b"{\"a\":1}\n\n{\"b\":\"x\"}\nrest";
        for size in 1..text.len() {
            let mut lines = Lines::of(Pieces(text.chunks(size).map(<[u8]>::to_vec).collect()));
            for wanted in [&b"{\"a\":1}"[..], b"", b"{\"b\":\"x\"}"] {
                assert_eq!(lines.next().await.unwrap(), wanted, "{size}");
            }
            assert!(matches!(lines.next().await, Err(LineError::Ended)), "half a line is none");
        }
    }

    #[tokio::test]
    async fn a_line_is_bounded() {
        let mut long = vec![b'a'; MAX_SNAPSHOT_BYTES];
        long.push(b'\n');
        assert_eq!(Lines::of(Full::from(long.clone())).next().await.unwrap().len(), MAX_SNAPSHOT_BYTES);
        let endless = Pieces(std::iter::repeat_n(vec![b'a'; 1 << 20], 40).collect());
        let mut lines = Lines::of(endless);
        assert!(matches!(lines.next().await, Err(LineError::TooLong)));
        assert!(!lines.body.0.is_empty(), "given up before everything was read");
    }
}
