//! What `run` has in force: one compiled policy, and the keys that are fetched for it as they come.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use issuer::{Keys, Known};
use policy::keys::KeySource;
use policy::wire::{KeysMessage, Snapshot, UnknownKey};
use rustls_pki_types::CertificateDer;
use sidecar::state::ApplyError;
use sidecar::{Refetch, State};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a changed policy waits for keys that it is the first to name; the policy before stays in force meanwhile.
const FIRST_KEYS: Duration = issuer::limits::WHOLE;

/// A compiled policy, all but the keys that are fetched.
#[derive(Debug)]
pub struct Prepared {
    /// The rules, and the keys that are at hand.
    pub snapshot: Snapshot,
    /// Where the others come from.
    pub sources: Vec<KeySource>,
    /// The certificates of the built-in CA.
    pub built_in_ca: Vec<CertificateDer<'static>>,
}

/// Puts policies and keys in force. Fetching ends when it is dropped.
pub struct Enforcer {
    shared: Arc<Shared>,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Arc<State>,
    keys: Keys,
    in_force: Mutex<Option<InForce>>,
}

struct InForce {
    prepared: Prepared,
    /// The fetched sets that are part of it.
    fetched: Vec<Arc<KeysMessage>>,
}

impl Enforcer {
    /// Begins; nothing is fetched before a policy names a source.
    ///
    /// # Errors
    /// Where no thread or runtime can be had.
    pub fn start(state: Arc<State>, settings: issuer::Settings) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared { state, keys: Keys::new(settings)?, in_force: Mutex::default() });
        shared.state.refetch_with(Arc::new(Missed(Arc::downgrade(&shared))));
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new().name("keys".to_owned());
        let thread = thread.spawn({
            let shared = Arc::clone(&shared);
            move || {
                follow(&runtime, &shared, stopped);
                // A resolver that hangs holds nobody up.
                runtime.shutdown_background();
            }
        })?;
        Ok(Self { shared, runtime: handle, stop: Some(stop), thread: Some(thread) })
    }

    /// What is decided with.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.shared.state
    }

    /// Puts a policy in force. Where another is, the keys that the new one names first are waited for, a little.
    ///
    /// # Errors
    /// Where it cannot be used; what was in force stays.
    pub fn put_in_force(&self, prepared: Prepared) -> Result<(), ApplyError> {
        let before = self.shared.lock(|in_force| in_force.as_ref().map(|now| now.prepared.sources.clone()));
        {
            let _inside = self.runtime.enter();
            let both = before.iter().flatten().chain(&prepared.sources).cloned();
            self.shared.keys.want(both.collect::<Vec<_>>());
        }
        if before.is_some() {
            self.wait_for(&prepared.sources);
        }
        let applied = self.shared.apply(prepared);
        let wanted = self.shared.lock(|in_force| in_force.as_ref().map(|now| now.prepared.sources.clone()));
        let _inside = self.runtime.enter();
        self.shared.keys.want(wanted.into_iter().flatten());
        applied
    }

    fn wait_for(&self, sources: &[KeySource]) {
        let mut known = self.shared.keys.subscribe();
        let tried = |known: &BTreeMap<String, Known>| {
            sources.iter().all(|source| known.get(source.id()).is_none_or(|known| known.status.attempts > 0))
        };
        // Without them requests with tokens are refused as `keys_unavailable`, which says what is missing.
        let _ = self.runtime.block_on(async { timeout(FIRST_KEYS, known.wait_for(tried)).await.map(|_| ()) });
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A thread that panicked has said so on standard error.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Has keys fetched anew when a token names one that is not there.
#[derive(Debug)]
struct Missed(Weak<Shared>);

impl Refetch for Missed {
    fn refetch(&self, unknown: &UnknownKey) {
        if let Some(shared) = self.0.upgrade() {
            shared.keys.unknown_key(&unknown.issuer, &unknown.kid);
        }
    }
}

/// Puts keys in force as they come, and tells what came.
fn follow(runtime: &Runtime, shared: &Shared, mut stopped: oneshot::Receiver<()>) {
    let mut known = shared.keys.subscribe();
    let mut told = BTreeMap::new();
    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = &mut stopped => return,
                changed = known.changed() => if changed.is_err() { return },
            }
            shared.take_keys();
            tell(&known.borrow_and_update(), &mut told, &mut std::io::stderr());
        }
    });
}

/// Tells how fetching stands with each issuer, where that changed.
fn tell(known: &BTreeMap<String, Known>, told: &mut BTreeMap<String, String>, out: &mut impl Write) {
    told.retain(|id, _| known.contains_key(id));
    for (id, known) in known.iter().filter(|(_, known)| known.status.attempts > 0) {
        // One policy names each issuer once, so the issuer tells enough.
        let issuer = id.split(' ').next().unwrap_or(id);
        let line = match &known.status.error {
            None => format!("keys of {issuer}: {} in use", known.status.keys),
            Some(fault) if known.message.is_some() => {
                format!(
                    "keys of {issuer}: {} in use; not fetched again: {}: {}",
                    known.status.keys, fault.code, fault.message
                )
            }
            Some(fault) => format!("keys of {issuer}: none; {}: {}", fault.code, fault.message),
        };
        if told.get(id) != Some(&line) {
            // There is nowhere left to report to when standard error is gone.
            let _ = writeln!(out, "{line}");
            told.insert(id.clone(), line);
        }
    }
}

impl Shared {
    fn lock<T>(&self, look: impl FnOnce(&mut Option<InForce>) -> T) -> T {
        look(&mut self.in_force.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn apply(&self, prepared: Prepared) -> Result<(), ApplyError> {
        self.lock(|in_force| {
            let fetched = self.fetched(&prepared.sources);
            self.state.apply(&with_keys(&prepared.snapshot, &fetched), &prepared.built_in_ca)?;
            *in_force = Some(InForce { prepared, fetched });
            Ok(())
        })
    }

    /// Takes the keys as they are known now, where they differ from those in force.
    fn take_keys(&self) {
        self.lock(|in_force| {
            let Some(now) = in_force else { return };
            let fetched = self.fetched(&now.prepared.sources);
            let same = fetched.len() == now.fetched.len()
                && fetched.iter().zip(&now.fetched).all(|(one, other)| Arc::ptr_eq(one, other));
            if same {
                return;
            }
            let snapshot = with_keys(&now.prepared.snapshot, &fetched);
            // Rules that are in force and keys that were parsed can be put in force; if not, the state tells why.
            if self.state.apply(&snapshot, &now.prepared.built_in_ca).is_ok() {
                now.fetched = fetched;
            }
        });
    }

    fn fetched(&self, sources: &[KeySource]) -> Vec<Arc<KeysMessage>> {
        let known = self.keys.subscribe();
        let known = known.borrow();
        sources.iter().filter_map(|source| known.get(source.id())?.message.clone()).collect()
    }
}

fn with_keys(snapshot: &Snapshot, fetched: &[Arc<KeysMessage>]) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.keys.extend(fetched.iter().map(|message| (**message).clone()));
    snapshot
}
