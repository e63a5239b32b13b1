//! The keys of the issuers in use, fetched once for all policies and pods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use issuer::Keys;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use policy::keys::KeySource;
use policy::wire::KeysMessage;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::compiler::FetchedKeys;
use crate::status::{AllKeysSeen, KeysSeen};

/// The set of an issuer whose keys may not be used any longer.
const NO_KEYS: &str = r#"{"keys":[]}"#;

/// Fetches the keys of the issuers in use.
pub struct Fetcher {
    keys: Arc<Keys>,
    known: watch::Receiver<BTreeMap<String, issuer::Known>>,
    issuers: BTreeMap<String, String>,
    /// One moment on both clocks: so a time of the one is the same time of the other whenever it is asked for.
    began: (Instant, Timestamp),
}

/// What a fetcher knows.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The sets by id.
    pub messages: FetchedKeys,
    /// What is to be said of each.
    pub seen: AllKeysSeen,
    /// The ids of those that were asked for at least once, in vain or not.
    pub tried: BTreeSet<String>,
}

impl Fetcher {
    /// Fetches nothing yet.
    #[must_use]
    pub fn new(keys: Arc<Keys>) -> Self {
        let known = keys.subscribe();
        Self { keys, known, issuers: BTreeMap::new(), began: (Instant::now(), Timestamp::now()) }
    }

    /// Fetches from exactly these sources from now on.
    pub fn want(&mut self, sources: BTreeSet<KeySource>) {
        self.issuers = sources.iter().map(|one| (one.id().to_owned(), one.issuer().to_owned())).collect();
        self.keys.want(sources);
    }

    /// Waits until something came, or an attempt failed.
    pub async fn changed(&mut self) {
        if self.known.changed().await.is_err() {
            // Nobody fetches any more: nothing will change.
            std::future::pending::<()>().await;
        }
    }

    /// What is known now.
    pub fn known(&mut self) -> Known {
        let mut told = Known::default();
        let began = self.began;
        for (id, known) in &*self.known.borrow_and_update() {
            let status = &known.status;
            // Too old to be used: sidecars must be told, for they keep what they have.
            let stale = || {
                let issuer = self.issuers.get(id).filter(|_| status.stale)?;
                KeysMessage::new(id.clone(), issuer.clone(), NO_KEYS).ok()
            };
            let message = known.message.clone().or_else(|| stale().map(Arc::new));
            told.messages.extend(message.map(|message| (id.clone(), message)));
            let seen = KeysSeen {
                keys: u32::try_from(status.keys).unwrap_or(u32::MAX),
                last_fetch: status.fetched.map(|moment| wall_clock(began, moment)),
                error: status.error.as_ref().map(|fault| (fault.code.to_owned(), fault.message.clone())),
            };
            told.seen.insert(id.clone(), seen);
            if status.attempts > 0 {
                told.tried.insert(id.clone());
            }
        }
        told
    }
}

/// A moment of the monotonic clock in the time that people read, in whole seconds.
fn wall_clock((instant, timestamp): (Instant, Timestamp), moment: Instant) -> Timestamp {
    let since = SignedDuration::try_from(moment.saturating_duration_since(instant)).unwrap_or_default();
    let exact = timestamp.checked_add(since).unwrap_or(timestamp);
    Timestamp::from_second(exact.as_second()).unwrap_or(exact)
}
