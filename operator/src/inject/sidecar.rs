//! The container of the proxy.

use policy::wire::{
    ADMIN_PORT, ENV_BUNDLE, ENV_CAPTURE, ENV_CAPTURE_DIR, ENV_DRAIN_SECONDS, ENV_LOG_LEVEL, ENV_OPERATOR, ENV_POD_IPS,
    ENV_PORTS, ENV_PROBES, ENV_STATE_DIR, ENV_TLS_DIR, ENV_TOKEN_DIR, Probe, ProtectedPort,
};
use serde_json::{Value, json};

use super::annotations::{Asked, Options};
use super::containers::{as_json, limit_cpu, security_context, variable};
use super::limits::{
    LIVENESS_FAILURES, LIVENESS_PERIOD_SECONDS, OWN_PROBE_SECONDS, READINESS_FAILURES, READINESS_PERIOD_SECONDS,
    SLEEP_SECONDS, STARTUP_FAILURES, STARTUP_PERIOD_SECONDS,
};
use super::{Capture, Settings, names, volumes};

/// What the container is made of.
pub(super) struct Parts<'a> {
    pub(super) options: &'a Options,
    pub(super) ports: &'a [ProtectedPort],
    pub(super) probes: &'a [Probe],
    /// How long new connections are taken when the pod is told to end, in seconds.
    pub(super) drain_seconds: u32,
    pub(super) asked: &'a Asked,
}

pub(super) fn container(parts: &Parts<'_>, settings: &Settings) -> Value {
    json!({
        "name": names::SIDECAR,
        "image": settings.sidecar_image,
        "command": [names::PROGRAM],
        // A native sidecar: up before the application's own init containers, ended after the application.
        "restartPolicy": "Always",
        "env": environment(parts, settings),
        "resources": resources(parts.options, settings),
        "securityContext": security_context(settings),
        "startupProbe": probe("/startupz", STARTUP_PERIOD_SECONDS, STARTUP_FAILURES),
        "readinessProbe": probe("/readyz", READINESS_PERIOD_SECONDS, READINESS_FAILURES),
        "livenessProbe": probe("/livez", LIVENESS_PERIOD_SECONDS, LIVENESS_FAILURES),
        "lifecycle": {"preStop": {"exec": {"command": [names::PROGRAM, "drain"]}}},
        "volumeMounts": mounts(parts.options),
    })
}

fn environment(parts: &Parts<'_>, settings: &Settings) -> Vec<Value> {
    let mut environment = vec![
        variable(ENV_OPERATOR, &settings.operator_url),
        variable(ENV_BUNDLE, &settings.ca_bundle),
        variable(ENV_PORTS, &as_json(&parts.ports)),
        variable(ENV_PROBES, &as_json(&parts.probes)),
        variable(ENV_CAPTURE, parts.options.capture.as_str()),
        json!({"name": ENV_POD_IPS, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIPs"}}}),
        variable(ENV_LOG_LEVEL, &parts.asked.log_level),
        variable(ENV_TOKEN_DIR, volumes::TOKEN_PATH),
        variable(ENV_STATE_DIR, volumes::STATE_PATH),
    ];
    if parts.options.capture == Capture::Redirect {
        environment.push(variable(ENV_CAPTURE_DIR, volumes::CAPTURE_PATH));
    }
    if parts.drain_seconds != SLEEP_SECONDS {
        environment.push(variable(ENV_DRAIN_SECONDS, &parts.drain_seconds.to_string()));
    }
    if parts.options.tls_secret.is_some() {
        environment.push(variable(ENV_TLS_DIR, volumes::TLS_PATH));
    }
    environment
}

fn resources(options: &Options, settings: &Settings) -> Value {
    let defaults = &settings.resources;
    let cpu = options.cpu.as_ref().unwrap_or(&defaults.cpu);
    let memory = options.memory.as_ref().unwrap_or(&defaults.memory);
    let memory_limit = options.memory.as_ref().unwrap_or(&defaults.memory_limit);
    let mut resources = json!({
        "requests": {"cpu": cpu, "memory": memory},
        "limits": {"memory": memory_limit},
    });
    // Where the settings limit processor time at all, a pod that asks for more gets as much and no more.
    let limit = defaults.cpu_limit.as_ref().map(|limit| options.cpu.as_ref().unwrap_or(limit));
    limit_cpu(&mut resources, limit);
    resources
}

fn probe(path: &str, period: u32, failures: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": ADMIN_PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": OWN_PROBE_SECONDS,
    })
}

fn mounts(options: &Options) -> Vec<Value> {
    let mut mounts = vec![volumes::token_mount(), json!({"name": volumes::STATE, "mountPath": volumes::STATE_PATH})];
    if options.capture == Capture::Redirect {
        mounts.push(json!({"name": volumes::CAPTURE, "mountPath": volumes::CAPTURE_PATH, "readOnly": true}));
    }
    if options.tls_secret.is_some() {
        mounts.push(json!({"name": volumes::TLS, "mountPath": volumes::TLS_PATH, "readOnly": true}));
    }
    mounts
}
