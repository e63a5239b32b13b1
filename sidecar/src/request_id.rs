//! Identifiers by which a request is found again in logs and answers.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// Makes identifiers: unique in this process, not to be foreseen from one worker for another.
pub(crate) struct RequestIds {
    random: RandomState,
    worker: u64,
    next: Cell<u64>,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        let random = RandomState::new();
        let worker = random.hash_one("worker");
        Self { random, worker, next: Cell::new(0) }
    }

    /// 32 hexadecimal digits.
    pub(crate) fn next(&self) -> String {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        // Two keyed hashes of a number: 128 bits keep them apart, and nobody can tell how busy this worker is.
        let halves = [self.random.hash_one(number), self.random.hash_one((number, self.worker))];
        halves.iter().flat_map(|half| half.to_be_bytes()).flat_map(|byte| [byte >> 4, byte & 0xf]).map(hex).collect()
    }
}

/// A digit below 16; every request has 32 of them, so not through the formatting machinery.
fn hex(digit: u8) -> char {
    char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn identifiers_differ_within_and_between_workers() {
        let (one, other) = (RequestIds::new(), RequestIds::new());
        let ids: HashSet<_> = (0..1000).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(ids.len(), 2000);
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }
}
