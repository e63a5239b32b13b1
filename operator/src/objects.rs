//! What the operator remembers of objects: pruned on receipt, so that ten thousand pods fit into little memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{DynamicObject, Object};
use policy::wire::{ENV_PORTS, ProtectedPort};
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
    /// The ports before which the sidecar stands; none where the pod does not tell.
    pub proxied: Option<Box<[u16]>>,
    /// Whether it counts no longer: it has ended, or is ending behind its sidecar, which holds its rules to the end. One that is
    /// ending without a sidecar still serves whoever reaches it.
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
    init_containers: Vec<InitContainer>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct InitContainer {
    #[serde(flatten)]
    container: Container,
    #[serde(default)]
    env: Vec<Variable>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: Option<String>,
}

impl InitContainer {
    /// The ports of a sidecar, as injection wrote them.
    fn protected_ports(&self) -> Option<Box<[u16]>> {
        let value = self.env.iter().find(|variable| variable.name == ENV_PORTS)?.value.as_ref()?;
        let ports: Vec<ProtectedPort> = serde_json::from_str(value).ok()?;
        Some(ports.into_iter().map(|port| port.port).collect())
    }
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
        let sidecar = spec.init_containers.iter().find(|init| init.container.name == inject::SIDECAR);
        let injected = sidecar.is_some();
        let native = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
        let inits = spec.init_containers.iter().map(|init| &init.container);
        let own = inits.filter(native).filter(|container| container.name != inject::SIDECAR);
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
            proxied: sidecar.and_then(InitContainer::protected_ports),
            ended: injected && metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed")),
            labels: metadata.labels.unwrap_or_default(),
        };
        (key, pod)
    }

    /// The number of a port by its name.
    #[must_use]
    pub fn port_named(&self, name: &str) -> Option<u16> {
        self.ports.iter().find(|port| port.name.as_deref() == Some(name)).map(|port| port.number)
    }

    /// Whether the sidecar, where there is one, stands before a port.
    #[must_use]
    pub fn has_proxy_before(&self, port: u16) -> bool {
        self.proxied.as_ref().is_none_or(|ports| ports.contains(&port))
    }

    fn number(&self, text: &str) -> Option<u16> {
        text.trim().parse().ok().or_else(|| self.port_named(text.trim()))
    }

    /// The one port that a policy without `port` means: the only one before which the sidecar stands, and where there is none
    /// (yet), the only one that the annotation names or, without it, a container declares.
    #[must_use]
    pub fn only_port(&self) -> Option<u16> {
        match (&self.proxied, &self.protected) {
            (Some(ports), _) => one(ports.iter().copied().map(Some)),
            (None, Some(list)) => one(list.split(',').map(|one| self.number(one))),
            (None, None) => one(self.ports.iter().map(|port| Some(port.number))),
        }
    }
}

/// The number that all are; none where they differ, or one is not known.
fn one(mut numbers: impl Iterator<Item = Option<u16>>) -> Option<u16> {
    let first = numbers.next()??;
    numbers.all(|number| number == Some(first)).then_some(first)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sidecar_stands_before_the_ports_that_injection_wrote() {
        let with = |env: &Value| {
            let init = json!([{"name": inject::SIDECAR, "restartPolicy": "Always", "env": env}]);
            let spec = json!({"containers": [], "initContainers": init});
            let pod = json!({"metadata": {"name": "a", "namespace": "shop", "uid": "1"}, "spec": spec});
            Pod::prune(serde_json::from_value(pod).unwrap()).1
        };
        let ports = serde_json::to_string(&[ProtectedPort { port: 80, listen: 15943 }]).unwrap();
        let pod = with(&json!([{"name": "OTHER", "valueFrom": {}}, {"name": ENV_PORTS, "value": ports}]));
        assert!(pod.has_proxy_before(80) && !pod.has_proxy_before(81));
        assert!(with(&json!([])).has_proxy_before(81), "not told");
    }

    fn ended(deletion: Option<&str>, phase: &str, init: &Value) -> bool {
        let pod = json!({
            "metadata": {"name": "a", "namespace": "shop", "uid": "1", "deletionTimestamp": deletion},
            "spec": {"containers": [{"name": "app"}], "initContainers": init},
            "status": {"phase": phase},
        });
        Pod::prune(serde_json::from_value(pod).unwrap()).1.ended
    }

    /// What still serves without rules must not be forgotten while it does.
    #[test]
    fn a_pod_that_is_ending_counts_where_it_has_no_sidecar() {
        let (none, sidecar) = (json!([]), json!([{"name": inject::SIDECAR, "restartPolicy": "Always"}]));
        let deletion = Some("2026-01-01T00:00:00Z");
        assert!(!ended(None, "Running", &none) && !ended(None, "Running", &sidecar));
        assert!(ended(deletion, "Running", &sidecar), "it holds its rules to the end");
        assert!(!ended(deletion, "Running", &none));
        for phase in ["Succeeded", "Failed"] {
            assert!(ended(None, phase, &none) && ended(deletion, phase, &none) && ended(None, phase, &sidecar));
        }
    }
}
