//! The requests that were refused last, for people who look into a pod. Kept in memory, bounded, and told on the loopback
//! address alone.

use crate::clock::Clock;
use crate::limits::{DENIALS, LOG_METHOD, LOG_PATH};
use http::request::Parts;
use policy::reason::Reason;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Denial {
    /// Milliseconds since 1970.
    time: i64,
    port: u16,
    method: String,
    /// Without the query: it can hold what is nobody's business.
    path: String,
    code: &'static str,
    detail: Option<&'static str>,
    /// Counted from 0; none where no rule decided.
    rule: Option<usize>,
}

/// The last ones of a thread.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<VecDeque<Denial>>);

impl Denial {
    pub(crate) fn new(clock: Clock, port: u16, head: &Parts, reason: Reason, rule: Option<usize>) -> Self {
        Self {
            time: clock.now().as_millis(),
            port,
            method: cut(head.method.as_str(), LOG_METHOD),
            path: cut(head.uri.path(), LOG_PATH),
            code: reason.code(),
            detail: reason.detail(),
            rule,
        }
    }
}

impl Denials {
    /// Keeps one. Where somebody reads them at this very moment it is not worth waiting for.
    pub(crate) fn note(&self, denial: Denial) {
        if let Ok(mut last) = self.0.try_lock() {
            last.truncate(DENIALS - 1);
            last.push_front(denial);
        }
    }

    /// The last ones of all threads, the newest first.
    pub(crate) fn last_of(threads: &[Arc<Self>]) -> Vec<Denial> {
        let each = threads.iter().filter_map(|thread| thread.0.lock().ok());
        let mut last: Vec<Denial> = each.flat_map(|last| last.clone()).collect();
        last.sort_by_key(|denial| Reverse(denial.time));
        last.truncate(DENIALS);
        last
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(path: &str) -> Denial {
        let (head, ()) = http::Request::get(path).body(()).unwrap().into_parts();
        Denial::new(Clock::System, 3000, &head, Reason::NoRule, Some(1))
    }

    #[test]
    fn the_newest_are_kept_without_their_queries() {
        let denials = Arc::<Denials>::default();
        for number in 0..250 {
            denials.note(denial(&format!("/{number}?token=secret")));
        }
        let last = Denials::last_of(&[Arc::clone(&denials)]);
        assert_eq!((last.len(), last[0].path.as_str(), last[99].path.as_str()), (DENIALS, "/249", "/150"));
        assert!(!serde_json::to_string(&last).unwrap().contains("secret"));
        denials.note(denial(&format!("/{}", "a".repeat(5000))));
        assert_eq!(Denials::last_of(&[denials])[0].path.len(), LOG_PATH);
    }

    #[test]
    fn those_of_all_threads_come_in_order() {
        let threads: [Arc<Denials>; 2] = Default::default();
        for time in 0..150 {
            let denial = Denial { time, ..denial("/") };
            threads[usize::from(time % 3 == 0)].note(denial);
        }
        let times: Vec<i64> = Denials::last_of(&threads).iter().map(|denial| denial.time).collect();
        assert_eq!(times, (50..150).rev().collect::<Vec<_>>());
    }
}
