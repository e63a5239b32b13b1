//! A point in time, always handed in: nothing in this crate reads a clock.

use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted (as RFC 7519 NumericDate counts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last moment that a NumericDate may name: 9999-12-31T23:59:59Z, in seconds.
    pub const MAX_SECONDS: f64 = 253_402_300_799.0;

    /// From milliseconds since the epoch.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// From a NumericDate (RFC 7519, section 2), fractions down to a millisecond kept; none outside 0 …
    /// [`MAX_SECONDS`](Self::MAX_SECONDS).
    #[must_use]
    pub fn from_numeric_date(seconds: f64) -> Option<Self> {
        if !(0.0..=Self::MAX_SECONDS).contains(&seconds) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the range was just checked")]
        Some(Self((seconds * 1000.0).floor() as i64))
    }

    /// This moment and `duration` more; stays at the far end instead of overflowing.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero where it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}
