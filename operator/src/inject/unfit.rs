//! Pods that cannot be protected, and what their authors should know of those that can.

use serde_json::Value;

use super::annotations::{self, Asked, PREFIX};
use super::hooks;
use super::limits::{DEFAULT_GRACE_SECONDS, FINISH_SECONDS};
use super::refusal::{Code, Sink};
use super::{Capture, NamespaceFacts, Settings};

/// The label by which a namespace enforces a Pod Security Standard.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// Refuses what cannot be protected.
pub(super) fn refuse(pod: &Value, asked: &Asked, sink: &mut Sink) {
    let on_host = pod.pointer("/spec/hostNetwork").and_then(Value::as_bool) == Some(true);
    if asked.sidecar.is_some() && on_host {
        let message = "the pod has the network of its node, where its traffic cannot be told from that of others";
        let cure = format!("take `hostNetwork` out, or leave this pod out with `{PREFIX}inject: \"false\"`");
        sink.refuse(Code::HostNetwork, "/spec/hostNetwork", message.to_owned(), cure);
    }
    let is = |pointer: &str, value: &str| pod.pointer(pointer).and_then(Value::as_str) == Some(value);
    // The kubelet takes the node's servers for a pod on the node's network that does not say otherwise.
    let asks_the_node = is("/spec/dnsPolicy", "Default")
        || on_host && !is("/spec/dnsPolicy", "ClusterFirstWithHostNet") && !is("/spec/dnsPolicy", "None");
    // Of two reasons that one line would mend, the first is told.
    let is_told = on_host && asked.sidecar.is_some();
    if asks_the_node && !is_told {
        let message =
            "the pod asks the node's DNS servers, which do not know the operator's Service: it would not start";
        let cure = "write `dnsPolicy: ClusterFirst`, or `ClusterFirstWithHostNet` beside `hostNetwork: true`";
        sink.refuse(Code::DnsPolicy, "/spec/dnsPolicy", message.to_owned(), cure);
    }
    let systems =
        ["/spec/os/name", "/spec/nodeSelector/kubernetes.io~1os", "/spec/nodeSelector/beta.kubernetes.io~1os"];
    for pointer in systems {
        if pod.pointer(pointer).and_then(Value::as_str).is_some_and(|name| name.eq_ignore_ascii_case("windows")) {
            let message = "the pod runs on Windows, and the sidecar does not".to_owned();
            let cure = format!("let it run on Linux, or take its `{PREFIX}` annotations out");
            sink.refuse(Code::Windows, pointer, message, cure);
        }
    }
}

/// Says what the author should know.
pub(super) fn warn(pod: &Value, asked: &Asked, namespace: &NamespaceFacts, settings: &Settings, sink: &mut Sink) {
    for pointer in ["/spec/shareProcessNamespace", "/spec/hostPID"] {
        if pod.pointer(pointer).and_then(Value::as_bool) == Some(true) {
            let advice = format!(
                "every container of this pod sees the sidecar's processes, and root and user `{}` can look into them",
                settings.user
            );
            sink.warn(pointer, &advice);
        }
    }
    let Some(options) = &asked.sidecar else { return };
    let level = namespace.labels.get(ENFORCE).map_or("", String::as_str);
    if options.capture == Capture::Redirect && ["baseline", "restricted"].contains(&level) {
        let advice = format!(
            "the namespace enforces Pod Security `{level}`, which lets no pod redirect traffic (NET_ADMIN); \
             write `{PREFIX}capture: bind` and let the application listen on 127.0.0.1"
        );
        sink.warn(&annotations::pointer("capture"), &advice);
    }
    let grace = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
    let needed = u64::from(hooks::sleep(pod).max(settings.sleep_seconds)).saturating_add(FINISH_SECONDS.into());
    if options.drain && grace.unwrap_or(DEFAULT_GRACE_SECONDS) < needed {
        let advice = format!("requests in flight are cut off: a drain without loss needs `{needed}` seconds or more");
        sink.warn("/spec/terminationGracePeriodSeconds", &advice);
    }
}
