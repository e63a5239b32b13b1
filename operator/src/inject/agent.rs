//! The agent for pods that call others: certificate, key and CA as files.

use compile::diagnostic::quoted;
use policy::wire::{ENV_BUNDLE, ENV_CLIENT_DIR, ENV_LOG_LEVEL, ENV_OPERATOR, ENV_TOKEN_DIR};
use serde_json::{Value, json};

use super::annotations::Asked;
use super::containers::{limit_cpu, security_context, variable};
use super::limits::{
    AGENT_CPU, AGENT_MEMORY, AGENT_MEMORY_LIMIT, OWN_PROBE_SECONDS, STARTUP_FAILURES, STARTUP_PERIOD_SECONDS,
};
use super::refusal::{Code, Sink};
use super::{Settings, names, pod, volumes};

pub(super) fn container(asked: &Asked, settings: &Settings) -> Value {
    let mut resources = json!({
        "requests": {"cpu": AGENT_CPU, "memory": AGENT_MEMORY},
        "limits": {"memory": AGENT_MEMORY_LIMIT},
    });
    limit_cpu(&mut resources, settings.resources.cpu_limit.as_ref());
    json!({
        "name": names::AGENT,
        "image": settings.sidecar_image,
        "command": [names::PROGRAM, "agent"],
        "restartPolicy": "Always",
        "env": [
            variable(ENV_OPERATOR, &settings.operator_url),
            variable(ENV_BUNDLE, &settings.ca_bundle),
            variable(ENV_LOG_LEVEL, &asked.log_level),
            variable(ENV_TOKEN_DIR, volumes::TOKEN_PATH),
            variable(ENV_CLIENT_DIR, volumes::CLIENT_PATH),
        ],
        "resources": resources,
        "securityContext": security_context(settings),
        // The application starts with its certificate in place. No port: the sidecar may have them all.
        "startupProbe": {
            "exec": {"command": [names::PROGRAM, "agent", "--check"]},
            "periodSeconds": STARTUP_PERIOD_SECONDS,
            "failureThreshold": STARTUP_FAILURES,
            "timeoutSeconds": OWN_PROBE_SECONDS,
        },
        "volumeMounts": [
            volumes::token_mount(),
            {"name": volumes::CLIENT, "mountPath": volumes::CLIENT_PATH},
        ],
    })
}

/// Mounts the files into the application's containers, its init containers among them.
pub(super) fn mount(pod: &mut Value, sink: &mut Sink) {
    let mount = json!({"name": volumes::CLIENT, "mountPath": volumes::CLIENT_PATH, "readOnly": true});
    for (pointer, container) in pod::others_mut(pod) {
        let Some(mounts) = pod::list_of(container, "volumeMounts") else { continue };
        let taken = mounts.iter().enumerate().find(|(_, other)| pod::text(other, "mountPath") == volumes::CLIENT_PATH);
        match taken {
            None => mounts.push(mount.clone()),
            Some((_, other)) if pod::name_of(other) == volumes::CLIENT => {}
            Some((index, other)) => sink.refuse(
                Code::PathTaken,
                format!("{pointer}/volumeMounts/{index}/mountPath"),
                format!("the volume {} is mounted where the client certificate belongs", quoted(pod::name_of(other))),
                "mount it elsewhere",
            ),
        }
    }
}
