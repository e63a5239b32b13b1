//! The keys of all issuers that are wanted.

use crate::connect::{Connect, Tcp};
use crate::fetch::Fetcher;
use crate::limits::SOURCES;
use crate::provider::{KeysError, Obtained, Provider};
use crate::refresh::Refresh;
use crate::trust::Trust;
use ipnet::IpNet;
use policy::egress::LOOPBACK;
use policy::keys::{IgnoredKey, KeySet, KeySource};
use policy::wire::KeysMessage;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What holds for all issuers.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Networks beside the public internet that may be connected to.
    pub allowed_networks: Vec<IpNet>,
    /// Whether this machine may be connected to, without TLS too: for `doorward run` alone.
    pub loopback: bool,
    /// How long keys are used after they were fetched last; without end where it is not set.
    pub max_stale: Option<Duration>,
}

/// What is known of one source of keys.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The last good set, as it travels; none before the first, or where it has grown too old.
    pub message: Option<Arc<KeysMessage>>,
    /// The same set, parsed.
    pub set: Option<Arc<KeySet>>,
    /// How it stands.
    pub status: Status,
}

/// How fetching from one source stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Keys in use.
    pub keys: usize,
    /// Keys of the last good set that cannot be used.
    pub ignored: Vec<IgnoredKey>,
    /// When the last good set was fetched.
    pub fetched: Option<Instant>,
    /// Attempts so far, failed ones included: a key that was missed and is not there after the next one is not there at all.
    pub attempts: u64,
    /// Why the last attempt failed, where it did.
    pub error: Option<Fault>,
    /// Whether no set was fetched for so long that none may be used, whoever still holds one.
    pub stale: bool,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of fault it is; stable, as a condition's reason is written.
    pub code: &'static str,
    /// What is wrong, with the cure where there is one.
    pub message: String,
}

/// The keys of all issuers that are wanted. Dropping it ends all fetching.
pub struct Keys {
    fetcher: Arc<Fetcher>,
    public: Trust,
    settings: Settings,
    /// One for each source that is wanted; none where nothing can be fetched from it.
    tasks: Mutex<BTreeMap<String, Option<Task>>>,
    known: watch::Sender<BTreeMap<String, Known>>,
}

struct Task {
    abort: AbortHandle,
    unknown: Arc<Notify>,
}

impl Keys {
    /// Keys from the machine's network; nothing is fetched before something is wanted.
    ///
    /// # Errors
    /// See [`Trust::public`].
    pub fn new(settings: Settings) -> Result<Self, rustls::Error> {
        Self::over(Arc::new(Tcp), settings)
    }

    /// Keys from another network.
    ///
    /// # Errors
    /// See [`Trust::public`].
    pub fn over(network: Arc<dyn Connect>, settings: Settings) -> Result<Self, rustls::Error> {
        let mut allowed = settings.allowed_networks.clone();
        if settings.loopback {
            allowed.extend(LOOPBACK);
        }
        Ok(Self {
            fetcher: Arc::new(Fetcher::new(network, allowed)),
            public: Trust::public()?,
            settings,
            tasks: Mutex::default(),
            known: watch::Sender::default(),
        })
    }

    /// Sets which sources are wanted: fetching starts for new ones, ends for those that are gone, and goes on undisturbed for
    /// the rest. Needs a Tokio runtime. Where there are [`SOURCES`] already, new ones are not fetched, and their status says so.
    pub fn want(&self, sources: impl IntoIterator<Item = KeySource>) {
        let mut wanted: BTreeMap<String, KeySource> =
            sources.into_iter().map(|source| (source.id().to_owned(), source)).collect();
        let mut tasks = self.tasks();
        let beyond = beyond(&tasks, &mut wanted);
        let gone: BTreeSet<String> = tasks.keys().filter(|id| !wanted.contains_key(*id)).cloned().collect();
        let new: Vec<KeySource> = wanted.into_values().filter(|source| !tasks.contains_key(source.id())).collect();
        for task in gone.iter().filter_map(|id| tasks.remove(id)).flatten() {
            task.abort.abort();
        }
        self.known.send_if_modified(|known| {
            let before = known.len();
            known.retain(|id, _| tasks.contains_key(id) || beyond.contains(id));
            let mut changed = known.len() != before || !new.is_empty();
            known.extend(new.iter().map(|source| (source.id().to_owned(), Known::default())));
            for id in &beyond {
                known.entry(id.clone()).or_insert_with(|| {
                    changed = true;
                    Known {
                        status: Status { attempts: 1, error: Some(too_many()), ..Status::default() },
                        ..Known::default()
                    }
                });
            }
            changed
        });
        for source in new {
            tasks.insert(source.id().to_owned(), self.start(source));
        }
    }

    /// A token named a key that its set does not have: the set is fetched again as soon as that may be.
    pub fn unknown_key(&self, id: &str, kid: &str) {
        let known = self.known.borrow().get(id).and_then(|known| known.set.as_ref().map(|set| set.knows(kid)));
        if known == Some(true) {
            return;
        }
        if let Some(Some(task)) = self.tasks().get(id) {
            task.unknown.notify_one();
        }
    }

    /// What is known of every source that is wanted, by id, now and after every attempt.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<String, Known>> {
        self.known.subscribe()
    }

    /// Fetches the keys of one source once, and keeps nothing.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn fetch_once(&self, source: &KeySource) -> Result<Arc<KeysMessage>, KeysError> {
        let mut provider = Provider::new(source.clone(), &self.public, self.settings.loopback)?;
        provider.fetch(&self.fetcher, true).await.map(|obtained| obtained.message)
    }

    fn start(&self, source: KeySource) -> Option<Task> {
        let publish = Publish { id: source.id().to_owned(), known: self.known.clone() };
        let provider = match Provider::new(source, &self.public, self.settings.loopback) {
            Ok(provider) => provider,
            Err(error) => {
                publish.failed(&error);
                return None;
            }
        };
        let unknown = Arc::new(Notify::new());
        let refresh = Refresh {
            provider,
            fetcher: Arc::clone(&self.fetcher),
            unknown: Arc::clone(&unknown),
            max_stale: self.settings.max_stale,
            publish,
        };
        let abort = tokio::spawn(refresh.run()).abort_handle();
        Some(Task { abort, unknown })
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<String, Option<Task>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        for task in self.tasks().values().flatten() {
            task.abort.abort();
        }
    }
}

/// Takes out what there is no room for beside the sources that are fetched from already.
fn beyond(tasks: &BTreeMap<String, Option<Task>>, wanted: &mut BTreeMap<String, KeySource>) -> BTreeSet<String> {
    let stay = wanted.keys().filter(|id| tasks.contains_key(*id)).count();
    let new = wanted.keys().filter(|id| !tasks.contains_key(*id));
    let beyond: BTreeSet<String> = new.skip(SOURCES.saturating_sub(stay)).cloned().collect();
    wanted.retain(|id, _| !beyond.contains(id));
    beyond
}

fn too_many() -> Fault {
    let message = format!(
        "keys of at most {SOURCES} issuers are fetched, and policies name more: share issuers, or give `keys` inline"
    );
    Fault { code: "TooManyIssuers", message }
}

/// Where one source's task tells what came.
pub(crate) struct Publish {
    id: String,
    known: watch::Sender<BTreeMap<String, Known>>,
}

impl Publish {
    /// A good set takes the place of the one before.
    pub(crate) fn obtained(&self, obtained: Obtained, now: Instant) {
        self.change(|known| {
            known.status = Status {
                keys: obtained.set.len(),
                ignored: obtained.set.ignored().to_vec(),
                fetched: Some(now),
                attempts: known.status.attempts + 1,
                error: None,
                stale: false,
            };
            // The very message that is there stays where nothing changed, so that nobody sends it again.
            if known.message.as_ref().is_none_or(|message| message.revision != obtained.message.revision) {
                known.message = Some(obtained.message);
                known.set = Some(Arc::new(obtained.set));
            }
        });
    }

    /// The last good set stays.
    pub(crate) fn failed(&self, error: &KeysError) {
        let fault = Fault { code: error.code(), message: in_full(error) };
        self.change(|known| {
            known.status.attempts += 1;
            known.status.error = Some(fault);
        });
    }

    /// The set is too old to be used.
    pub(crate) fn stale(&self) {
        self.change(|known| {
            (known.message, known.set) = (None, None);
            (known.status.keys, known.status.ignored, known.status.stale) = (0, Vec::new(), true);
        });
    }

    /// A source that is no longer wanted has no entry, and gets none from a task that is just being ended.
    fn change(&self, change: impl FnOnce(&mut Known)) {
        self.known.send_if_modified(|known| known.get_mut(&self.id).map(change).is_some());
    }
}

/// An error with everything behind it, in one line.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever names one issuer too many must not take the keys of others away.
    #[tokio::test]
    async fn beyond_the_bound_new_sources_wait_and_old_ones_stay() {
        let source = |number: usize| {
            // Nothing can be fetched by this bundle, so nothing is tried.
            KeySource::new(format!("https://{number}.example"), None, Some("none".to_owned()))
        };
        let keys = Keys::new(Settings::default()).unwrap();
        let code = |number: usize| {
            let known = keys.known.borrow();
            known.get(source(number).id()).map(|known| known.status.error.as_ref().unwrap().code)
        };
        keys.want((1..=SOURCES).map(source));
        keys.want((0..=SOURCES).map(source));
        assert_eq!((code(0), code(1), code(SOURCES)), (Some("TooManyIssuers"), Some("BadBundle"), Some("BadBundle")));
        let mut known = keys.subscribe();
        keys.want((0..=SOURCES).map(source));
        assert!(!known.has_changed().unwrap());
        keys.want((0..SOURCES).map(source));
        assert!(known.has_changed().unwrap());
        known.borrow_and_update();
        assert_eq!((code(0), code(SOURCES)), (Some("BadBundle"), None), "there is room now");
    }
}
