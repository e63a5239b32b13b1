//! A pod as the API server has it: what of it is protected.

use std::collections::BTreeSet;

use crds::{ApiAuthPolicyStatus, IntOrString};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt;
use operator::inject::SIDECAR;
use policy::wire::{ENV_PORTS, ProtectedPort};
use serde::Serialize;

use super::sidecar::Told;

/// What is known of one pod.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodReport {
    pub(super) name: String,
    /// How it stands, as the operator counts it.
    pub(super) state: State,
    /// The port that the policy protects on it, where it can be told.
    pub(super) port: Option<u16>,
    /// TCP ports that the pod declares and that no sidecar stands before.
    pub(super) unprotected_ports: Vec<u16>,
    /// What its sidecar says of itself; none where it was not asked, or does not answer.
    pub(super) sidecar: Option<Told>,
    /// Why its sidecar was not heard, where it should have been.
    pub(super) unheard: Option<String>,
}

/// How a pod stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// It has ended.
    Ended,
    /// There is no sidecar in it.
    NotInjected,
    /// Traffic goes round its sidecar.
    NotCaptured,
    /// It runs another generation.
    Outdated,
    /// Neither the operator nor the pod has told.
    Unknown,
    /// It runs this generation.
    Enforced,
}

impl PodReport {
    pub(super) fn of(pod: &Pod, port: Option<&IntOrString>, status: &ApiAuthPolicyStatus) -> Self {
        let name = pod.name_any();
        let protected = protected(pod);
        let declared = declared(pod);
        let port = match port {
            Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
            Some(IntOrString::String(wanted)) => {
                declared.iter().find(|(name, _)| name.as_deref() == Some(wanted.as_str())).map(|(_, number)| *number)
            }
            None => only(protected.as_ref().map_or(&[], Vec::as_slice)).or_else(|| {
                let numbers: Vec<u16> = declared.iter().map(|(_, number)| *number).collect();
                only(&numbers)
            }),
        };
        let covered: BTreeSet<u16> = protected.iter().flatten().copied().collect();
        let unprotected_ports = declared.iter().map(|(_, number)| *number).filter(|number| !covered.contains(number));
        Self {
            state: state(pod, &name, protected.is_some(), status),
            unprotected_ports: unprotected_ports.collect(),
            name,
            port,
            sidecar: None,
            unheard: None,
        }
    }
}

/// As far as the operator's lists reach: they hold the first names only.
fn state(pod: &Pod, name: &str, injected: bool, status: &ApiAuthPolicyStatus) -> State {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let listed = |names: &dyn Fn(&crds::ReplicaStatus) -> &Vec<String>| {
        status.replicas.iter().any(|replica| names(replica).iter().any(|one| one == name))
    };
    let all = status.pods.is_some_and(|pods| pods.selected == pods.enforced);
    if matches!(phase, Some("Succeeded" | "Failed")) {
        State::Ended
    } else if !injected {
        State::NotInjected
    } else if listed(&|replica| &replica.outdated) {
        State::Outdated
    } else if listed(&|replica| &replica.not_captured) {
        State::NotCaptured
    } else if all {
        State::Enforced
    } else {
        State::Unknown
    }
}

fn only(ports: &[u16]) -> Option<u16> {
    match ports {
        [one] => Some(*one),
        _ => None,
    }
}

/// The ports that its sidecar stands before; none where it has no sidecar.
fn protected(pod: &Pod) -> Option<Vec<u16>> {
    let containers = pod.spec.as_ref()?.init_containers.as_ref()?;
    let sidecar = containers.iter().find(|container| container.name == SIDECAR)?;
    let written = sidecar.env.iter().flatten().find(|variable| variable.name == ENV_PORTS);
    let ports =
        written.and_then(|variable| serde_json::from_str::<Vec<ProtectedPort>>(variable.value.as_deref()?).ok());
    Some(ports.unwrap_or_default().iter().map(|port| port.port).collect())
}

/// Names and numbers of the TCP ports that the application declares.
fn declared(pod: &Pod) -> Vec<(Option<String>, u16)> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let native = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(native);
    let own = sidecars.filter(|container| container.name != SIDECAR);
    let ports = spec.containers.iter().chain(own).flat_map(|container| container.ports.iter().flatten());
    let tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    tcp.filter_map(|port| Some((port.name.clone(), u16::try_from(port.container_port).ok()?))).collect()
}
