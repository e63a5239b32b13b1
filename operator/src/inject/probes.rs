//! Probes of protected ports: the kubelet has no token and no certificate, so it asks the sidecar, which asks the
//! application from inside the pod.

use policy::wire::{ADMIN_PORT, MAX_PROBES, PROBE_PATH, Probe, ProbeAction, ProtectedPort};
use serde_json::{Map, Value, json};

use super::limits::{DEFAULT_PROBE_SECONDS, PROBE_MARGIN_SECONDS};
use super::pod;
use super::previous::Previous;
use super::refusal::{Code, Sink};

const KINDS: [&str; 3] = ["startupProbe", "readinessProbe", "livenessProbe"];
const HTTP: &str = "httpGet";
const TCP: &str = "tcpSocket";
const GRPC: &str = "grpc";

/// Rewrites the probes of protected ports; what the sidecar is to run comes back, in the order of the indices.
pub(super) fn rewrite(pod: &mut Value, ports: &[ProtectedPort], previous: &Previous, sink: &mut Sink) -> Vec<Probe> {
    let mut probes = previous.probes.clone();
    for (pointer, container) in pod::applications_mut(pod) {
        for kind in KINDS {
            let Some(target) = target(container, kind) else { continue };
            let pointer = format!("{pointer}/{kind}");
            match target.to(ports, previous) {
                To::Elsewhere => {}
                To::AnotherHost => {
                    let advice = "with a `host` it is asked from the node and needs a token there; leave `host` out";
                    sink.warn(&pointer, advice);
                }
                To::Reserved => {
                    let message = format!("port `{ADMIN_PORT}` is the sidecar's");
                    sink.refuse(Code::ReservedPort, pointer, message, "let the probe ask a port of the application");
                }
                To::Protected => {
                    if let Some(fault) = replace(container, kind, target, &mut probes) {
                        sink.refuse(
                            Code::BadProbe,
                            pointer,
                            fault.to_owned(),
                            "or let it ask a port that is not protected",
                        );
                    }
                }
            }
        }
    }
    if probes.len() > MAX_PROBES {
        let message = format!("{} probes are more than a sidecar runs", probes.len());
        sink.refuse(Code::TooManyProbes, "/spec/containers", message, format!("leave at most {MAX_PROBES}"));
    }
    probes
}

/// What a probe asks, and where.
struct Target {
    action: ProbeAction,
    port: u16,
    /// Whether it names a host: then it does not ask this pod.
    has_host: bool,
}

enum To {
    Elsewhere,
    AnotherHost,
    Reserved,
    Protected,
}

impl Target {
    fn to(&self, ports: &[ProtectedPort], previous: &Previous) -> To {
        let is_protected = ports.iter().any(|protected| protected.port == self.port);
        match (is_protected, self.has_host) {
            (true, true) => To::AnotherHost,
            (true, false) => To::Protected,
            (false, false) if self.port == ADMIN_PORT && !self.is_rewritten(previous) => To::Reserved,
            (false, _) => To::Elsewhere,
        }
    }

    fn is_rewritten(&self, previous: &Previous) -> bool {
        let ProbeAction::Http { path, .. } = &self.action else { return false };
        let index: Option<usize> = path.strip_prefix(PROBE_PATH).and_then(|index| index.parse().ok());
        index.is_some_and(|index| index < previous.probes.len())
    }
}

/// What a container's probe asks; none where there is no probe, or one that runs a command.
fn target(container: &Value, kind: &str) -> Option<Target> {
    let probe = container.get(kind)?;
    let of = |name: &str| {
        let action = probe.get(name).filter(|action| action.is_object())?;
        Some((action, pod::port_in(container, action.get("port")?)?))
    };
    let (action, port, target) = if let Some((get, port)) = of(HTTP) {
        (http(get, port), port, get)
    } else if let Some((socket, port)) = of(TCP) {
        (ProbeAction::Tcp { port }, port, socket)
    } else {
        let (grpc, port) = of(GRPC)?;
        (ProbeAction::Grpc { port, service: pod::text(grpc, "service").to_owned() }, port, grpc)
    };
    Some(Target { action, port, has_host: !pod::text(target, "host").is_empty() })
}

fn http(get: &Value, port: u16) -> ProbeAction {
    let path = pod::text(get, "path");
    // As the kubelet writes the URL.
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let header = |header: &Value| (pod::name_of(header).to_owned(), pod::text(header, "value").to_owned());
    let headers = pod::entries(get, "httpHeaders").map(header).collect();
    ProbeAction::Http { tls: pod::text(get, "scheme") == "HTTPS", port, path, headers }
}

/// Why it cannot be replaced comes back, where it cannot.
fn replace(container: &mut Value, kind: &str, target: Target, probes: &mut Vec<Probe>) -> Option<&'static str> {
    let fields = container.get_mut(kind).and_then(Value::as_object_mut)?;
    let seconds = fields.get("timeoutSeconds").and_then(Value::as_u64).and_then(|seconds| seconds.try_into().ok());
    let timeout_seconds = seconds.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_PROBE_SECONDS);
    let probe = Probe { action: target.action, timeout_seconds };
    if let Some(fault) = probe.fault() {
        return Some(fault);
    }
    // Two probes that ask the same share one run.
    let index = probes.iter().position(|other| *other == probe).unwrap_or_else(|| {
        probes.push(probe);
        probes.len() - 1
    });
    put(fields, index, timeout_seconds);
    None
}

fn put(fields: &mut Map<String, Value>, index: usize, timeout_seconds: u32) {
    let get = json!({"path": format!("{PROBE_PATH}{index}"), "port": ADMIN_PORT, "scheme": "HTTP"});
    fields.insert(HTTP.to_owned(), get);
    fields.insert("timeoutSeconds".to_owned(), timeout_seconds.saturating_add(PROBE_MARGIN_SECONDS).into());
    for other in [TCP, GRPC] {
        fields.shift_remove(other);
    }
}
