//! How long to wait before trying again: longer each time, and never all at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The waits between attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// The next wait: half of it for certain, half by chance, and twice as long each time up to the most.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.most);
        wait.mul_f64(0.5 + 0.5 * chance())
    }

    /// It worked: the next fault is a new one.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// From 0 to 1, different in every process that asks at the same time.
pub(crate) fn chance() -> f64 {
    let random = u16::try_from(RandomState::new().hash_one(()) >> 48).unwrap_or_default();
    f64::from(random) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(15));
        for most in [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000] {
            let (wait, most) = (backoff.next(), Duration::from_millis(most));
            assert!(wait >= most / 2 && wait <= most, "{wait:?} of {most:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(250));
        assert!((0..100).any(|_| (chance() - chance()).abs() > 0.01), "chance it is");
    }
}
