//! Lifecycle hooks: those that cannot work any more are refused, and a missing one is added.

use policy::wire::{MAX_DRAIN_SECONDS, ProtectedPort};
use serde_json::{Map, Value, json};

use super::Settings;
use super::limits::SLEEP_SECONDS;
use super::pod;
use super::refusal::{Code, Sink};

/// The kubelet's hooks come from outside of the pod: on a protected port they would need a token, and unlike a probe's, a
/// hook's answer may matter to what it asks for.
pub(super) fn refuse(pod: &Value, ports: &[ProtectedPort], sink: &mut Sink) {
    for container in pod::applications(pod) {
        for hook in ["postStart", "preStop"] {
            let Some(get) = container.value.pointer(&format!("/lifecycle/{hook}/httpGet")) else { continue };
            let port = get.get("port").and_then(|port| pod::port_in(container.value, port));
            let elsewhere = !pod::text(get, "host").is_empty();
            if let Some(port) = port.filter(|port| !elsewhere && ports.iter().any(|protected| protected.port == *port))
            {
                sink.refuse(
                    Code::HttpHook,
                    format!("{}/lifecycle/{hook}/httpGet", container.pointer),
                    format!("the kubelet cannot call the protected port `{port}`: it has no token"),
                    "write the hook as `exec`, or let the application serve it on another port",
                );
            }
        }
    }
}

/// How long the application goes on when its pod is told to end, in seconds, as far as its hooks tell: for so long the sidecar
/// takes new connections too.
pub(super) fn sleep(pod: &Value) -> u32 {
    let seconds = |container: &Value| container.pointer("/lifecycle/preStop/sleep/seconds").and_then(Value::as_u64);
    let longest = pod::applications(pod).filter_map(|container| seconds(container.value)).max().unwrap_or(0);
    u32::try_from(longest).unwrap_or(u32::MAX).clamp(SLEEP_SECONDS, MAX_DRAIN_SECONDS)
}

/// Lets application containers that have no `preStop` go on while callers learn that the pod ends. Not longer than the pod has:
/// Kubernetes takes no sleep beyond `terminationGracePeriodSeconds`, and none of 0.
pub(super) fn add_sleep(pod: &mut Value, settings: &Settings) {
    let grace = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
    let seconds = grace.unwrap_or(u64::MAX).min(settings.sleep_seconds.into());
    if seconds == 0 {
        return;
    }
    let mains = pod::list_mut(pod, "containers");
    for container in mains.into_iter().flatten() {
        let Some(lifecycle) = pod::object_of(container, "lifecycle") else { continue };
        let hook = lifecycle.entry("preStop").or_insert(Value::Null);
        if hook.is_null() || hook.as_object().is_some_and(Map::is_empty) {
            *hook = json!({"sleep": {"seconds": seconds}});
        }
    }
}
