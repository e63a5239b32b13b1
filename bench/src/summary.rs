//! Many durations as a few numbers.

use std::time::Duration;

use serde::Serialize;

/// Milliseconds, by nearest rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// All zero where there is none.
    pub(crate) fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort();
        let rank = |percent: usize| {
            let place = (durations.len() * percent).div_ceil(100).saturating_sub(1);
            durations.get(place).copied().map(millis).unwrap_or_default()
        };
        Self { count: durations.len(), p50: rank(50), p90: rank(90), p99: rank(99), max: rank(100) }
    }
}

/// With microseconds as digits.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let of = |numbers: std::ops::RangeInclusive<u64>| Summary::of(numbers.map(Duration::from_millis).collect());
        assert_eq!(of(1..=200), Summary { count: 200, p50: 100.0, p90: 180.0, p99: 198.0, max: 200.0 });
        assert_eq!(of(7..=7), Summary { count: 1, p50: 7.0, p90: 7.0, p99: 7.0, max: 7.0 });
        assert_eq!(Summary::of(Vec::new()), Summary::default());
    }
}
