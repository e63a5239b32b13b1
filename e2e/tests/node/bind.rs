//! The capture `bind`: without any privilege.

use anyhow::ensure;
use e2e::wait::eventually;
use serde_json::json;

use crate::first::{every_way_in, rules};
use crate::manifests::users;
use crate::scene::{PATIENCE, Scene, scene};

async fn restricted(scene: &Scene<'_>) -> anyhow::Result<()> {
    let label = "pod-security.kubernetes.io/enforce=restricted";
    scene.kubectl(&["label", "namespace", &scene.namespace.name, label]).await.map(drop)
}

async fn bound(scene: &Scene<'_>, host: &str) -> anyhow::Result<()> {
    scene.policy("users", "users", json!({"tls": {"mode": "Mutual"}, "rules": rules()})).await?;
    let mut objects = users(1, &json!([{"name": "HOST", "value": host}]));
    objects["items"][0]["spec"]["template"]["metadata"]["annotations"] =
        json!({"doorward.dev/inject": "true", "doorward.dev/capture": "bind"});
    scene.apply(&objects).await.map(drop)
}

#[tokio::test]
async fn an_application_on_the_loopback_address_is_protected_in_a_restricted_namespace() -> anyhow::Result<()> {
    scene("bind", async |scene| {
        restricted(scene).await?;
        bound(scene, "127.0.0.1").await?;
        scene.rolled_out("users").await?;
        scene.enforced("users").await?;
        every_way_in(scene).await
    })
    .await
}

#[tokio::test]
async fn redirect_is_refused_in_a_restricted_namespace_with_the_cure() -> anyhow::Result<()> {
    scene("baseline", async |scene| {
        restricted(scene).await?;
        let mut deployment = users(1, &json!([]))["items"][0].clone();
        let mut pod = deployment["spec"]["template"].take();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"] = json!({"name": "users", "annotations": {"doorward.dev/inject": "true"}});
        let answer = scene.try_apply(&pod).await?;
        ensure!(!answer.status.success(), "it is taken");
        // Kubernetes refuses it, and our warning says what to do.
        ensure!(answer.stderr.contains("bind") && answer.stderr.contains("NET_ADMIN"), "{}", answer.stderr);
        Ok(())
    })
    .await
}

/// On all addresses, of either family: it cannot take the port that the sidecar has.
#[tokio::test]
async fn an_application_on_all_addresses_does_not_start() -> anyhow::Result<()> {
    scene("taken", async |scene| {
        for host in ["0.0.0.0", "::"] {
            bound(scene, host).await?;
            eventually(PATIENCE, &format!("{host}: the application ends"), async || {
                let path = "{.status.containerStatuses[?(@.name==\"app\")].restartCount}";
                let restarts: u32 = scene.pod("users", path).await?.parse()?;
                let log = scene
                    .kubectl(&["logs", "--selector", "app=users", "--container", "app", "--tail=-1", "--prefix"])
                    .await?;
                ensure!(restarts > 0 && log.contains("EADDRINUSE"), "{restarts} restarts: {log}");
                Ok(())
            })
            .await?;
            // What the sidecar says of it names the cure.
            eventually(PATIENCE, &format!("{host}: the sidecar says what to set"), async || {
                let log =
                    scene.kubectl(&["logs", "--selector", "app=users", "--container", "doorward", "--tail=-1"]).await?;
                ensure!(log.contains("127.0.0.1"), "{log}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}
