//! What every pod should run, and what its sidecar reported: the one place where the compiler's results and the streams meet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use policy::wire::Report;
use tokio::sync::{Notify, watch};

/// A pod as its service-account token names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodId {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The UID; a pod made anew under the same name is another pod.
    pub uid: String,
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.namespace, self.name, self.uid)
    }
}

/// One message of the stream, encoded once for all pods that get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// What tells one message from the next of its kind: revision, and for rulesets the generation too.
    pub revision: String,
    /// The line with its end.
    pub line: Bytes,
}

/// The names that a pod's certificate has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The SPIFFE ID of its service account.
    pub spiffe: String,
    /// The DNS names of the Services that select it, in order.
    pub dns: Vec<String>,
}

/// What a pod should run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Whether all caches are complete: before, nothing may be called absent.
    pub complete: bool,
    /// The ruleset of each port that has one.
    pub rulesets: BTreeMap<u16, Arc<Encoded>>,
    /// For ports that a policy rules which cannot be used (yet): the UIDs of the policies whose last good rules may stay there.
    pub retained: BTreeMap<u16, BTreeSet<String>>,
    /// The same for every other port without a ruleset; where it is empty too, such a port is absent.
    pub retained_elsewhere: BTreeSet<String>,
    /// The sets of keys that the rulesets name, by id.
    pub keys: BTreeMap<String, Arc<Encoded>>,
    /// The sets of keys that the rulesets name and that are not there yet, by id.
    pub awaited: BTreeSet<String>,
    /// The names of its certificate; none where the pod is not known (yet).
    pub names: Option<Arc<Names>>,
}

/// What is known of a pod that is connected or was lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many streams it has open to this replica.
    pub streams: usize,
    /// What it reported last; none before its first report.
    pub report: Option<Arc<Report>>,
    /// Whether its sidecar reads no format that the operator serves; it runs what it got last.
    pub outdated: bool,
}

/// What every pod should run, and what it reported.
#[derive(Debug, Default)]
pub struct Hub {
    pods: Mutex<BTreeMap<PodId, Entry>>,
    reported: Notify,
}

#[derive(Debug)]
struct Entry {
    desired: watch::Sender<Arc<Desired>>,
    seen: Seen,
}

impl Default for Entry {
    fn default() -> Self {
        Self { desired: watch::Sender::new(Arc::default()), seen: Seen::default() }
    }
}

/// A stream that is open; closing it is dropping this.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    pod: PodId,
    /// What the pod should run, now and after every change.
    pub desired: watch::Receiver<Arc<Desired>>,
}

impl Hub {
    /// Opens a stream.
    pub fn subscribe(self: &Arc<Self>, pod: &PodId) -> Subscription {
        let mut pods = self.pods();
        let entry = pods.entry(pod.clone()).or_default();
        entry.seen.streams += 1;
        entry.seen.outdated = false;
        let desired = entry.desired.subscribe();
        drop(pods);
        self.reported.notify_one();
        Subscription { hub: Arc::clone(self), pod: pod.clone(), desired }
    }

    /// Sets what every pod should run; pods that are not named have gone, and their streams see a value without names.
    pub fn publish(&self, desired: &BTreeMap<PodId, Arc<Desired>>) {
        let mut pods = self.pods();
        let complete = desired.values().next().is_some_and(|desired| desired.complete);
        let gone = Arc::new(Desired { complete, ..Desired::default() });
        let mut known = 0;
        pods.retain(|pod, entry| {
            let wanted = desired.get(pod);
            known += usize::from(wanted.is_some());
            set(entry, wanted.unwrap_or(&gone));
            wanted.is_some() || entry.seen.streams > 0
        });
        // Mostly no pod is new: looking each up once more would cost as much as all before.
        if known < desired.len() {
            for (pod, desired) in desired {
                if !pods.contains_key(pod) {
                    set(pods.entry(pod.clone()).or_default(), desired);
                }
            }
        }
    }

    /// What a pod should run; none where nothing is known of it.
    pub fn desired(&self, pod: &PodId) -> Option<Arc<Desired>> {
        self.pods().get(pod).map(|entry| Arc::clone(&entry.desired.borrow()))
    }

    /// Takes a report; false where the pod has no open stream here, and the report then changes nothing.
    pub fn report(&self, pod: &PodId, report: Report) -> bool {
        let mut pods = self.pods();
        let Some(entry) = pods.get_mut(pod).filter(|entry| entry.seen.streams > 0) else { return false };
        entry.seen.report = Some(Arc::new(report));
        drop(pods);
        self.reported.notify_one();
        true
    }

    /// What a pod reported last on a stream that is open.
    pub fn last_report(&self, pod: &PodId) -> Option<Arc<Report>> {
        self.pods().get(pod).and_then(|entry| entry.seen.report.clone())
    }

    /// Notes that a pod's sidecar reads no format that the operator serves: it gets no stream. Forgotten when it opens one,
    /// or when the pod is gone.
    pub fn outdated(&self, pod: &PodId) {
        let mut pods = self.pods();
        let Some(entry) = pods.get_mut(pod) else { return };
        let changed = !std::mem::replace(&mut entry.seen.outdated, true);
        drop(pods);
        if changed {
            self.reported.notify_one();
        }
    }

    /// What is known of every pod with an open stream, and of those that are outdated.
    pub fn seen(&self) -> BTreeMap<PodId, Seen> {
        let pods = self.pods();
        pods.iter()
            .filter(|(_, entry)| entry.seen.streams > 0 || entry.seen.outdated)
            .map(|(pod, entry)| (pod.clone(), entry.seen.clone()))
            .collect()
    }

    /// Waits until a report came, a stream opened or closed, or a pod was found outdated, since the last time.
    pub async fn reported(&self) {
        self.reported.notified().await;
    }

    fn pods(&self) -> MutexGuard<'_, BTreeMap<PodId, Entry>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the stream only where something changed.
fn set(entry: &mut Entry, desired: &Arc<Desired>) {
    entry.desired.send_if_modified(|now| {
        let changed = *now != *desired;
        if changed {
            *now = Arc::clone(desired);
        }
        changed
    });
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut pods = self.hub.pods();
        if let Some(entry) = pods.get_mut(&self.pod) {
            entry.seen.streams = entry.seen.streams.saturating_sub(1);
            if entry.seen.streams == 0 {
                entry.seen.report = None;
            }
        }
        drop(pods);
        self.hub.reported.notify_one();
    }
}
