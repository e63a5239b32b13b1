//! Whether hyper holds the beginning of a request head that it got in one read with the request before it.
//!
//! Only a clock is started by what is found here: bytes go on as they came, and what a request is hyper alone says.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The end of a head, and of a chunked body (RFC 9112, sections 2.1 and 7.1).
const END: u32 = u32::from_be_bytes(*b"\r\n\r\n");
const UNKNOWN: u64 = 0;

/// What is known of the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// So many bytes; none is none.
    Known(u64),
    /// It ends with a chunk that says so.
    Chunked,
}

/// What was read of a request. Atomic for the same reason as all of [`Phase`](super::Phase).
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Bytes since the first of the head.
    read: AtomicU64,
    /// Bytes of the head.
    head: AtomicU64,
    /// The last four bytes.
    last: AtomicU32,
}

impl Heads {
    /// The next byte is the first of a head.
    pub(super) fn begin(&self) {
        self.read.store(0, Ordering::Relaxed);
        self.head.store(UNKNOWN, Ordering::Relaxed);
        self.last.store(0, Ordering::Relaxed);
    }

    /// Bytes came; where they may hold the end of a head, it is looked for.
    pub(super) fn take(&self, bytes: &[u8], in_head: bool) {
        let before = self.read.load(Ordering::Relaxed);
        let earlier = self.last.load(Ordering::Relaxed);
        let last = bytes.iter().skip(bytes.len().saturating_sub(4)).fold(earlier, |last, byte| shifted(last, *byte));
        self.read.store(before + bytes.len() as u64, Ordering::Relaxed);
        self.last.store(last, Ordering::Relaxed);
        if in_head && self.head.load(Ordering::Relaxed) == UNKNOWN {
            // Most heads end with the read: then nothing has to be looked through. A second head behind the first is whole
            // and begins no clock.
            let end = if last == END { Some(bytes.len()) } else { end_of_head(earlier, bytes) };
            if let Some(end) = end {
                self.head.store(before + end as u64, Ordering::Relaxed);
            }
        }
    }

    /// A request ends: whether more was read than it. Where the end of its head was not found (bare line feeds), the answer
    /// may be wrong, and costs its caller patience or us a connection that idles.
    pub(super) fn end(&self, body: Length) -> bool {
        let ends_cleanly = self.last.load(Ordering::Relaxed) == END;
        let has_begun = match (body, self.head.load(Ordering::Relaxed)) {
            (Length::Known(length), head) if head != UNKNOWN => {
                self.read.load(Ordering::Relaxed) > head.saturating_add(length)
            }
            (Length::Known(1..), _) => false,
            (Length::Known(0) | Length::Chunked, _) => !ends_cleanly,
        };
        if has_begun {
            // How much of the next one is there is not known, and does not matter: it lacks in both numbers.
            self.read.store(0, Ordering::Relaxed);
            self.head.store(UNKNOWN, Ordering::Relaxed);
        }
        has_begun
    }
}

fn shifted(last: u32, byte: u8) -> u32 {
    last << 8 | u32::from(byte)
}

/// How many of these bytes belong to a head that ends in them.
fn end_of_head(earlier: u32, bytes: &[u8]) -> Option<usize> {
    let mut last = earlier;
    bytes
        .iter()
        .position(|byte| {
            last = shifted(last, *byte);
            last == END
        })
        .map(|place| place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(reads: &[&str], body: Length) -> bool {
        let heads = Heads::default();
        heads.begin();
        reads.iter().for_each(|read| heads.take(read.as_bytes(), true));
        heads.end(body)
    }

    #[test]
    fn what_is_beyond_a_request_begins_the_next() {
        use Length::{Chunked, Known};
        let head = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        for (reads, body, wanted) in [
            (&[head][..], Known(0), false),
            (&["GET / HTTP/1.1\r\nhost: a\r", "\n\r\n"], Known(0), false),
            (&[head, "G"], Known(0), true),
            (&["GET / HTTP/1.1\r\nhost: a\r\n\r\nGET"], Known(0), true),
            (&[head, "body"], Known(4), false),
            (&["GET / HTTP/1.1\r\nhost: a\r\n\r\nbody"], Known(4), false),
            (&["GET / HTTP/1.1\r\nhost: a\r\n\r\nbodyG"], Known(4), true),
            (&[head, "bo", "dyGET / HTTP"], Known(4), true),
            (&[head, "4\r\nbody\r\n0\r\n\r\n"], Chunked, false),
            (&[head, "4\r\nbody\r\n0\r\n\r\nG"], Chunked, true),
            (&["GET / HTTP/1.1\nhost: a\n\nbody"], Known(4), false),
        ] {
            assert_eq!(begun(reads, body), wanted, "{reads:?} {body:?}");
        }
    }

    #[test]
    fn requests_that_come_together_end_one_by_one() {
        let heads = Heads::default();
        heads.begin();
        heads.take(b"POST / HTTP/1.1\r\n\r\nbodyGET / HTTP/1.1\r\n\r\n", true);
        assert!(!heads.end(Length::Known(4)), "the second is whole");
        assert!(!heads.end(Length::Known(0)));
        heads.begin();
        heads.take(b"POST / HTTP/1.1\r\n\r\nbodyGET / HT", true);
        assert!(heads.end(Length::Known(4)));
        heads.take(b"TP/1.1\r\n\r\n", true);
        assert!(!heads.end(Length::Known(0)));
    }

    #[test]
    fn a_body_that_is_left_unread_is_no_head() {
        assert!(!begun(&["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "bo"], Length::Known(4)));
    }
}
