//! The webhook and the node's own troubles: who asked for protection never starts without it, nobody else waits.

use anyhow::ensure;
use e2e::kubectl::kubectl;
use e2e::wait::eventually;
use operator::inject::INJECTION_LABEL;
use serde_json::{Value, json};

use crate::first::rules;
use crate::manifests::{users, workload};
use crate::scene::{PATIENCE, Scene, operator, run, scene};

/// The namespace of Kubernetes itself.
const SYSTEM: &str = "kube-system";

/// A pod by itself: who makes it is told what is wrong.
fn pod(name: &str, annotations: &Value) -> Value {
    let container =
        json!({"name": "app", "command": ["node", "/apps/caller/index.js"], "ports": [{"containerPort": 8000}]});
    let mut pod = workload("Deployment", name, 1, container)["spec"]["template"].take();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"] = json!({"name": name, "labels": {"app": name}, "annotations": annotations});
    pod
}

async fn runs(scene: &Scene<'_>, name: &str) -> anyhow::Result<()> {
    scene.kubectl(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=120s"]).await.map(drop)
}

#[tokio::test]
async fn a_misspelt_annotation_is_refused() -> anyhow::Result<()> {
    scene("misspelt", async |scene| {
        let answer = scene.try_apply(&pod("one", &json!({"doorward.dev/injct": "true"}))).await?;
        ensure!(!answer.status.success() && answer.stderr.contains("doorward.dev/inject"), "{}", answer.stderr);
        let answer = scene.try_apply(&pod("one", &json!({"doorward.dev/inject": "yes"}))).await?;
        ensure!(!answer.status.success() && answer.stderr.contains("true"), "{}", answer.stderr);
        Ok(())
    })
    .await
}

/// What the API server would make of a pod: the names of its init containers. It is not made.
async fn init_containers(namespace: &str, annotations: &Value) -> anyhow::Result<String> {
    let names = "jsonpath={.spec.initContainers[*].name}";
    let args = ["create", "--dry-run=server", "--output", names, "--namespace", namespace, "-f", "-"];
    kubectl(&args, &pod("one", annotations).to_string()).await?.success()
}

#[tokio::test]
async fn the_label_of_a_namespace_puts_the_proxy_into_its_pods() -> anyhow::Result<()> {
    scene("labelled", async |scene| {
        let (name, none) = (&scene.namespace.name, json!({}));
        ensure!(init_containers(name, &none).await?.is_empty(), "it asked for nothing");
        // The API server sees changes of namespaces in their order: with the second label it has seen the first.
        scene.kubectl(&["label", "namespace", SYSTEM, &format!("{INJECTION_LABEL}=enabled")]).await?;
        scene.kubectl(&["label", "namespace", name, &format!("{INJECTION_LABEL}=enabled")]).await?;
        let labelled = async {
            eventually(PATIENCE, "the label is seen", async || {
                let names = init_containers(name, &none).await?;
                ensure!(names == "doorward-capture doorward", "{names}");
                Ok(())
            })
            .await?;
            let system = init_containers(SYSTEM, &none).await?;
            ensure!(system.is_empty(), "nodes start by pods of {SYSTEM}: {system}");
            let out = init_containers(name, &json!({"doorward.dev/inject": "false"})).await?;
            ensure!(out.is_empty(), "a pod can stay out: {out}");
            Ok(())
        };
        let result = labelled.await;
        scene.kubectl(&["label", "namespace", SYSTEM, &format!("{INJECTION_LABEL}-")]).await?;
        result
    })
    .await
}

#[tokio::test]
async fn without_the_operator_only_pods_that_ask_do_not_start() -> anyhow::Result<()> {
    scene("away", async |scene| {
        scene.policy("users", "users", json!({"tls": {"mode": "Optional"}, "rules": rules()})).await?;
        operator(&["scale", "deployment/doorward-operator", "--replicas=0"]).await?;
        operator(&["wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=doorward", "--timeout=120s"]).await?;
        let result = while_away(scene).await;
        operator(&["scale", "deployment/doorward-operator", "--replicas=2"]).await?;
        result?;
        // What was asked for meanwhile comes by itself.
        scene.rolled_out("users").await?;
        scene.enforced("users").await
    })
    .await
}

async fn while_away(scene: &Scene<'_>) -> anyhow::Result<()> {
    let answer = scene.try_apply(&pod("asks", &json!({"doorward.dev/inject": "true"}))).await?;
    ensure!(!answer.status.success() && answer.stderr.contains("pods.doorward.dev"), "{}", answer.stderr);
    scene.apply(&pod("other", &json!({}))).await?;
    runs(scene, "other").await?;
    let mut objects = users(1, &json!([{"name": "HOST", "value": "0.0.0.0"}]));
    objects["items"][0]["spec"]["template"]["metadata"]["annotations"] = json!({"doorward.dev/inject": "true"});
    scene.apply(&objects).await?;
    eventually(PATIENCE, "the ReplicaSet is refused", async || {
        let events = scene
            .kubectl(&[
                "get",
                "events",
                "--field-selector",
                "reason=FailedCreate",
                "-o",
                "jsonpath={.items[*].message}",
            ])
            .await?;
        ensure!(events.contains("pods.doorward.dev"), "{events}");
        Ok(())
    })
    .await?;
    let pods = scene.kubectl(&["get", "pods", "-l", "app=users", "-o", "name"]).await?;
    ensure!(pods.is_empty(), "{pods}");
    scene.kubectl(&["label", "namespace", &scene.namespace.name, &format!("{INJECTION_LABEL}=enabled")]).await?;
    eventually(PATIENCE, "every pod of a namespace that asks is refused", async || {
        let answer = init_containers(&scene.namespace.name, &json!({})).await;
        let refusal = answer.err().map(|refusal| format!("{refusal:#}")).unwrap_or_default();
        ensure!(refusal.contains("namespaces.doorward.dev"), "{refusal}");
        Ok(())
    })
    .await
}

/// As if the power failed: operator, webhooks and protected pods come back by themselves, in whatever order.
#[tokio::test]
async fn a_restart_of_the_node_does_not_deadlock() -> anyhow::Result<()> {
    scene("restart", async |scene| {
        let mut objects = users(1, &json!([{"name": "HOST", "value": "0.0.0.0"}]));
        objects["items"][0]["spec"]["template"]["metadata"]["annotations"] = json!({"doorward.dev/inject": "true"});
        scene.apply(&objects).await?;
        scene.policy("users", "users", json!({"tls": {"mode": "Optional"}, "rules": rules()})).await?;
        scene.rolled_out("users").await?;
        scene.enforced("users").await?;

        let cluster = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/cluster");
        run(cluster, &["restart-node"]).await?;
        operator(&["rollout", "status", "deployment/doorward-operator", "--timeout=120s"]).await?;
        scene.rolled_out("users").await?;
        scene.enforced("users").await?;
        let caller = scene.caller().await?;
        let url = format!("https://users.{}.svc:80/users", scene.namespace.name);
        let token = format!("Bearer {}", scene.token("")?);
        let outcome = caller.outcome(&json!({"url": url, "headers": {"authorization": token}})).await?;
        ensure!(outcome == "200", "{outcome}");
        Ok(())
    })
    .await
}
