//! When an issuer is asked again.

use crate::limits::{
    REFRESH, REFRESH_LEAST, REFRESH_SPREAD, RETRY_FIRST, RETRY_SPREAD, RETRY_WITH_KEYS, RETRY_WITHOUT_KEYS, UNKNOWN_KEY,
};
use std::time::Duration;
use tokio::time::Instant;

/// When an issuer is asked again. Chance comes in as a number from 0 to below 1.
pub(super) struct Pace {
    due: Instant,
    unknown_key_from: Instant,
    /// When discovery is gone through again.
    rediscover: Instant,
    failures: u32,
    has_keys: bool,
}

impl Pace {
    /// Nothing was fetched yet: that is due at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now, unknown_key_from: now, rediscover: now, failures: 0, has_keys: false }
    }

    /// When the next fetch is due without anybody asking.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// From when an unknown key may cause a fetch.
    pub(super) fn unknown_key_from(&self) -> Instant {
        self.unknown_key_from
    }

    /// Whether the place of the keys is asked for too.
    pub(super) fn must_rediscover(&self, now: Instant) -> bool {
        now >= self.rediscover
    }

    /// An unknown key causes a fetch.
    pub(super) fn asked_for_unknown_key(&mut self, now: Instant) {
        self.unknown_key_from = now + UNKNOWN_KEY;
    }

    pub(super) fn succeeded(&mut self, now: Instant, max_age: Option<Duration>, rediscovered: bool, chance: f64) {
        let interval = max_age.unwrap_or(REFRESH).clamp(REFRESH_LEAST, REFRESH);
        self.due = now + earlier(interval, REFRESH_SPREAD, chance).max(REFRESH_LEAST);
        if rediscovered {
            // Whatever comes first of the refreshes near it goes through discovery.
            self.rediscover = now + REFRESH_LEAST;
        }
        self.failures = 0;
        self.has_keys = true;
    }

    pub(super) fn failed(&mut self, now: Instant, chance: f64) {
        let most = if self.has_keys { RETRY_WITH_KEYS } else { RETRY_WITHOUT_KEYS };
        let pause = 2_u32.checked_pow(self.failures).and_then(|factor| RETRY_FIRST.checked_mul(factor));
        self.due = now + earlier(pause.unwrap_or(most).min(most), RETRY_SPREAD, chance);
        self.failures = self.failures.saturating_add(1);
    }

    /// The keys were given up.
    pub(super) fn forgot(&mut self) {
        self.has_keys = false;
    }
}

fn earlier(interval: Duration, share: f64, chance: f64) -> Duration {
    interval.mul_f64(1.0 - share * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIGHEST: f64 = 0.999_999;

    fn after(pace: &Pace, now: Instant) -> f64 {
        pace.due().duration_since(now).as_secs_f64()
    }

    #[test]
    fn a_set_is_fetched_again_within_its_age_and_ours() {
        let now = Instant::now();
        for (max_age, chance, wanted) in [
            (None, 0.0, 300.0),
            (None, HIGHEST, 270.0),
            (Some(3600), 0.0, 300.0),
            (Some(120), 0.0, 120.0),
            (Some(120), HIGHEST, 108.0),
            (Some(0), 0.0, 60.0),
            (Some(60), HIGHEST, 60.0),
        ] {
            let mut pace = Pace::new(now);
            assert_eq!(pace.due(), now);
            pace.succeeded(now, max_age.map(Duration::from_secs), true, chance);
            assert!((after(&pace, now) - wanted).abs() < 0.1, "{max_age:?} {chance}: {}", after(&pace, now));
        }
    }

    #[test]
    fn failures_are_retried_fast_at_first() {
        let now = Instant::now();
        let pauses = |has_keys: bool, chance: f64| {
            let mut pace = Pace::new(now);
            if has_keys {
                pace.succeeded(now, None, true, 0.0);
            }
            let pauses = (0..40).map(|_| {
                pace.failed(now, chance);
                after(&pace, now)
            });
            pauses.collect::<Vec<_>>()
        };
        assert_eq!(pauses(false, 0.0).get(..6), Some(&[0.5, 1.0, 2.0, 4.0, 8.0, 10.0][..]));
        assert_eq!(pauses(false, 0.0).last(), Some(&10.0));
        assert_eq!(pauses(true, 0.0).get(6..9), Some(&[32.0, 60.0, 60.0][..]));
        assert_eq!(pauses(true, 0.0).last(), Some(&60.0));
        assert!(pauses(false, HIGHEST).iter().all(|pause| (0.374..7.6).contains(pause)));
    }

    #[test]
    fn a_success_begins_anew() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.failed(now, 0.0);
        pace.failed(now, 0.0);
        pace.succeeded(now, None, true, 0.0);
        pace.failed(now, 0.0);
        assert_eq!(after(&pace, now), 0.5);
        for _ in 0..20 {
            pace.failed(now, 0.0);
        }
        assert_eq!(after(&pace, now), 60.0);
        pace.forgot();
        pace.failed(now, 0.0);
        assert_eq!(after(&pace, now), 10.0);
    }

    #[test]
    fn unknown_keys_do_not_put_off_discovery() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert!(pace.must_rediscover(now));
        pace.succeeded(now, None, true, 0.0);
        let mut at = now;
        for _ in 0..5 {
            at += UNKNOWN_KEY;
            assert!(!pace.must_rediscover(at));
            pace.succeeded(at, None, false, 0.0);
        }
        assert!(pace.must_rediscover(now + REFRESH_LEAST));
    }
}
