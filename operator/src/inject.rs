//! Injection: what stands in a pod that asked for protection. Pure: the webhook and `doorward inject` call the same.
//!
//! The pod is JSON, looked at through small lenses, and only what is ours is written: fields that no type of ours knows
//! survive. A pod that was injected before comes out as it is, so other webhooks may run in between.

mod agent;
mod annotations;
mod capture;
mod containers;
mod hooks;
pub mod limits;
mod names;
mod pod;
mod ports;
mod previous;
mod probes;
mod quantity;
mod refusal;
pub mod resources;
mod settings;
mod sidecar;
mod unfit;
mod volumes;

use std::collections::BTreeMap;

use serde_json::Value;

pub use annotations::{INJECTION_LABEL, PREFIX, SYSTEM_NAMESPACE};
pub use capture::Capture;
pub use names::SIDECAR;
pub use refusal::{Code, Refusal};
pub use resources::Resources;
pub use settings::{SIDECAR_USER, Settings};

use annotations::Asked;
use previous::Previous;
use refusal::Sink;

/// What is known of the namespace that a pod is made in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// The name.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
}

/// The annotation that lists the protected ports of a pod.
#[must_use]
pub fn ports_annotation() -> String {
    format!("{PREFIX}{}", annotations::PORTS)
}

/// A pod that can start.
#[derive(Clone, Debug, PartialEq)]
pub struct Injected {
    /// The pod; as it was where nothing was asked for.
    pub pod: Value,
    /// What its author should know, each with the field that it is about.
    pub warnings: Vec<String>,
}

/// Injects what a pod, or the template of one, asks for.
///
/// # Errors
/// Everything for which it is refused, in one run.
pub fn inject(pod: &Value, namespace: &NamespaceFacts, settings: &Settings) -> Result<Injected, Vec<Refusal>> {
    let mut sink = Sink::default();
    let asked = annotations::read(pod, namespace, &mut sink);
    sink.check()?;
    if !asked.is_anything() {
        return Ok(Injected { pod: pod.clone(), warnings: Vec::new() });
    }
    pod::check(pod, &mut sink);
    sink.check()?;
    let previous = Previous::read(pod, &asked, &mut sink);
    unfit::refuse(pod, &asked, &mut sink);
    volumes::refuse_mounts(pod, &asked, &mut sink);
    unfit::warn(pod, &asked, namespace, settings, &mut sink);
    let mut changed = pod.clone();
    change(&mut changed, &asked, &previous, settings, &mut sink);
    Ok(Injected { pod: changed, warnings: sink.into_result()? })
}

/// The operations (RFC 6902) that lead from a pod to what was made of it; none where nothing was asked for.
pub fn patch(before: &Value, after: &Value) -> json_patch::Patch {
    json_patch::diff(before, after)
}

fn change(pod: &mut Value, asked: &Asked, previous: &Previous, settings: &Settings, sink: &mut Sink) {
    let mut ours = Vec::new();
    let mut volumes = Vec::new();
    if let Some(options) = &asked.sidecar {
        let ports = ports::protected(pod, options, previous, sink);
        hooks::refuse(pod, &ports, sink);
        let probes = probes::rewrite(pod, &ports, previous, sink);
        if options.drain {
            hooks::add_sleep(pod, settings);
        }
        if options.capture == Capture::Redirect {
            ours.push(capture::container(&ports, settings));
        }
        ours.push(sidecar::container(
            &sidecar::Parts { options, ports: &ports, probes: &probes, drain_seconds: hooks::sleep(pod), asked },
            settings,
        ));
        volumes.extend(volumes::of_sidecar(options));
    }
    if asked.agent {
        ours.push(agent::container(asked, settings));
        volumes.extend(volumes::of_agent().into_iter().filter(|volume| !volumes.contains(volume)).collect::<Vec<_>>());
        agent::mount(pod, sink);
    }
    containers::put_first(pod, ours, asked);
    volumes::put(pod, volumes, previous, sink);
}

#[cfg(test)]
mod tests;
