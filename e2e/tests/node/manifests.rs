//! Manifests as people write them.

use serde_json::{Value, json};

/// The image of all applications.
const IMAGE: &str = "doorward.test/apps:1";

/// The users API: a Deployment and its Services, with nothing of ours. `env` is the application's.
pub(crate) fn users(replicas: u32, env: &Value) -> Value {
    let service = |name: &str, more: Value| {
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {
                "selector": {"app": "users"},
                "ipFamilyPolicy": "PreferDualStack",
                "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
            },
        });
        merge(&mut service["spec"], more);
        service
    };
    list(&[
        workload(
            "Deployment",
            "users",
            replicas,
            json!({
                "name": "app",
                "command": ["node", "/apps/users/index.js"],
                "env": env,
                "ports": [{"name": "http", "containerPort": 3000}],
                "readinessProbe": {"httpGet": {"path": "/public/hello", "port": "http"}, "periodSeconds": 1},
            }),
        ),
        service("users", json!({})),
        service("users-headless", json!({"clusterIP": "None"})),
        service("users-node", json!({"type": "NodePort"})),
    ])
}

/// A workload of one container, which passes Pod Security `restricted`.
pub(crate) fn workload(kind: &str, name: &str, replicas: u32, mut container: Value) -> Value {
    merge(
        &mut container,
        json!({
            "image": IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            },
        }),
    );
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [container],
                },
            },
        },
    })
}

/// Several objects as one document.
pub(crate) fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// Adds members to an object; those that are there are replaced.
pub(crate) fn merge(object: &mut Value, more: Value) {
    let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) else { panic!("not objects") };
    object.extend(more);
}
