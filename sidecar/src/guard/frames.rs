//! Frames of HTTP/2 by which a caller keeps us busy without asking for anything (CVE-2019-9512, -9513, -9515, -9518), or
//! waiting for the rest of what it began.
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
/// The flag of the frame with which a head ends (RFC 9113, section 6.2).
const END_HEADERS: u8 = 4;

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
    /// Whether the head of a request has begun and its last frame has not come.
    open: bool,
    /// See [`is_unfinished`](Self::is_unfinished).
    unfinished: bool,
    /// Whether a frame or a head ended since the guard looked.
    ended: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            skip: PREFACE,
            // The preface counts as a frame of no kind.
            header: [u8::MAX; HEADER],
            have: 0,
            idle: 0,
            counted_from: Instant::now(),
            open: false,
            unfinished: false,
            ended: false,
        }
    }
}

impl Frames {
    /// A request moved.
    pub(super) fn rest(&mut self) {
        self.idle = 0;
    }

    /// Whether a part of the preface, of a head, or of a frame other than DATA has come, and its end has not. A body may
    /// stand still for longer.
    pub(super) fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// Whether what had begun has ended since this was asked: what has begun now is another.
    pub(super) fn take_ended(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// Takes the next bytes; tells whether these are too many frames.
    pub(super) fn are_too_many(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if skipped > 0 {
                self.note_end();
            }
            while self.skip == 0
                && let Some((byte, rest)) = bytes.split_first()
            {
                bytes = rest;
                self.take(*byte);
            }
        }
        self.unfinished = self.open || self.have > 0 || (self.skip > 0 && self.kind() != DATA);
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
        let [high, middle, low, kind, flags, ..] = self.header;
        (self.have, self.skip) = (0, usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low));
        // The library bounds heads and their continuations; data counts when it is none.
        let asks = matches!(kind, HEADERS | CONTINUATION) || (kind == DATA && self.skip > 0);
        self.idle += usize::from(!asks);
        if matches!(kind, HEADERS | CONTINUATION) {
            self.open = flags & END_HEADERS == 0;
        }
        self.note_end();
    }

    fn kind(&self) -> u8 {
        let [_, _, _, kind, ..] = self.header;
        kind
    }

    /// Perhaps the last byte of a frame was taken.
    fn note_end(&mut self) {
        self.ended |= self.skip == 0 && !self.open;
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

    /// In whatever pieces: what has begun and not ended is known, and a body is nothing of that.
    #[tokio::test(start_paused = true)]
    async fn what_has_begun_and_not_ended_is_known() {
        let flagged = |kind, flags, length| {
            let mut bytes = frame(kind, length);
            bytes[4] = flags;
            bytes
        };
        let mut frames = Frames::default();
        assert!(!frames.is_unfinished(), "nothing has begun");
        let mut take = |bytes: &[u8]| {
            for byte in bytes {
                assert!(!frames.are_too_many(std::slice::from_ref(byte)));
            }
            (frames.is_unfinished(), frames.take_ended())
        };
        assert_eq!(take(&[0; PREFACE - 1]), (true, false));
        assert_eq!(take(&[0]), (false, true));
        for kind in [HEADERS, 4, 6, 200] {
            let whole = flagged(kind, END_HEADERS, 5);
            assert_eq!(take(&whole[..1]), (true, false), "{kind}");
            assert_eq!(take(&whole[1..13]), (true, false), "{kind}");
            assert_eq!(take(&whole[13..]), (false, true), "{kind}");
        }
        assert_eq!(take(&flagged(HEADERS, 1, 5)), (true, false));
        assert_eq!(take(&flagged(CONTINUATION, 0, 5)), (true, false));
        assert_eq!(take(&flagged(CONTINUATION, END_HEADERS, 0)), (false, true));
        let data = frame(DATA, 5);
        assert_eq!(take(&data[..HEADER + 1]), (false, false));
        assert_eq!(take(&data[HEADER + 1..]), (false, true));
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
