//! Writes what is to be said: every replica its own entry, the leader the rest, each only where it changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crds::{ApiAuthPolicy, ApiAuthPolicyStatus, Condition, ReplicaStatus};
use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Error};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::warn;

use super::{AllKeysSeen, of_leader, of_replica, settle};
use crate::compiler::{Outcome, PolicyOutcome};
use crate::hub::Hub;
use crate::lease::Group;
use crate::limits::{API_TIMEOUT, SETTLE, STATUS_INTERVAL, STATUS_REPAIR, STATUS_RETRY, STATUS_WRITES};
use crate::moment::at;
use crate::objects::Key;

/// Who writes what the leader writes.
const LEADER: &str = "doorward-operator";

/// The status of every policy as the API server had it last.
pub type Statuses = Arc<Mutex<BTreeMap<Key, Arc<Value>>>>;

/// What a writer is made of.
pub struct WriterParts {
    /// For writing.
    pub client: Client,
    /// The name of this replica.
    pub name: String,
    /// What the pods report.
    pub hub: Arc<Hub>,
    /// What the compiler says.
    pub outcomes: watch::Receiver<Arc<Outcome>>,
    /// What is known of keys.
    pub keys: watch::Receiver<Arc<AllKeysSeen>>,
    /// Who leads.
    pub group: watch::Receiver<Group>,
    /// What is written already.
    pub statuses: Statuses,
    /// What is written already was seen to change.
    pub status_seen: Arc<Notify>,
}

/// Writes statuses.
pub struct Writer {
    parts: WriterParts,
    api: Client,
    recorder: Recorder,
    started: Instant,
    written: BTreeMap<Key, Written>,
    /// Since when replicas are not there any more.
    missing: BTreeMap<String, Instant>,
    /// When it is to be looked again though nothing changes.
    look: Option<Instant>,
}

#[derive(Default)]
struct Written {
    uid: String,
    replica: Option<(ReplicaStatus, Instant)>,
    leader: Option<(ApiAuthPolicyStatus, Instant)>,
    moving: settle::Moving,
}

/// One write.
enum Write {
    Replica(Key, Arc<PolicyOutcome>, ReplicaStatus),
    Leader(Key, Arc<PolicyOutcome>, Box<ApiAuthPolicyStatus>, Vec<Condition>),
    Remove(Key, Arc<PolicyOutcome>, String),
}

impl Writer {
    /// Nothing is written yet.
    #[must_use]
    pub fn new(parts: WriterParts) -> Self {
        let reporter = Reporter { controller: LEADER.to_owned(), instance: Some(parts.name.clone()) };
        let (api, recorder) = (parts.client.clone(), Recorder::new(parts.client.clone(), reporter));
        Self {
            parts,
            api,
            recorder,
            started: Instant::now(),
            written: BTreeMap::new(),
            missing: BTreeMap::new(),
            look: None,
        }
    }

    /// Writes for ever, at most once in [`STATUS_INTERVAL`].
    pub async fn run(mut self) {
        let mut repair = tokio::time::interval(STATUS_REPAIR);
        repair.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut next = Instant::now();
        loop {
            let parts = &mut self.parts;
            // Whoever could tell us of changes is gone: so is the work.
            tokio::select! {
                changed = parts.outcomes.changed() => if changed.is_err() { return },
                changed = parts.keys.changed() => if changed.is_err() { return },
                changed = parts.group.changed() => if changed.is_err() { return },
                () = parts.hub.reported() => {}
                // The leader sums up what other replicas write.
                () = parts.status_seen.notified() => {}
                _ = repair.tick() => {}
                () = at(self.look) => {}
            }
            sleep_until(next).await;
            next = Instant::now() + STATUS_INTERVAL;
            self.write().await;
        }
    }

    async fn write(&mut self) {
        let writes = self.plan();
        let done: Vec<(Write, Result<bool, Error>)> = {
            let this = &*self;
            stream::iter(writes)
                .map(async |write| {
                    let result = this.perform(&write).await;
                    (write, result)
                })
                .buffer_unordered(STATUS_WRITES)
                .collect()
                .await
        };
        let now = Instant::now();
        let mut failed = Vec::new();
        for (write, result) in done {
            match result {
                Ok(true) => self.remember(write, now),
                // This replica leads no longer.
                Ok(false) => {}
                // Made anew, or gone: the watch tells.
                Err(Error::Api(status)) if status.code == 404 || status.code == 409 => {}
                Err(error) => failed.push(error),
            }
        }
        // One line for all: they mostly fail for the same reason.
        if let Some(error) = failed.first() {
            warn!(error = error as &dyn std::error::Error, failed = failed.len(), "cannot write every status");
            self.look = self.look.into_iter().chain([now + STATUS_RETRY]).min();
        }
    }

    fn plan(&mut self) -> Vec<Write> {
        let outcome = Arc::clone(&self.parts.outcomes.borrow_and_update());
        let keys = Arc::clone(&self.parts.keys.borrow_and_update());
        let group = self.parts.group.borrow_and_update().clone();
        let seen = self.parts.hub.seen();
        let now = Instant::now();
        let settling = now.duration_since(self.started) < SETTLE;
        self.missing.retain(|name, _| !group.replicas.contains(name));
        self.written.retain(|key, written| outcome.policies.get(key).is_some_and(|policy| policy.uid == written.uid));
        self.look = None;
        let mut writes = Vec::new();
        for (key, policy) in &outcome.policies {
            let observed = self.observed(key);
            let written = self.written.entry(key.clone()).or_default();
            written.uid.clone_from(&policy.uid);
            let own = of_replica(&self.parts.name, policy, &seen);
            let listed = observed.replicas.iter().find(|entry| entry.name == own.name);
            let early = settling && settle::loses(&own, listed);
            if !early && is_due(written.replica.as_ref(), &own, listed == Some(&own), now) {
                writes.push(Write::Replica(key.clone(), Arc::clone(policy), own.clone()));
            }
            if !group.leads() {
                (written.leader, written.moving) = (None, settle::Moving::default());
                continue;
            }
            let (replicas, gone) = live(&observed, &own, &group, &mut self.missing, now);
            writes.extend(gone.into_iter().map(|name| Write::Remove(key.clone(), Arc::clone(policy), name)));
            let before = written.leader.as_ref().map_or(&observed, |(status, _)| status);
            let status = of_leader(policy, &replicas, &keys, before, Timestamp::now());
            let same = ApiAuthPolicyStatus { replicas: Vec::new(), ..observed.clone() } == status;
            let held = written.moving.until(policy, &status, &replicas, now);
            self.look = self.look.into_iter().chain(held).min();
            let early = (settling || held.is_some()) && settle::falls(&status, before);
            if !early && is_due(written.leader.as_ref(), &status, same, now) {
                let changed = turned(&status.conditions, &before.conditions);
                writes.push(Write::Leader(key.clone(), Arc::clone(policy), Box::new(status), changed));
            }
        }
        writes
    }

    fn observed(&self, key: &Key) -> ApiAuthPolicyStatus {
        let statuses = self.parts.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        // What others wrote there that we cannot read is written over.
        statuses.get(key).and_then(|status| ApiAuthPolicyStatus::deserialize(&**status).ok()).unwrap_or_default()
    }

    fn remember(&mut self, write: Write, now: Instant) {
        match write {
            Write::Replica(key, _, status) => self.written.entry(key).or_default().replica = Some((status, now)),
            Write::Leader(key, _, status, _) => self.written.entry(key).or_default().leader = Some((*status, now)),
            Write::Remove(..) => {}
        }
    }

    /// Whether it was written.
    async fn perform(&self, write: &Write) -> Result<bool, Error> {
        match write {
            Write::Replica(key, policy, status) => {
                let entry = json!({"replicas": [status]});
                self.apply(key, &policy.uid, &manager(&status.name), entry).await.map(|()| true)
            }
            // Applied under its name without it, the entry goes with its owner.
            Write::Remove(key, policy, name) => {
                self.leader_apply(key, &policy.uid, &manager(name), json!({"replicas": []})).await
            }
            Write::Leader(key, policy, status, changed) => {
                let value = serde_json::to_value(status).map_err(Error::SerdeError)?;
                let written = self.leader_apply(key, &policy.uid, LEADER, value).await?;
                if written {
                    self.tell(key, &policy.uid, changed).await;
                }
                Ok(written)
            }
        }
    }

    /// Until when this replica leads, where it does now.
    fn leads_until(&self) -> Option<Instant> {
        self.parts.group.borrow().leads_until.filter(|until| Instant::now() < *until)
    }

    /// Looked at again just before, for the writes before it may have taken longer than the leadership; and not waited for
    /// beyond it. Whether this replica led.
    async fn leader_apply(&self, key: &Key, uid: &str, manager: &str, status: Value) -> Result<bool, Error> {
        let Some(until) = self.leads_until() else { return Ok(false) };
        let write = timeout_at(until, self.apply(key, uid, manager, status)).await;
        let lost = || Err(Error::Service("the lease ended before the answer came".into()));
        write.unwrap_or_else(|_| lost()).map(|()| true)
    }

    async fn apply(&self, key: &Key, uid: &str, manager: &str, status: Value) -> Result<(), Error> {
        // The answer may hold what our types refuse, where the policy was forced past the admission.
        let resource = ApiResource::erase::<ApiAuthPolicy>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.api.clone(), &key.namespace, &resource);
        let patch = json!({
            "apiVersion": "doorward.dev/v1alpha1",
            "kind": "ApiAuthPolicy",
            // One of another UID is not the object that this is about: the API server then refuses.
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": uid},
            "status": status,
        });
        let parameters = PatchParams::apply(manager).force();
        let patch = Patch::Apply(&patch);
        let write = api.patch_status(&key.name, &parameters, &patch);
        match timeout(API_TIMEOUT, write).await {
            Ok(result) => result.map(|_| ()),
            Err(_) => Err(Error::Service("no answer in time".into())),
        }
    }

    /// Events are for people who look; one that cannot be written is no reason to stop.
    async fn tell(&self, key: &Key, uid: &str, changed: &[Condition]) {
        let reference = ObjectReference {
            api_version: Some("doorward.dev/v1alpha1".to_owned()),
            kind: Some("ApiAuthPolicy".to_owned()),
            name: Some(key.name.clone()),
            namespace: Some(key.namespace.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        for condition in changed {
            let good = settle::is_good(condition);
            let event = Event {
                type_: if good { EventType::Normal } else { EventType::Warning },
                reason: condition.reason.clone(),
                note: Some(super::cut(condition.message.clone(), 1000)),
                action: condition.type_.clone(),
                secondary: None,
            };
            let Some(until) = self.leads_until() else { return };
            let latest = until.min(Instant::now() + API_TIMEOUT);
            let published = timeout_at(latest, self.recorder.publish(&event, &reference)).await;
            if let Ok(Err(error)) = published {
                warn!(error = &error as &dyn std::error::Error, "cannot write an event");
            }
        }
    }
}

/// The field manager of a replica's entry.
fn manager(replica: &str) -> String {
    super::cut(format!("{LEADER}-{replica}"), 128)
}

/// Whether something is to be written: it changed, or was written a while ago and is not to be seen.
fn is_due<T: PartialEq>(written: Option<&(T, Instant)>, wanted: &T, is_seen: bool, now: Instant) -> bool {
    match written {
        Some((status, _)) if status != wanted => true,
        Some((_, at)) => !is_seen && now.duration_since(*at) > STATUS_REPAIR,
        None => !is_seen,
    }
}

/// The entries that count, and the names of those that are to be removed. One of a replica that has just gone counts until
/// its pods had time to find another.
fn live(
    observed: &ApiAuthPolicyStatus,
    own: &ReplicaStatus,
    group: &Group,
    missing: &mut BTreeMap<String, Instant>,
    now: Instant,
) -> (Vec<ReplicaStatus>, Vec<String>) {
    let (mut counted, mut gone) = (vec![own.clone()], Vec::new());
    for entry in observed.replicas.iter().filter(|entry| entry.name != own.name) {
        let there = group.replicas.contains(&entry.name);
        let left = !there && now.duration_since(*missing.entry(entry.name.clone()).or_insert(now)) >= SETTLE;
        if left { gone.push(entry.name.clone()) } else { counted.push(entry.clone()) }
    }
    missing.retain(|name, _| !group.replicas.contains(name));
    (counted, gone)
}

/// The conditions that turned, which people are told of; of a new object only what is not as it should be.
fn turned(now: &[Condition], before: &[Condition]) -> Vec<Condition> {
    let is_turn = |condition: &&Condition| match before.iter().find(|old| old.type_ == condition.type_) {
        Some(old) => old.status != condition.status,
        None => condition.type_ == "Accepted",
    };
    now.iter().filter(is_turn).cloned().collect()
}

#[cfg(test)]
mod tests;
