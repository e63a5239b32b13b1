//! Tokens that name a key which no set has: the keys are asked for anew, and the request waits for them a little.
//!
//! Decisions stay pure: the wait stands outside, and after it the request is decided again.

use crate::limits::{KEY_PATIENCE, KEY_REFETCH, KEY_WAITERS};
use policy::keys::is_at_hand;
use policy::wire::UnknownKey;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Who can have the keys of an issuer fetched anew. What comes of it is put into the [`State`](crate::State) as always.
pub trait Refetch: Debug + Send + Sync {
    /// A token names this key, and the set does not have it. Called at most once in ten seconds for a key while requests
    /// wait for it; must not block.
    fn refetch(&self, unknown: &UnknownKey);
}

/// The keys that tokens named in vain, and the requests that wait for one.
#[derive(Debug, Default)]
pub(crate) struct UnknownKeys {
    refetch: OnceLock<Arc<dyn Refetch>>,
    asked: Mutex<BTreeMap<UnknownKey, Entry>>,
    changes: watch::Sender<u64>,
}

/// A key that was asked for.
#[derive(Debug)]
struct Entry {
    at: Instant,
    waiters: usize,
    /// Whether a request waited for it to the end.
    in_vain: bool,
}

/// What becomes of a request that names an unknown key.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It was looked for just now, or nobody can fetch it.
    InVain,
    /// Too many wait for keys of this issuer.
    Full,
    /// It is being looked for.
    Waiting(Place),
}

/// One of the requests that may wait at once.
#[derive(Debug)]
pub(crate) struct Place {
    keys: Arc<UnknownKeys>,
    key: UnknownKey,
    until: Instant,
    changes: watch::Receiver<u64>,
}

impl UnknownKeys {
    pub(crate) fn refetch_with(&self, refetch: Arc<dyn Refetch>) {
        // Whoever was named first stays: there is one source of keys.
        let _ = self.refetch.set(refetch);
    }

    /// Something may have become known.
    pub(crate) fn wake(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Asks for a key; who may wait looks at the keys once more before it does, for they may have come meanwhile.
    pub(crate) fn ask(self: &Arc<Self>, key: &UnknownKey) -> Asked {
        let Some(refetch) = self.refetch.get().filter(|_| !is_at_hand(&key.issuer)) else { return Asked::InVain };
        let changes = self.changes.subscribe();
        let (mut asked, now) = (self.lock(), Instant::now());
        asked.retain(|_, entry| entry.waiters > 0 || entry.at + KEY_REFETCH > now);
        if asked.get(key).is_some_and(|entry| entry.in_vain && entry.at + KEY_REFETCH > now) {
            return Asked::InVain;
        }
        let waiting: usize =
            asked.iter().filter(|(other, _)| other.issuer == key.issuer).map(|(_, entry)| entry.waiters).sum();
        if waiting >= KEY_WAITERS {
            return Asked::Full;
        }
        let is_new = !asked.contains_key(key);
        let entry = asked.entry(key.clone()).or_insert(Entry { at: now, waiters: 0, in_vain: false });
        entry.waiters += 1;
        drop(asked);
        if is_new {
            refetch.refetch(key);
        }
        Asked::Waiting(Place { keys: Arc::clone(self), key: key.clone(), until: now + KEY_PATIENCE, changes })
    }

    /// Tells of a key that no request waits for.
    pub(crate) fn tell(&self, key: &UnknownKey) {
        if let Some(refetch) = self.refetch.get().filter(|_| !is_at_hand(&key.issuer)) {
            refetch.refetch(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<UnknownKey, Entry>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until something may have become known; false where the time is up, and then nobody waits for this key until it
    /// may be asked for again.
    pub(crate) async fn changed(&mut self) -> bool {
        let in_time = timeout_at(self.until, self.changes.changed()).await.is_ok();
        if !in_time && let Some(entry) = self.keys.lock().get_mut(&self.key) {
            entry.in_vain = true;
        }
        in_time
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut asked = self.keys.lock();
        if let Some(entry) = asked.get_mut(&self.key) {
            entry.waiters = entry.waiters.saturating_sub(1);
            // Found, or the callers went away: nothing was looked for in vain.
            if entry.waiters == 0 && !entry.in_vain {
                asked.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Refetch for Heard {
        fn refetch(&self, unknown: &UnknownKey) {
            self.0.lock().unwrap().push(unknown.kid.clone());
        }
    }

    fn keys() -> (Arc<UnknownKeys>, Arc<Heard>) {
        let (keys, heard) = (Arc::new(UnknownKeys::default()), Arc::new(Heard::default()));
        keys.refetch_with(Arc::clone(&heard) as _);
        (keys, heard)
    }

    fn key(issuer: &str, kid: &str) -> UnknownKey {
        UnknownKey { issuer: issuer.into(), kid: kid.into() }
    }

    fn place(asked: Asked) -> Place {
        match asked {
            Asked::Waiting(place) => place,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_anybody_to_ask_nobody_waits() {
        assert!(matches!(Arc::new(UnknownKeys::default()).ask(&key("a", "1")), Asked::InVain));
        let (keys, heard) = keys();
        let inline = key(&policy::keys::at_hand_id("a", "inline", "shop/users"), "1");
        assert!(matches!(keys.ask(&inline), Asked::InVain), "keys in the policy come with the policy alone");
        keys.tell(&inline);
        assert!(heard.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_was_looked_for_in_vain_is_refused_until_it_may_be_looked_for_again() {
        let (keys, heard) = keys();
        let begin = Instant::now();
        let mut first = place(keys.ask(&key("a", "1")));
        let mut second = place(keys.ask(&key("a", "1")));
        assert!(!first.changed().await && !second.changed().await);
        assert_eq!(begin.elapsed(), KEY_PATIENCE);
        drop((first, second));
        assert!(matches!(keys.ask(&key("a", "1")), Asked::InVain));
        tokio::time::advance(KEY_REFETCH - KEY_PATIENCE - Duration::from_millis(1)).await;
        assert!(matches!(keys.ask(&key("a", "1")), Asked::InVain));
        tokio::time::advance(Duration::from_millis(1)).await;
        drop(place(keys.ask(&key("a", "1"))));
        assert_eq!(*heard.0.lock().unwrap(), ["1", "1"], "asked once for both, and once more when due");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_wakes_all_and_leaves_nothing_behind() {
        let (keys, _) = keys();
        let (mut one, mut other) = (place(keys.ask(&key("a", "1"))), place(keys.ask(&key("a", "2"))));
        keys.wake();
        assert!(one.changed().await && other.changed().await);
        drop((one, other));
        assert!(keys.lock().is_empty());
        // A change between the question and the wait is seen too.
        let mut late = place(keys.ask(&key("a", "1")));
        keys.wake();
        assert!(late.changed().await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_waiters_of_one_issuer_do_not_crowd_out_those_of_another() {
        let (keys, heard) = keys();
        let places: Vec<_> = (0..KEY_WAITERS).map(|n| place(keys.ask(&key("a", &(n % 3).to_string())))).collect();
        assert!(matches!(keys.ask(&key("a", "0")), Asked::Full) && matches!(keys.ask(&key("a", "9")), Asked::Full));
        drop(place(keys.ask(&key("b", "0"))));
        drop(places);
        drop(place(keys.ask(&key("a", "9"))));
        assert_eq!(*heard.0.lock().unwrap(), ["0", "1", "2", "0", "9"]);
    }
}
