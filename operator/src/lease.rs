//! Who leads, and which replicas there are: one Lease for the leader and one for each replica, in the operator's namespace.
//!
//! Clocks of machines differ: a Lease counts as left when its record did not change for its duration on our own clock.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use crate::limits::{LEASE_DURATION, LEASE_RENEW, LEASE_WRITES};

/// The Lease of the leader.
pub const LEADER: &str = "doorward-operator";
/// The label of the Leases of replicas.
pub const REPLICA_LABEL: &str = "doorward.dev/replica";

/// What is known of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Until when this replica may write what only the leader writes; none where it does not lead.
    pub leads_until: Option<Instant>,
    /// The names of the replicas that are there, this one included.
    pub replicas: Vec<String>,
}

impl Group {
    /// Whether this replica leads now.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leads_until.is_some_and(|until| Instant::now() < until)
    }
}

/// When a record was last seen to change.
#[derive(Debug)]
struct Observed {
    record: (Option<String>, Option<MicroTime>),
    at: Instant,
}

/// Keeps both Leases until it is dropped or told to let go.
pub struct Keeper {
    api: Api<Lease>,
    name: String,
    group: watch::Sender<Group>,
    leader: Option<Observed>,
    replicas: BTreeMap<String, Observed>,
}

impl Keeper {
    /// For the replica of a name, in a namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name,
            group: watch::Sender::new(Group::default()),
            leader: None,
            replicas: BTreeMap::new(),
        }
    }

    /// What is known of the group, now and after every change.
    #[must_use]
    pub fn group(&self) -> watch::Receiver<Group> {
        self.group.subscribe()
    }

    /// Keeps the Leases until `stop` is true, then lets go of both, so that another replica leads at once.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(LEASE_RENEW);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.tick().await,
                () = stopped(&mut stop) => break,
            }
        }
        self.let_go().await;
    }

    async fn tick(&mut self) {
        let begun = Instant::now();
        let led = self.group.borrow().leads();
        let leads = match timeout(LEASE_RENEW, self.lead()).await {
            Ok(Ok(leads)) => Some(leads),
            Ok(Err(error)) => {
                warn!(error = &error as &dyn std::error::Error, "cannot renew the lease");
                None
            }
            Err(_) => None,
        };
        // The leader's own Lease comes first; the next round is not to begin late for the others.
        let replicas = timeout_at(begun + LEASE_RENEW, self.replicas()).await;
        self.group.send_if_modified(|group| {
            let before = group.clone();
            match leads {
                Some(true) => group.leads_until = Some(begun + LEASE_WRITES),
                Some(false) => group.leads_until = None,
                // Not known: what was promised until then holds until then.
                None => {}
            }
            if let Ok(Ok(replicas)) = replicas {
                group.replicas = replicas;
            }
            before.leads_until.is_some() != group.leads_until.is_some() || before.replicas != group.replicas
        });
        // The time moves on without waking anybody.
        if led != self.group.borrow().leads() {
            info!(leads = !led, "leadership");
        }
    }

    /// Takes or renews the leader's Lease; whether it is ours.
    async fn lead(&mut self) -> Result<bool, Error> {
        let Some(lease) = self.api.get_opt(LEADER).await? else {
            let made = self.api.create(&PostParams::default(), &self.record(LEADER, None)).await;
            return taken(made);
        };
        // After the answer: a record that was read late is not older for it.
        let now = Instant::now();
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
        let record = (holder.clone(), spec.renew_time.clone());
        if self.leader.as_ref().is_none_or(|observed| observed.record != record) {
            self.leader = Some(Observed { record, at: now });
        }
        let left = self.leader.as_ref().is_some_and(|observed| now.duration_since(observed.at) > LEASE_DURATION);
        if holder.as_deref().is_some_and(|holder| holder != self.name) && !left {
            return Ok(false);
        }
        let mut renewed = self.record(LEADER, Some(&lease));
        renewed.metadata.resource_version = lease.metadata.resource_version;
        taken(self.api.replace(LEADER, &PostParams::default(), &renewed).await)
    }

    fn record(&self, name: &str, before: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let spec = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let stays = spec.holder_identity.as_deref() == Some(&self.name);
        let seconds = i32::try_from(LEASE_DURATION.as_secs()).unwrap_or(i32::MAX);
        Lease {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.name.clone()),
                lease_duration_seconds: Some(seconds),
                acquire_time: if stays { spec.acquire_time } else { Some(now.clone()) },
                lease_transitions: Some(spec.lease_transitions.unwrap_or(0) + i32::from(!stays)),
                renew_time: Some(now),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Renews this replica's own Lease, and tells which others are there.
    async fn replicas(&mut self) -> Result<Vec<String>, Error> {
        let own = format!("{LEADER}-{}", self.name);
        match self.api.get_opt(&own).await? {
            Some(lease) => {
                let mut renewed = self.record(&own, Some(&lease));
                renewed.metadata = lease.metadata;
                renewed.metadata.managed_fields = None;
                self.api.replace(&own, &PostParams::default(), &renewed).await?;
            }
            None => {
                let mut made = self.record(&own, None);
                made.metadata.labels = Some([(REPLICA_LABEL.to_owned(), "true".to_owned())].into());
                self.api.create(&PostParams::default(), &made).await?;
            }
        }
        let leases = self.api.list(&ListParams::default().labels(REPLICA_LABEL)).await?;
        let now = Instant::now();
        let mut seen = BTreeMap::new();
        for lease in leases {
            let spec = lease.spec.unwrap_or_default();
            let Some(name) = spec.holder_identity.clone().filter(|name| !name.is_empty()) else { continue };
            let record = (spec.holder_identity, spec.renew_time);
            let known = self.replicas.remove(&name).filter(|known| known.record == record);
            seen.insert(name, known.unwrap_or(Observed { record, at: now }));
        }
        self.replicas = seen;
        let gone: Vec<String> = self
            .replicas
            .iter()
            .filter(|(name, observed)| **name != self.name && now.duration_since(observed.at) > LEASE_DURATION)
            .map(|(name, _)| name.clone())
            .collect();
        if self.group.borrow().leads() {
            for name in &gone {
                delete(&self.api, &format!("{LEADER}-{name}")).await?;
            }
        }
        Ok(self.replicas.keys().filter(|name| !gone.contains(name)).cloned().collect())
    }

    /// Best effort: without it the others wait until the Leases are left.
    async fn let_go(&mut self) {
        let release = async {
            delete(&self.api, &format!("{LEADER}-{}", self.name)).await?;
            let Some(mut lease) = self.api.get_opt(LEADER).await? else { return Ok(()) };
            if let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.name)) {
                spec.holder_identity = Some(String::new());
                lease.metadata.managed_fields = None;
                self.api.replace(LEADER, &PostParams::default(), &lease).await?;
            }
            Ok::<(), Error>(())
        };
        self.group.send_modify(|group| group.leads_until = None);
        if !matches!(timeout(Duration::from_secs(2), release).await, Ok(Ok(()))) {
            warn!("the leases could not be let go; they end by themselves");
        }
    }
}

/// Waits until it is true, or nobody is left who could say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whether a write took the Lease; another was faster where the object had changed or was made meanwhile.
fn taken(result: Result<Lease, Error>) -> Result<bool, Error> {
    match result {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

async fn delete(api: &Api<Lease>, name: &str) -> Result<(), Error> {
    match api.delete(name, &DeleteParams::default()).await {
        Err(Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(|_| ()),
    }
}
