//! Watches of the API server, each with its own back-off: what cannot be listed stays as it was seen last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::pin::pin;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::{info, warn};

use crate::limits::{CONFIG_MAPS, CONFIG_MAPS_PER_NAMESPACE, WATCH_BACKOFF_LEAST, WATCH_BACKOFF_MOST, WATCH_TIMEOUT};
use crate::objects::{Key, Pod, Policy, ReceivedPod, ReceivedService, Service};
use crate::world::{ConfigMapData, World};

use newest::Newest;

mod newest;

/// Something was seen.
#[derive(Debug)]
pub enum Change {
    /// Of policies.
    Policies(Event<(Key, Policy)>),
    /// Of pods.
    Pods(Event<(Key, Pod)>),
    /// Of Services.
    Services(Event<(Key, Service)>),
    /// Of one ConfigMap.
    ConfigMap(Key, ConfigMapData),
    /// One ConfigMap cannot be watched, and why.
    Unreadable(Key, String),
}

impl Change {
    /// Adds it to what was seen before; true where that changes anything.
    pub fn apply(self, world: &mut World) -> bool {
        match self {
            Self::Policies(event) => world.policies.apply(event),
            Self::Pods(event) => world.pods.apply(event),
            Self::Services(event) => world.services.apply(event),
            Self::ConfigMap(key, data) => {
                world.unreadable.remove(&key);
                let changed = world.config_maps.get(&key) != Some(&data);
                world.config_maps.insert(key, data);
                changed
            }
            // What was seen of it stays.
            Self::Unreadable(key, _) if world.config_maps.contains_key(&key) => false,
            Self::Unreadable(key, why) => world.unreadable.insert(key, why).is_none(),
        }
    }
}

/// Watches policies, pods and Services for as long as somebody listens.
pub fn start(client: &Client, changes: &mpsc::Sender<Change>) {
    let policies = Api::all_with(client.clone(), &ApiResource::erase::<crds::ApiAuthPolicy>(&()));
    spawn(policies, changes, "policies", |object: DynamicObject| Policy::prune(object), Change::Policies);
    let pods = Api::all_with(client.clone(), &ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&()));
    spawn(pods, changes, "pods", |object: ReceivedPod| Pod::prune(object), Change::Pods);
    let services = Api::all_with(client.clone(), &ApiResource::erase::<k8s_openapi::api::core::v1::Service>(&()));
    spawn(services, changes, "services", |object: ReceivedService| Service::prune(object), Change::Services);
}

fn spawn<K, T>(
    api: Api<K>,
    changes: &mpsc::Sender<Change>,
    what: &'static str,
    prune: impl Fn(K) -> (Key, T) + Send + 'static,
    change: impl Fn(Event<(Key, T)>) -> Change + Send + 'static,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    T: Send + 'static,
{
    let changes = changes.clone();
    tokio::spawn(async move {
        let config = Config::default().timeout(WATCH_TIMEOUT);
        let mut events = pin!(watcher(api, config).backoff(backoff()));
        let (mut failing, mut newest) = (false, Newest::default());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) if !newest.is_news(&event) => {}
                Ok(event) => {
                    if failing {
                        info!(what, "watching again");
                    }
                    failing = false;
                    let event = map(event, &prune);
                    if changes.send(change(event)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    if !failing {
                        warn!(what, error = &error as &dyn std::error::Error, "cannot watch; what was seen stays");
                    }
                    failing = true;
                }
            }
        }
    });
}

fn map<K, T>(event: Event<K>, prune: &impl Fn(K) -> T) -> Event<T> {
    match event {
        Event::Apply(object) => Event::Apply(prune(object)),
        Event::Delete(object) => Event::Delete(prune(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(prune(object)),
        Event::InitDone => Event::InitDone,
    }
}

/// Quick at first: a watch that was cut is back within a second, and an API server that is away is not run into.
fn backoff() -> impl kube::runtime::utils::Backoff {
    kube::runtime::watcher::ExponentialBackoff::from(
        backon::ExponentialBuilder::default()
            .with_min_delay(WATCH_BACKOFF_LEAST)
            .with_max_delay(WATCH_BACKOFF_MOST)
            .with_factor(2.0)
            .without_max_times()
            .with_jitter(),
    )
}

/// The ConfigMaps that policies refer to, each watched by its name.
pub struct ConfigMapWatches {
    client: Client,
    changes: mpsc::Sender<Change>,
    running: BTreeMap<Key, AbortHandle>,
}

impl ConfigMapWatches {
    /// Watches none yet.
    #[must_use]
    pub fn new(client: Client, changes: mpsc::Sender<Change>) -> Self {
        Self { client, changes, running: BTreeMap::new() }
    }

    /// Watches exactly these from now on; what was seen of others is forgotten.
    pub fn want(&mut self, wanted: &BTreeSet<Key>, world: &mut World) {
        self.running.retain(|key, task| {
            let keep = wanted.contains(key);
            if !keep {
                task.abort();
                world.config_maps.remove(key);
            }
            keep
        });
        // One that was aborted may still have had its last word on the way.
        world.config_maps.retain(|key, _| wanted.contains(key));
        world.unreadable.retain(|key, _| wanted.contains(key));
        for key in wanted {
            if self.running.contains_key(key) {
                continue;
            }
            let neighbours = self.running.keys().filter(|other| other.namespace == key.namespace).count();
            if neighbours >= CONFIG_MAPS_PER_NAMESPACE {
                let why = format!("policies of a namespace may name {CONFIG_MAPS_PER_NAMESPACE} ConfigMaps together");
                world.unreadable.insert(key.clone(), why);
            } else if self.running.len() >= CONFIG_MAPS {
                let why =
                    format!("policies of the cluster name more than {CONFIG_MAPS} ConfigMaps, and no more are watched");
                world.unreadable.insert(key.clone(), why);
            } else {
                let task = tokio::spawn(watch_config_map(self.client.clone(), key.clone(), self.changes.clone()));
                self.running.insert(key.clone(), task.abort_handle());
            }
        }
    }
}

async fn watch_config_map(client: Client, key: Key, changes: mpsc::Sender<Change>) {
    let api: Api<ConfigMap> = Api::namespaced(client, &key.namespace);
    let config = Config::default().timeout(WATCH_TIMEOUT).fields(&format!("metadata.name={}", key.name));
    let mut events = pin!(watcher(api, config).backoff(backoff()));
    // Of a list that brings nothing: it is not there.
    let (mut listed, mut newest, mut failing) = (None, Newest::default(), false);
    while let Some(event) = events.next().await {
        let data = match event {
            Ok(event) if !newest.is_news(&event) => continue,
            Ok(Event::Init) => {
                listed = None;
                continue;
            }
            Ok(Event::InitApply(object)) => {
                listed = Some(object.data.unwrap_or_default());
                continue;
            }
            Ok(Event::InitDone) => listed.take(),
            Ok(Event::Apply(object)) => Some(object.data.unwrap_or_default()),
            Ok(Event::Delete(_)) => None,
            Err(_) if failing => continue,
            Err(error) => {
                failing = true;
                warn!(config_map = %key, error = &error as &dyn std::error::Error, "cannot watch; what was seen stays");
                if changes.send(Change::Unreadable(key.clone(), error.to_string())).await.is_err() {
                    return;
                }
                continue;
            }
        };
        failing = false;
        if changes.send(Change::ConfigMap(key.clone(), data)).await.is_err() {
            return;
        }
    }
}
