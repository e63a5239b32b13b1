//! What a scraper sees. Every label comes from a list in this file: nothing that a caller sends, and no name in a policy, can
//! make a series.
//!
//! Each worker counts in memory of its own, which nobody else writes; a scrape adds them up.

mod encode;

pub(crate) use encode::{CONTENT_TYPE, text};

use crate::events::{Effect, Finished};
use crate::state::State;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The codes of refusals, and of what Audit let pass.
pub(super) const DECIDED: [&str; 26] = [
    "bad_request",
    "token_missing",
    "token_invalid",
    "login_too_old",
    "certificate_missing",
    "insufficient_scope",
    "issuer_not_allowed",
    "client_not_allowed",
    "caller_not_allowed",
    "certificate_binding",
    "path_param_mismatch",
    "role_missing",
    "claim_mismatch",
    "ip_denied",
    "no_rule",
    "path_case",
    "path_alias",
    "body_too_large",
    "headers_too_large",
    "request_timeout",
    "expectation",
    "not_found",
    "keys_unavailable",
    "not_configured",
    "config_invalid",
    OTHER,
];
/// The codes of what went wrong after a request was allowed.
pub(super) const FAILED: [&str; 7] =
    ["app_unreachable", "app_reset", "app_timeout", "request_timeout", "body_too_large", "bad_request", OTHER];
/// A code that stands in no list: a test shows that none is missing.
const OTHER: &str = "other";

/// The upper ends of the buckets of durations. Few: each costs a series in every pod.
pub(super) const BUCKETS: [Duration; 7] = [
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_millis(2500),
    Duration::from_secs(10),
];

/// A number that one thread writes and others read, so adding needs no lock and no bus cycle of its own.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Count {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// What one worker counts. Aligned, so that no two workers share a line of the processor's cache.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    allow: Count,
    own: Count,
    deny: [Count; DECIDED.len()],
    audit: [Count; DECIDED.len()],
    error: [Count; FAILED.len()],
    /// By duration; the last is for what is beyond all ends.
    durations: [Count; BUCKETS.len() + 1],
    duration_micros: Count,
    pub(crate) opened: Count,
    pub(crate) closed: Count,
    pub(crate) handshake_failures: Count,
    pub(crate) parser_refused: Count,
    pub(crate) plaintext_refused: Count,
    pub(crate) token_hits: Count,
    pub(crate) token_misses: Count,
    pub(crate) token_entries: Count,
    pub(crate) token_bytes: Count,
    pub(crate) app_connects: Count,
    pub(crate) app_reuses: Count,
    pub(crate) app_failures: Count,
    pub(crate) log_dropped: Count,
}

impl Counters {
    pub(crate) fn note(&self, finished: &Finished) {
        let counted = match finished.effect {
            Effect::Allow => Some(&self.allow),
            Effect::Own => Some(&self.own),
            Effect::Deny => pick(&self.deny, &DECIDED, finished.code()),
            Effect::Audit => pick(&self.audit, &DECIDED, finished.code()),
            Effect::Error => pick(&self.error, &FAILED, finished.code()),
        };
        let bucket = BUCKETS.iter().position(|end| finished.duration <= *end).unwrap_or(BUCKETS.len());
        for count in [counted, self.durations.get(bucket)].into_iter().flatten() {
            count.add(1);
        }
        self.duration_micros.add(u64::try_from(finished.duration.as_micros()).unwrap_or(u64::MAX));
    }
}

/// The count of a code, or the last where it is in no list.
fn pick<'a>(counts: &'a [Count], codes: &[&str], code: &str) -> Option<&'a Count> {
    codes.iter().position(|one| *one == code).map_or_else(|| counts.last(), |place| counts.get(place))
}

/// The metrics of a proxy.
#[derive(Debug)]
pub(crate) struct Metrics {
    workers: Box<[Arc<Counters>]>,
    /// Lines of the access log that could not be written.
    log_lost: Arc<Count>,
    state: Arc<State>,
}

impl Metrics {
    pub(crate) fn new(workers: usize, state: Arc<State>) -> Self {
        Self { workers: (0..workers).map(|_| Arc::default()).collect(), log_lost: Arc::default(), state }
    }

    pub(crate) fn workers(&self) -> &[Arc<Counters>] {
        &self.workers
    }

    pub(crate) fn log_lost(&self) -> &Arc<Count> {
        &self.log_lost
    }

    fn sum(&self, of: impl Fn(&Counters) -> &Count) -> u64 {
        self.workers.iter().fold(0, |sum, worker| sum.wrapping_add(of(worker).get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::reason::{BadRequest, Reason};

    fn finished(effect: Effect, reason: Option<Reason>, duration: Duration) -> Finished {
        Finished { effect, reason, status: None, duration, bytes: 0 }
    }

    #[test]
    fn every_code_has_a_place() {
        // Plaintext is counted by itself: there is no request.
        let reasons = Reason::all().into_iter().filter(|reason| *reason != Reason::Plaintext);
        let (mut failed, decided): (Vec<_>, Vec<_>) = reasons.partition(|reason| reason.code().starts_with("app_"));
        failed.extend([Reason::RequestTimeout, Reason::BodyTooLarge, Reason::BadRequest(BadRequest::Framing)]);
        for (reasons, effects, codes) in
            [(&decided[..], &[Effect::Deny, Effect::Audit][..], &DECIDED[..]), (&failed, &[Effect::Error], &FAILED)]
        {
            for (reason, effect) in
                reasons.iter().flat_map(|reason| effects.iter().map(move |effect| (*reason, *effect)))
            {
                let counters = Counters::default();
                counters.note(&finished(effect, Some(reason), Duration::ZERO));
                let counts: &[Count] = match effect {
                    Effect::Deny => &counters.deny,
                    Effect::Audit => &counters.audit,
                    _ => &counters.error,
                };
                let hit = counts.iter().position(|count| count.get() == 1).unwrap();
                assert_eq!((codes[hit], counts.iter().map(Count::get).sum::<u64>()), (reason.code(), 1));
            }
        }
    }

    #[test]
    fn durations_fall_into_the_first_bucket_that_holds_them() {
        let counters = Counters::default();
        for (millis, bucket) in [(0, 0), (1, 0), (2, 1), (25, 2), (26, 3), (10_000, 6), (10_001, 7), (100_000, 7)] {
            let before = counters.durations[bucket].get();
            counters.note(&finished(Effect::Allow, None, Duration::from_millis(millis)));
            assert_eq!(counters.durations[bucket].get(), before + 1, "{millis}");
        }
        assert_eq!((counters.allow.get(), counters.duration_micros.get()), (8, 120_055_000));
    }
}
