//! What an earlier run wrote into the pod: another webhook ran in between, or `doorward inject` before the webhook.

use compile::diagnostic::quoted;
use policy::wire::{ENV_OPERATOR, ENV_PORTS, ENV_PROBES, Probe, ProtectedPort};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::annotations::Asked;
use super::names;
use super::pod::{self, Container};
use super::refusal::{Code, Sink};

/// What an earlier run wrote.
#[derive(Debug, Default)]
pub(super) struct Previous {
    /// Whether there was one.
    pub(super) is_ours: bool,
    /// The protected ports.
    pub(super) ports: Vec<ProtectedPort>,
    /// The probes that are rewritten already, by index.
    pub(super) probes: Vec<Probe>,
}

impl Previous {
    /// Finds our containers. One that has our name and is not ours refuses the pod.
    pub(super) fn read(pod: &Value, asked: &Asked, sink: &mut Sink) -> Self {
        let mut previous = Self::default();
        let wanted = |container: &Container<'_>| asked.replaces(pod::name_of(container.value));
        for container in pod::main_containers(pod).filter(wanted) {
            refuse(&container, sink);
        }
        for container in pod::init_containers(pod).filter(wanted) {
            let read = match pod::name_of(container.value) {
                names::CAPTURE => variable(container.value, ENV_PORTS).map(|_| ()),
                names::SIDECAR => previous.read_sidecar(container.value),
                _ => variable(container.value, ENV_OPERATOR).map(|_| ()),
            };
            match read {
                Some(()) => previous.is_ours = true,
                None => refuse(&container, sink),
            }
        }
        previous
    }

    fn read_sidecar(&mut self, container: &Value) -> Option<()> {
        variable(container, ENV_OPERATOR)?;
        self.ports = json(container, ENV_PORTS)?;
        self.probes = json(container, ENV_PROBES)?;
        Some(())
    }
}

fn variable<'pod>(container: &'pod Value, name: &str) -> Option<&'pod str> {
    pod::entries(container, "env").find(|entry| pod::name_of(entry) == name)?.get("value")?.as_str()
}

fn json<T: DeserializeOwned>(container: &Value, name: &str) -> Option<T> {
    serde_json::from_str(variable(container, name)?).ok()
}

fn refuse(container: &Container<'_>, sink: &mut Sink) {
    let message = format!("the pod has a container {} of its own", quoted(pod::name_of(container.value)));
    let cure = "give it another name: those that begin with `doorward` are Doorward's";
    sink.refuse(Code::NameTaken, format!("{}/name", container.pointer), message, cure);
}
