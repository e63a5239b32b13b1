//! All that was seen of the cluster, as one value.

use std::collections::BTreeMap;

use crate::cache::Cache;
use crate::objects::{Key, Pod, Policy, Service};

/// The data of a ConfigMap; none where it is not there.
pub type ConfigMapData = Option<BTreeMap<String, String>>;

/// All that was seen of the cluster.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The policies.
    pub policies: Cache<Policy>,
    /// The pods.
    pub pods: Cache<Pod>,
    /// The Services.
    pub services: Cache<Service>,
    /// The ConfigMaps that policies refer to; one that is not listed was not looked at yet.
    pub config_maps: BTreeMap<Key, ConfigMapData>,
    /// Why a ConfigMap that is not listed there cannot be looked at.
    pub unreadable: BTreeMap<Key, String>,
}

impl World {
    /// Whether every kind was listed once: before, what is not there may only not have come yet.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.policies.is_complete() && self.pods.is_complete() && self.services.is_complete()
    }
}
