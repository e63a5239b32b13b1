//! What the operator remembers of objects: pruned on receipt, so that ten thousand pods fit into little memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{DynamicObject, Object};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hub::PodId;
use crate::inject;

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// Of an object's metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A policy as the API server has it. Its JSON is compiled, not our types: one that they refuse touches no other.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its UID: one that was deleted and made anew is another.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// When it was made; of two policies on one port the older rules.
    pub created: Option<Time>,
    /// The object without its status and managed fields.
    pub object: Value,
    /// Its status as it was written last; shared with whoever writes the next.
    pub status: Arc<Value>,
}

/// A status decides nothing: two that differ in nothing else are the same.
impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        (&self.uid, self.generation, &self.created, &self.object)
            == (&other.uid, other.generation, &other.created, &other.object)
    }
}

impl Policy {
    /// Takes what is needed of an object.
    #[must_use]
    pub fn prune(object: DynamicObject) -> (Key, Self) {
        let DynamicObject { metadata, data, .. } = object;
        let key = Key::of(&metadata);
        let mut value = data;
        let status = value.as_object_mut().and_then(|fields| fields.remove("status")).unwrap_or_default();
        let kept = ObjectMeta { managed_fields: None, annotations: None, resource_version: None, ..metadata };
        if let Some(fields) = value.as_object_mut() {
            fields.insert("apiVersion".to_owned(), "doorward.dev/v1alpha1".into());
            fields.insert("kind".to_owned(), "ApiAuthPolicy".into());
            fields.insert("metadata".to_owned(), serde_json::to_value(&kept).unwrap_or_default());
        }
        let (uid, generation) = (kept.uid.unwrap_or_default(), kept.generation.unwrap_or(0));
        (key, Self { uid, generation, created: kept.creation_timestamp, object: value, status: Arc::new(status) })
    }
}

/// A port that a container of a pod declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredPort {
    /// Its name, where it has one.
    pub name: Option<Box<str>>,
    /// Its number.
    pub number: u16,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Who it is.
    pub id: PodId,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its service account.
    pub service_account: Box<str>,
    /// The TCP ports that the application's containers declare.
    pub ports: Vec<DeclaredPort>,
    /// The annotation that lists its protected ports, where it has one.
    pub protected: Option<Box<str>>,
    /// Whether the sidecar is part of it.
    pub injected: bool,
    /// Whether it has ended, or is ending: it counts no longer.
    pub ended: bool,
}

/// Of a pod's `spec`, what is read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    #[serde(default)]
    service_account_name: Option<String>,
    #[serde(default)]
    containers: Vec<Container>,
    #[serde(default)]
    init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default)]
    name: String,
    #[serde(default)]
    ports: Vec<ContainerPort>,
    #[serde(default)]
    restart_policy: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPort {
    #[serde(default)]
    name: Option<Box<str>>,
    container_port: u16,
    #[serde(default)]
    protocol: Option<String>,
}

/// Of a pod's `status`, what is read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct PodStatus {
    #[serde(default)]
    phase: Option<String>,
}

/// A pod as it is received.
pub type ReceivedPod = Object<PodSpec, PodStatus>;

impl Pod {
    /// Takes what is needed of an object.
    #[must_use]
    pub fn prune(object: ReceivedPod) -> (Key, Self) {
        let Object { metadata, spec, status, .. } = object;
        let key = Key::of(&metadata);
        let injected = spec.init_containers.iter().any(|container| container.name == inject::SIDECAR);
        let native = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
        let own = spec.init_containers.iter().filter(native).filter(|container| container.name != inject::SIDECAR);
        let ports = spec.containers.iter().chain(own).flat_map(|container| &container.ports);
        let tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
        let phase = status.as_ref().and_then(|status| status.phase.as_deref());
        let pod = Self {
            id: PodId {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                uid: metadata.uid.clone().unwrap_or_default(),
            },
            service_account: spec.service_account_name.as_deref().unwrap_or("default").into(),
            ports: tcp.map(|port| DeclaredPort { name: port.name.clone(), number: port.container_port }).collect(),
            protected: metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(&inject::ports_annotation()))
                .map(|text| text.as_str().into()),
            injected,
            ended: metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed")),
            labels: metadata.labels.unwrap_or_default(),
        };
        (key, pod)
    }

    /// The number of a port by its name.
    #[must_use]
    pub fn port_named(&self, name: &str) -> Option<u16> {
        self.ports.iter().find(|port| port.name.as_deref() == Some(name)).map(|port| port.number)
    }

    fn number(&self, text: &str) -> Option<u16> {
        text.trim().parse().ok().or_else(|| self.port_named(text.trim()))
    }

    /// The one port that a policy without `port` means: the only one that is protected, else the only one declared.
    #[must_use]
    pub fn only_port(&self) -> Option<u16> {
        match &self.protected {
            Some(list) if list.contains(',') => None,
            Some(one) => self.number(one),
            None => match &self.ports[..] {
                [one] => Some(one.number),
                _ => None,
            },
        }
    }
}

/// Of a Service's `spec`, what is read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ServiceSpec {
    #[serde(default)]
    selector: Option<BTreeMap<String, String>>,
}

/// A Service as it is received.
pub type ReceivedService = Object<ServiceSpec, kube::core::NotUsed>;

/// A Service: the labels that it selects; none where it selects no pods by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The labels that a pod must have.
    pub selector: BTreeMap<String, String>,
}

impl Service {
    /// Takes what is needed of an object.
    #[must_use]
    pub fn prune(object: ReceivedService) -> (Key, Self) {
        (Key::of(&object.metadata), Self { selector: object.spec.selector.unwrap_or_default() })
    }

    /// Whether it selects a pod with these labels.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.selector.is_empty() && self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}
