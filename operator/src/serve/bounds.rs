//! What one pod or address may take: places at once, and rates.

use crate::limits::{RATES_KEPT, Rate};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// At most so many at once for each key.
#[derive(Debug)]
pub(super) struct Places<K> {
    most: usize,
    taken: Mutex<HashMap<K, usize>>,
}

/// One of them; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place<K: Hash + Eq> {
    places: Arc<Places<K>>,
    key: K,
}

impl<K: Hash + Eq + Clone> Places<K> {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// None where all are taken.
    pub(super) fn take(self: &Arc<Self>, key: &K) -> Option<Place<K>> {
        let mut taken = lock(&self.taken);
        let count = taken.entry(key.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place { places: Arc::clone(self), key: key.clone() })
    }
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.places.taken);
        if let Some(count) = taken.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

/// So many at once for each key, and others wait.
#[derive(Debug)]
pub(super) struct Queues<K> {
    most: usize,
    queues: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Hash + Eq + Clone> Queues<K> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, queues: Mutex::default() }
    }

    /// Where to wait.
    pub(super) fn of(&self, key: &K) -> Arc<Semaphore> {
        let mut queues = lock(&self.queues);
        if queues.len() >= RATES_KEPT {
            queues.retain(|_, queue| Arc::strong_count(queue) > 1);
        }
        Arc::clone(queues.entry(key.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.most))))
    }
}

/// A rate for each key (generic cell rate algorithm: one time for each key says all).
#[derive(Debug)]
pub(super) struct Rates<K> {
    rate: Rate,
    /// When the key is as if it had never come.
    fresh_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Hash + Eq + Clone> Rates<K> {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, fresh_at: Mutex::default() }
    }

    /// Whether the key may come now.
    pub(super) fn has_room(&self, key: &K, now: Instant) -> bool {
        let ahead = lock(&self.fresh_at).get(key).map(|at| at.saturating_duration_since(now)).unwrap_or_default();
        ahead <= self.rate.period * self.rate.burst.saturating_sub(1)
    }

    /// Counts one.
    pub(super) fn charge(&self, key: &K, now: Instant) {
        let mut fresh_at = lock(&self.fresh_at);
        if fresh_at.len() >= RATES_KEPT && !fresh_at.contains_key(key) {
            fresh_at.retain(|_, at| *at > now);
            // Whoever makes so many keys wins a fresh start for some of them, not memory.
            if fresh_at.len() >= RATES_KEPT {
                fresh_at.clear();
            }
        }
        let at = fresh_at.entry(key.clone()).or_insert(now);
        *at = (*at).max(now) + self.rate.period;
    }

    /// Counts one where the key may come.
    pub(super) fn take(&self, key: &K, now: Instant) -> bool {
        let room = self.has_room(key, now);
        if room {
            self.charge(key, now);
        }
        room
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn places_are_counted_for_each_key_and_come_back() {
        let places = Places::new(2);
        let (one, two) = (places.take(&"a").unwrap(), places.take(&"a").unwrap());
        assert!(places.take(&"a").is_none());
        assert!(places.take(&"b").is_some());
        drop(one);
        assert!(places.take(&"a").is_some());
        drop(two);
        assert!(lock(&places.taken).is_empty(), "nothing is kept of who has gone");
    }

    #[test]
    fn a_rate_is_a_burst_and_then_one_each_period() {
        let rates = Rates::new(Rate { burst: 3, period: Duration::from_secs(10) });
        let start = Instant::now();
        let allowed = |at: u64| rates.take(&1, start + Duration::from_secs(at));
        assert_eq!([0, 0, 0, 0, 9].map(allowed), [true, true, true, false, false]);
        assert_eq!([10, 10, 20, 25].map(allowed), [true, false, true, false]);
        assert_eq!([100, 100, 100, 100].map(allowed), [true, true, true, false]);
        assert!(rates.take(&2, start));
    }

    #[test]
    fn rates_take_no_more_memory_than_they_may() {
        let rates = Rates::new(Rate { burst: 1, period: Duration::from_secs(10) });
        let now = Instant::now();
        for key in 0..RATES_KEPT * 2 {
            rates.charge(&key, now);
        }
        assert!(lock(&rates.fresh_at).len() <= RATES_KEPT);
        rates.charge(&usize::MAX, now + Duration::from_secs(11));
        assert!(!rates.has_room(&usize::MAX, now + Duration::from_secs(11)));
    }
}
