//! What a pod asks for by its annotations. A name or value that is not known refuses the pod: a slip of the pen must not
//! start an unprotected one.

use compile::diagnostic::quoted;
use serde_json::{Map, Value};

use super::pod::escape;
use super::ports::{self, PortRef};
use super::refusal::{Code, Sink};
use super::{Capture, NamespaceFacts, names, resources};

/// What every annotation and label of ours begins with.
pub const PREFIX: &str = "doorward.dev/";
/// The label of a namespace whose pods are all injected; its value is `enabled`.
pub const INJECTION_LABEL: &str = "doorward.dev/injection";
/// The namespace of Kubernetes itself, where that label does nothing: nodes, and with them the operator, start by pods of its.
pub const SYSTEM_NAMESPACE: &str = "kube-system";

const INJECT: &str = "inject";
pub(super) const PORTS: &str = "ports";
const CAPTURE: &str = "capture";
const TLS_SECRET: &str = "tls-secret";
const CLIENT_CERTIFICATE: &str = "client-certificate";
const CPU: &str = "proxy-cpu";
const MEMORY: &str = "proxy-memory";
const LOG_LEVEL: &str = "log-level";
const DRAIN: &str = "drain";

pub(super) const KNOWN: [&str; 9] =
    [INJECT, PORTS, CAPTURE, TLS_SECRET, CLIENT_CERTIFICATE, CPU, MEMORY, LOG_LEVEL, DRAIN];
/// What does nothing without a sidecar.
const OF_SIDECAR: [&str; 6] = [PORTS, CAPTURE, TLS_SECRET, CPU, MEMORY, DRAIN];
const LOG_LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

const ANNOTATIONS: &str = "/metadata/annotations";
const LABELS: &str = "/metadata/labels";

/// What a pod asks for.
#[derive(Debug)]
pub(super) struct Asked {
    /// Its traffic is to be protected.
    pub(super) sidecar: Option<Options>,
    /// It calls others with a certificate.
    pub(super) agent: bool,
    /// How much sidecar and agent log.
    pub(super) log_level: String,
}

impl Asked {
    pub(super) fn is_anything(&self) -> bool {
        self.sidecar.is_some() || self.agent
    }

    /// Whether an init container of this name is one that injection puts there anew.
    pub(super) fn replaces(&self, name: &str) -> bool {
        match name {
            names::CAPTURE | names::SIDECAR => self.sidecar.is_some(),
            names::AGENT => self.agent,
            _ => false,
        }
    }
}

/// How its traffic is to be protected.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// Which ports; none where the pod is to tell by itself.
    pub(super) ports: Option<Vec<PortRef>>,
    /// How it comes to the sidecar.
    pub(super) capture: Capture,
    /// The Secret with the certificate that callers see.
    pub(super) tls_secret: Option<String>,
    /// Processor time for the sidecar.
    pub(super) cpu: Option<String>,
    /// Memory for the sidecar.
    pub(super) memory: Option<String>,
    /// Whether application containers without a `preStop` get one.
    pub(super) drain: bool,
}

/// Where annotations stand.
pub(super) fn pointer(name: &str) -> String {
    format!("{ANNOTATIONS}/{}", escape(&format!("{PREFIX}{name}")))
}

/// Reads the annotations.
pub(super) fn read(pod: &Value, namespace: &NamespaceFacts, sink: &mut Sink) -> Asked {
    refuse_labels(pod, sink);
    let fields = |pointer: &str| pod.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    let mut reader = Reader { values: Map::new(), sink };
    for (name, value) in fields(ANNOTATIONS) {
        let Some(name) = name.strip_prefix(PREFIX) else { continue };
        if KNOWN.contains(&name) {
            reader.values.insert(name.to_owned(), value.clone());
        } else {
            refuse_unknown(name, reader.sink);
        }
    }
    let inject = reader.flag(INJECT);
    let labelled = namespace.labels.get(INJECTION_LABEL).is_some_and(|value| value == "enabled");
    let enabled = labelled && namespace.name != SYSTEM_NAMESPACE;
    let agent = reader.flag(CLIENT_CERTIFICATE).unwrap_or(false);
    let options = reader.options();
    let log_level = reader.one_of(LOG_LEVEL, &LOG_LEVELS);
    let wanted = inject.unwrap_or(enabled);
    // Behind a slip of the pen this would only be noise.
    if inject.is_none() && !wanted && reader.sink.is_empty() {
        reader.refuse_without_effect(agent);
    }
    Asked { sidecar: wanted.then_some(options), agent, log_level: log_level.unwrap_or_else(|| "info".to_owned()) }
}

/// No label on a pod is ours; those that people write are annotations.
fn refuse_labels(pod: &Value, sink: &mut Sink) {
    for name in pod.pointer(LABELS).and_then(Value::as_object).into_iter().flat_map(Map::keys) {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let pointer = format!("{LABELS}/{}", escape(name));
        let cure = match names::nearest(rest, KNOWN) {
            Some(meant) => format!("write the annotation `{PREFIX}{meant}` instead"),
            None => format!("take it out; the annotations are {}", known()),
        };
        let message = format!("{} is no label of pods", quoted(name));
        sink.refuse(Code::UnknownAnnotation, pointer, message, cure);
    }
}

fn refuse_unknown(name: &str, sink: &mut Sink) {
    let cure = match names::nearest(name, KNOWN) {
        _ if name == "injection" => format!("write `{PREFIX}{INJECT}`: the other is a label of namespaces"),
        Some(meant) => format!("did you mean `{PREFIX}{meant}`? known are {}", known()),
        None => format!("known are {}", known()),
    };
    let message = format!("unknown annotation {}", quoted(&format!("{PREFIX}{name}")));
    sink.refuse(Code::UnknownAnnotation, pointer(name), message, cure);
}

fn known() -> String {
    let names = KNOWN.map(|name| format!("{PREFIX}{name}"));
    names::list(names.iter().map(String::as_str))
}

struct Reader<'sink> {
    /// The known annotations that stand in the pod.
    values: Map<String, Value>,
    sink: &'sink mut Sink,
}

impl Reader<'_> {
    fn options(&mut self) -> Options {
        let ports = self.text(PORTS).and_then(|text| match ports::parse(&text) {
            Ok(ports) => Some(ports),
            Err(message) => {
                self.refuse(PORTS, message, "write names or numbers of ports with commas between: `http,9090`");
                None
            }
        });
        let capture = self.one_of(CAPTURE, &Capture::ALL.map(Capture::as_str));
        Options {
            ports,
            capture: Capture::ALL
                .into_iter()
                .find(|known| Some(known.as_str()) == capture.as_deref())
                .unwrap_or_default(),
            tls_secret: self.secret(),
            cpu: self.quantity(CPU, resources::cpu),
            memory: self.quantity(MEMORY, resources::memory),
            drain: self.flag(DRAIN).unwrap_or(true),
        }
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.values.get(name)? {
            Value::String(text) => Some(text.clone()),
            other => {
                let cure = format!("write it in quotes: `\"{other}\"`");
                let message = format!("{} is no string", quoted(&other.to_string()));
                self.refuse(name, message, &cure);
                None
            }
        }
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        self.one_of(name, &["true", "false"]).map(|text| text == "true")
    }

    fn one_of(&mut self, name: &str, known: &[&str]) -> Option<String> {
        let text = self.text(name)?;
        if known.contains(&text.as_str()) {
            return Some(text);
        }
        let cure = match names::nearest(&text, known.iter().copied()) {
            Some(meant) => format!("did you mean `\"{meant}\"`? known are {}", names::list(known.iter().copied())),
            None => format!("write one of {}", names::list(known.iter().copied())),
        };
        self.refuse(name, format!("unknown value {}", quoted(&text)), &cure);
        None
    }

    fn secret(&mut self) -> Option<String> {
        let text = self.text(TLS_SECRET)?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let label = |label: &str| {
            let mut edges = [label.bytes().next(), label.bytes().last()].into_iter();
            edges.all(|edge| edge.is_some_and(plain)) && label.bytes().all(|byte| plain(byte) || byte == b'-')
        };
        if text.len() <= 253 && text.split('.').all(label) {
            return Some(text);
        }
        let cure = "write the name of a Secret of type `kubernetes.io/tls` in the pod's namespace";
        self.refuse(TLS_SECRET, format!("{} is no name of a Secret", quoted(&text)), cure);
        None
    }

    fn quantity(&mut self, name: &str, read: fn(&str) -> Result<String, resources::Fault>) -> Option<String> {
        let text = self.text(name)?;
        read(&text).map_err(|fault| self.refuse(name, fault.message, fault.cure)).ok()
    }

    /// Somebody who says which ports to protect believes that they are.
    fn refuse_without_effect(&mut self, agent: bool) {
        let idle: Vec<&str> =
            KNOWN.into_iter().filter(|name| OF_SIDECAR.contains(name) || *name == LOG_LEVEL && !agent).collect();
        for name in idle {
            if self.values.contains_key(name) {
                let message = format!("`{PREFIX}{name}` does nothing in a pod that is not injected");
                let cure = format!("add `{PREFIX}{INJECT}: \"true\"`, or take it out");
                self.sink.refuse(Code::WithoutEffect, pointer(name), message, cure);
            }
        }
    }

    fn refuse(&mut self, name: &str, message: String, cure: &str) {
        self.sink.refuse(Code::BadValue, pointer(name), message, cure);
    }
}
