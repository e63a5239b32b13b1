//! The volumes of our containers.

use policy::wire::AUDIENCE;
use serde_json::{Value, json};

use super::Capture;
use super::annotations::{Asked, Options};
use super::containers::overlay;
use super::limits::{SMALL_SIZE, STATE_SIZE, TOKEN_SECONDS};
use super::pod::{self, Container};
use super::previous::Previous;
use super::refusal::{Code, Sink};

pub(super) const TOKEN: &str = "doorward-token";
pub(super) const STATE: &str = "doorward-state";
pub(super) const CAPTURE: &str = "doorward-captured";
pub(super) const TLS: &str = "doorward-tls";
pub(super) const CLIENT: &str = "doorward-client";

/// Where Kubernetes would mount a token for the API server: with ours in its place, sidecar and agent get none of that.
pub(super) const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
pub(super) const STATE_PATH: &str = "/var/run/doorward/state";
pub(super) const CAPTURE_PATH: &str = "/var/run/doorward/captured";
pub(super) const TLS_PATH: &str = "/var/run/doorward/tls";
/// Where applications find their certificate; a contract with them.
pub(super) const CLIENT_PATH: &str = "/var/run/doorward/client";

pub(super) fn of_sidecar(options: &Options) -> Vec<Value> {
    let mut volumes = vec![token(), memory(STATE, STATE_SIZE)];
    if options.capture == Capture::Redirect {
        volumes.push(json!({"name": CAPTURE, "emptyDir": {"sizeLimit": SMALL_SIZE}}));
    }
    if let Some(secret) = &options.tls_secret {
        // 0444: the sidecar is not the owner, and nobody else has the volume.
        volumes.push(json!({"name": TLS, "secret": {"secretName": secret, "defaultMode": 0o444}}));
    }
    volumes
}

pub(super) fn of_agent() -> Vec<Value> {
    vec![token(), memory(CLIENT, SMALL_SIZE)]
}

pub(super) fn token_mount() -> Value {
    json!({"name": TOKEN, "mountPath": TOKEN_PATH, "readOnly": true})
}

fn token() -> Value {
    let source = json!({"audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"});
    json!({"name": TOKEN, "projected": {"sources": [{"serviceAccountToken": source}]}})
}

fn memory(name: &str, size: &str) -> Value {
    json!({"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size}})
}

/// Refuses containers of others that have our key, our token or our proof mounted: they could be the proxy.
pub(super) fn refuse_mounts(pod: &Value, asked: &Asked, sink: &mut Sink) {
    let is_private = |mount: &Value| {
        let name = mount.get("name").and_then(Value::as_str);
        name.is_some_and(|name| [TOKEN, STATE, CAPTURE, TLS].contains(&name))
    };
    let stays = |container: &Container<'_>| !asked.replaces(pod::name_of(container.value));
    for container in pod::main_containers(pod).chain(pod::init_containers(pod).filter(stays)) {
        let mounts = pod::entries(container.value, "volumeMounts").enumerate();
        for (index, _) in mounts.filter(|(_, mount)| is_private(mount)) {
            let pointer = format!("{}/volumeMounts/{index}/name", container.pointer);
            let message = "the volume is the proxy's alone".to_owned();
            let cure = "take the mount out, or give your own volume another name; take out a container that an earlier injection left";
            sink.refuse(Code::NameTaken, pointer, message, cure);
        }
    }
}

/// Puts volumes into a pod: those that an earlier run put there stay where they are.
pub(super) fn put(pod: &mut Value, volumes: Vec<Value>, previous: &Previous, sink: &mut Sink) {
    let Some(present) = pod::list_mut(pod, "volumes") else { return };
    for volume in volumes {
        let name = volume.get("name").cloned();
        let Some(index) = present.iter().position(|other| other.get("name") == name.as_ref()) else {
            present.push(volume);
            continue;
        };
        if !previous.is_ours {
            let message = format!("the pod has a volume {} of its own", name.unwrap_or_default());
            let cure = "give it another name: those that begin with `doorward` are Doorward's";
            sink.refuse(Code::NameTaken, format!("/spec/volumes/{index}/name"), message, cure);
        } else if let Some(slot) = present.get_mut(index) {
            *slot = overlay(slot, volume.clone());
            // A volume has one source, and the earlier one may be another.
            if let (Some(fields), Some(ours)) = (slot.as_object_mut(), volume.as_object()) {
                fields.retain(|name, _| ours.contains_key(name));
            }
        }
    }
}
