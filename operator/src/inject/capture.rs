//! How traffic comes to the sidecar, and the container that sees to it.

use policy::wire::{ENV_CAPTURE_DIR, ENV_PORTS, ProtectedPort};
use serde_json::{Value, json};

use super::containers::{as_json, limit_cpu, variable};
use super::limits::{CAPTURE_CPU, CAPTURE_MEMORY};
use super::{Settings, names, volumes};

/// How traffic comes to the sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Capture {
    /// The kernel redirects what comes from outside to ports of the sidecar's own.
    #[default]
    Redirect,
    /// The sidecar listens where callers call, on the pod's addresses; the application is on the loopback address.
    Bind,
}

impl Capture {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Redirect, Self::Bind];

    /// The annotation's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::Bind => "bind",
        }
    }
}

/// The init container that sets up the redirect, sees that it is in force, and writes that down.
pub(super) fn container(ports: &[ProtectedPort], settings: &Settings) -> Value {
    let mut resources = json!({
        "requests": {"cpu": CAPTURE_CPU, "memory": CAPTURE_MEMORY},
        "limits": {"memory": CAPTURE_MEMORY},
    });
    limit_cpu(&mut resources, settings.resources.cpu_limit.as_ref());
    json!({
        "name": names::CAPTURE,
        "image": settings.capture_image,
        "command": [names::PROGRAM, "capture"],
        "env": [
            variable(ENV_PORTS, &as_json(&ports)),
            variable(ENV_CAPTURE_DIR, volumes::CAPTURE_PATH),
        ],
        "resources": resources,
        // Rules of the pod's network are root's to change, whatever the pod says of its users.
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "privileged": false,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        // The second stands where Kubernetes would mount a token for the API server: root here needs none.
        "volumeMounts": [
            {"name": volumes::CAPTURE, "mountPath": volumes::CAPTURE_PATH},
            {"name": volumes::CAPTURE, "mountPath": volumes::TOKEN_PATH, "readOnly": true},
        ],
    })
}
