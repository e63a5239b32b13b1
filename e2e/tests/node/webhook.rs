//! The webhook and the node's own troubles: who asked for protection never starts without it, nobody else waits.

use anyhow::ensure;
use e2e::wait::eventually;
use serde_json::{Value, json};

use crate::first::rules;
use crate::manifests::{users, workload};
use crate::scene::{PATIENCE, Scene, operator, run, scene};

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
    Ok(())
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
