//! The caller's side: certificate, key and CA as files, replaced while the application runs.

use anyhow::{Context, ensure};
use e2e::wait::eventually;
use serde_json::json;

use crate::manifests::workload;
use crate::scene::{PATIENCE, scene};

#[tokio::test]
async fn files_are_there_first_and_are_renewed() -> anyhow::Result<()> {
    scene("agent", async |scene| {
        let caller = scene.caller().await?;
        let first = caller.files().await?;
        ensure!(first["certificate"].is_string() && first["ca"].is_string() && first["key"] == true, "{first}");
        // A new agent is a new key with a new certificate, which the application picks up without being told.
        scene.renew_caller().await?;
        eventually(PATIENCE, "a new certificate", async || {
            let now = caller.files().await?;
            ensure!(now["certificate"].is_string() && now["certificate"] != first["certificate"], "{now}");
            ensure!(now["ca"] == first["ca"] && now["key"] == true, "{now}");
            Ok(())
        })
        .await
    })
    .await
}

/// Jobs end although a proxy and an agent stand beside them, and init containers can call.
#[tokio::test]
async fn jobs_end_and_init_containers_have_the_network() -> anyhow::Result<()> {
    scene("jobs", async |scene| {
        let script = "require('net').connect(443, 'kubernetes.default.svc').on('connect', () => process.exit(0)).on('error', (e) => { console.log(e); process.exit(1) })";
        let container = json!({"name": "app", "command": ["node", "-e", script], "ports": [{"containerPort": 3000}]});
        let mut job = workload("Job", "job", 1, container);
        let mut template = job["spec"]["template"].take();
        let mut init = template["spec"]["containers"][0].clone();
        init["name"] = json!("before");
        init.as_object_mut().context("a container")?.shift_remove("ports");
        template["spec"]["initContainers"] = json!([init]);
        template["spec"]["restartPolicy"] = json!("Never");
        template["metadata"]["annotations"] =
            json!({"doorward.dev/inject": "true", "doorward.dev/client-certificate": "true"});
        job["apiVersion"] = json!("batch/v1");
        job["spec"] = json!({"template": template, "backoffLimit": 0});
        scene.apply(&job).await?;
        scene.kubectl(&["wait", "--for=condition=Complete", "job/job", "--timeout=120s"]).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn replicas_of_a_stateful_set_are_called_by_name() -> anyhow::Result<()> {
    scene("stateful", async |scene| {
        let container = json!({
            "name": "app", "command": ["node", "/apps/users/index.js"], "env": [{"name": "HOST", "value": "0.0.0.0"}],
            "ports": [{"containerPort": 3000}],
            "readinessProbe": {"httpGet": {"path": "/public/hello", "port": 3000}, "periodSeconds": 1},
        });
        let mut set = workload("StatefulSet", "users", 2, container);
        set["spec"]["serviceName"] = json!("users");
        set["spec"]["template"]["metadata"]["annotations"] = json!({"doorward.dev/inject": "true"});
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "users"},
            "spec": {"selector": {"app": "users"}, "clusterIP": "None", "ports": [{"port": 3000}]},
        });
        scene.apply(&service).await?;
        scene.apply(&set).await?;
        scene.policy("users", "users", json!({"tls": {"mode": "Mutual"}, "rules": crate::first::rules()})).await?;
        scene.kubectl(&["rollout", "status", "statefulset/users", "--timeout=120s"]).await?;
        scene.enforced("users").await?;
        let caller = scene.caller().await?;
        for replica in 0..2 {
            let url = format!("https://users-{replica}.users.{}.svc:3000/public/hello", scene.namespace.name);
            let servername = format!("users.{}.svc", scene.namespace.name);
            let outcome = caller.outcome(&json!({"url": url, "servername": servername})).await?;
            ensure!(outcome == "200", "{url}: {outcome}");
        }
        Ok(())
    })
    .await
}
