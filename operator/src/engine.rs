//! The loop: gather what was seen, compile, publish.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use kube::Client;
use kube::runtime::watcher::Event;
use policy::keys::KeySet;
use policy::wire::KeysMessage;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::compiler::{Compiler, Outcome};
use crate::hub::Hub;
use crate::keys::Fetcher;
use crate::limits::{CHANGES, GATHER, GATHER_MOST, GATHER_RATIO};
use crate::moment::at;
use crate::status::{AllKeysSeen, KeysSeen, Statuses};
use crate::watch::{Change, ConfigMapWatches, start};
use crate::world::World;

/// What the loop tells.
#[derive(Clone, Debug)]
pub struct Told {
    /// What came of the world.
    pub outcomes: watch::Receiver<Arc<Outcome>>,
    /// What is known of keys.
    pub keys: watch::Receiver<Arc<AllKeysSeen>>,
    /// The status of every policy as it was seen last.
    pub statuses: Statuses,
    /// One of them was seen to change, perhaps by another replica.
    pub status_seen: Arc<Notify>,
    /// Whether everything was listed once.
    pub complete: watch::Receiver<bool>,
}

/// The loop with what it holds.
pub struct Engine {
    compiler: Compiler,
    hub: Arc<Hub>,
    fetcher: Fetcher,
    changes: mpsc::Receiver<Change>,
    config_maps: ConfigMapWatches,
    world: World,
    statuses: Statuses,
    status_seen: Arc<Notify>,
    outcomes: watch::Sender<Arc<Outcome>>,
    keys: watch::Sender<Arc<AllKeysSeen>>,
    complete: watch::Sender<bool>,
    counted: BTreeMap<String, (String, u32)>,
}

impl Engine {
    /// Begins to watch.
    #[must_use]
    pub fn new(client: &Client, compiler: Compiler, hub: Arc<Hub>, fetcher: Fetcher) -> (Self, Told) {
        let (sender, changes) = mpsc::channel(CHANGES);
        start(client, &sender);
        let engine = Self {
            compiler,
            hub,
            fetcher,
            changes,
            config_maps: ConfigMapWatches::new(client.clone(), sender),
            world: World::default(),
            statuses: Statuses::default(),
            status_seen: Arc::default(),
            outcomes: watch::Sender::new(Arc::default()),
            keys: watch::Sender::new(Arc::default()),
            complete: watch::Sender::new(false),
            counted: BTreeMap::new(),
        };
        let told = Told {
            outcomes: engine.outcomes.subscribe(),
            keys: engine.keys.subscribe(),
            statuses: Arc::clone(&engine.statuses),
            status_seen: Arc::clone(&engine.status_seen),
            complete: engine.complete.subscribe(),
        };
        (engine, told)
    }

    /// Runs until nobody can tell of changes any more.
    pub async fn run(mut self) {
        // One change after a quiet time waits for `GATHER` alone; what many cost stays bounded.
        let mut not_before = Instant::now();
        let mut again = None;
        loop {
            let mut changed = tokio::select! {
                change = self.changes.recv() => match change {
                    Some(change) => self.take(change),
                    None => return,
                },
                () = self.fetcher.changed() => true,
                () = at(again) => true,
            };
            if !changed {
                continue;
            }
            sleep_until(not_before.max(Instant::now() + GATHER)).await;
            while let Ok(change) = self.changes.try_recv() {
                changed |= self.take(change);
            }
            let begun = Instant::now();
            again = self.compile();
            let took = begun.elapsed();
            not_before = Instant::now() + (took * GATHER_RATIO).min(GATHER_MOST);
            debug!(micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX), "compiled");
        }
    }

    /// Notes what was seen; true where it changes what pods run. A status is seen by those who write it alone.
    fn take(&mut self, change: Change) -> bool {
        if let Change::Policies(event) = &change {
            let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Apply((key, policy)) | Event::InitApply((key, policy)) => {
                    statuses.insert(key.clone(), Arc::clone(&policy.status));
                }
                Event::Delete((key, _)) => drop(statuses.remove(key)),
                Event::Init | Event::InitDone => {}
            }
            self.status_seen.notify_one();
        }
        let relisted = matches!(change, Change::Policies(Event::InitDone));
        let changed = change.apply(&mut self.world);
        if relisted {
            let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
            statuses.retain(|key, _| self.world.policies.objects().contains_key(key));
        }
        changed
    }

    /// Compiles the world and publishes what came of it. Tells when to do so again though nothing changes.
    fn compile(&mut self) -> Option<Instant> {
        self.config_maps.want(&Compiler::references(&self.world), &mut self.world);
        if !self.world.is_complete() {
            return None;
        }
        let known = self.fetcher.known();
        let outcome = self.compiler.run(&self.world, &known.messages, &known.tried, Instant::now());
        let again = outcome.again;
        self.hub.publish(&outcome.desired);
        self.fetcher.want(self.compiler.sources());
        let mut seen = known.seen;
        seen.extend(self.counted(&outcome));
        self.keys.send_if_modified(|keys| {
            let changed = **keys != seen;
            if changed {
                *keys = Arc::new(seen);
            }
            changed
        });
        self.outcomes.send_replace(Arc::new(outcome));
        self.complete.send_replace(true);
        again
    }

    /// How many keys the sets have that are not fetched.
    fn counted(&mut self, outcome: &Outcome) -> AllKeysSeen {
        let rules = outcome.policies.values().filter_map(|policy| policy.rules.as_ref());
        let messages: BTreeMap<&str, &Arc<KeysMessage>> =
            rules.flat_map(|rules| &rules.keys).map(|message| (message.id.as_str(), message)).collect();
        self.counted.retain(|id, _| messages.contains_key(id.as_str()));
        for (id, message) in messages {
            if self.counted.get(id).is_none_or(|(revision, _)| *revision != message.revision) {
                let set = message.jwks().ok().and_then(|jwks| KeySet::parse(jwks.as_bytes()).ok());
                let count = set.map_or(0, |set| u32::try_from(set.len()).unwrap_or(u32::MAX));
                self.counted.insert(id.to_owned(), (message.revision.clone(), count));
            }
        }
        let seen = |count| KeysSeen { keys: count, ..KeysSeen::default() };
        self.counted.iter().map(|(id, (_, count))| (id.clone(), seen(*count))).collect()
    }
}
