//! Frames of HTTP/2 by which a caller keeps us busy without asking for anything (CVE-2019-9512, -9513, -9515, -9518).
//!
//! Nothing is decided by what is read here: it counts, and where it counts wrongly a connection lives or ends that should
//! not.

use crate::limits::{H2_IDLE_FRAMES, H2_IDLE_WINDOW};
use tokio::time::Instant;

/// What a client says first (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// A frame's length, type, flags and stream (RFC 9113, section 4.1).
const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// The frames of one connection, counted as their bytes come in.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes until the next frame begins.
    skip: usize,
    header: [u8; HEADER],
    /// How many bytes of the header are there.
    have: usize,
    /// Frames since anything moved that say nothing of a request.
    idle: usize,
    counted_from: Instant,
}

impl Default for Frames {
    fn default() -> Self {
        Self { skip: PREFACE, header: [0; HEADER], have: 0, idle: 0, counted_from: Instant::now() }
    }
}

impl Frames {
    /// A request moved.
    pub(super) fn rest(&mut self) {
        self.idle = 0;
    }

    /// Takes the next bytes; tells whether these are too many frames.
    pub(super) fn are_too_many(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            while self.skip == 0
                && let Some((byte, rest)) = bytes.split_first()
            {
                bytes = rest;
                self.take(*byte);
            }
        }
        if self.idle <= H2_IDLE_FRAMES {
            return false;
        }
        // Pings of a connection that rests for long add up too.
        let is_fast = self.counted_from.elapsed() < H2_IDLE_WINDOW;
        (self.idle, self.counted_from) = (0, Instant::now());
        is_fast
    }

    fn take(&mut self, byte: u8) {
        if let Some(place) = self.header.get_mut(self.have) {
            *place = byte;
        }
        self.have += 1;
        if self.have < HEADER {
            return;
        }
        let [high, middle, low, kind, ..] = self.header;
        (self.have, self.skip) = (0, usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low));
        // The library bounds heads and their continuations; data counts when it is none.
        let asks = matches!(kind, HEADERS | CONTINUATION) || (kind == DATA && self.skip > 0);
        self.idle += usize::from(!asks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        [&[0, 0, length, kind, 0, 0, 0, 0, 1][..], &vec![0; usize::from(length)]].concat()
    }

    /// How many of these frames pass, given in pieces of this size.
    fn pass(one: &[u8], piece: usize) -> usize {
        let mut frames = Frames::default();
        let sent = [&[b'P'; PREFACE][..], &one.repeat(3 * H2_IDLE_FRAMES)].concat();
        let taken = sent.chunks(piece).take_while(|bytes| !frames.are_too_many(bytes)).count() * piece;
        taken.saturating_sub(PREFACE) / one.len()
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_ask_for_nothing_are_cut_off() {
        for (kind, length) in [(6, 8), (4, 0), (4, 6), (2, 5), (8, 4), (3, 4), (DATA, 0), (200, 200)] {
            for piece in [1, 7, 1000] {
                let passed = pass(&frame(kind, length), piece);
                // To the frames of one piece.
                assert!(passed.abs_diff(H2_IDLE_FRAMES) <= 1 + 1000 / 9, "{kind} {length} {piece}: {passed}");
            }
        }
        for (kind, length) in [(DATA, 1), (HEADERS, 9), (CONTINUATION, 9)] {
            assert!(pass(&frame(kind, length), 1000) > 2 * H2_IDLE_FRAMES, "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn progress_and_time_forgive() {
        let mut frames = Frames::default();
        assert!(!frames.are_too_many(&[0; PREFACE]));
        let ping = frame(6, 8);
        for _ in 0..10 * H2_IDLE_FRAMES {
            assert!(!frames.are_too_many(&ping));
            frames.rest();
        }
        for _ in 0..10 {
            assert!(!frames.are_too_many(&ping.repeat(H2_IDLE_FRAMES / 2)));
            tokio::time::advance(H2_IDLE_WINDOW).await;
        }
    }
}
