//! Probes and hooks: the kubelet has neither token nor certificate, and needs none; nobody else gains by that.

use anyhow::ensure;
use e2e::wait::eventually;
use http::Method;
use serde_json::{Value, json};

use crate::caller::request;
use crate::manifests::workload;
use crate::scene::{PATIENCE, Scene, scene};

/// Every kind of probe, on ports that all are protected.
fn probed() -> Value {
    let probe = |action: Value, more: Value| {
        let mut probe = action;
        crate::manifests::merge(&mut probe, json!({"periodSeconds": 1, "failureThreshold": 30}));
        crate::manifests::merge(&mut probe, more);
        probe
    };
    let secret = json!([{"name": "x-probe", "value": "known to the kubelet alone"}]);
    let mut deployment = workload(
        "Deployment",
        "probed",
        1,
        json!({
            "name": "app",
            "command": ["node", "/apps/probed/index.js"],
            "ports": [{"name": "http", "containerPort": 3000}, {"name": "grpc", "containerPort": 3001}, {"name": "tcp", "containerPort": 3002}],
            "startupProbe": probe(json!({"tcpSocket": {"port": "tcp"}}), json!({})),
            "readinessProbe": probe(json!({"grpc": {"port": 3001}}), json!({})),
            "livenessProbe": probe(
                json!({"httpGet": {"path": "/live", "port": "http", "httpHeaders": secret}}),
                json!({"failureThreshold": 2}),
            ),
        }),
    );
    let second = json!({
        "name": "second", "image": "doorward.test/apps:1", "command": ["node", "-e", "setInterval(() => {}, 1e9)"],
        "readinessProbe": {"exec": {"command": ["node", "-e", "0"]}, "timeoutSeconds": 10},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    });
    deployment["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().push(second);
    deployment["spec"]["template"]["metadata"]["annotations"] =
        json!({"doorward.dev/inject": "true", "doorward.dev/ports": "http,grpc,tcp"});
    deployment
}

async fn policies(scene: &Scene<'_>) -> anyhow::Result<()> {
    for (name, rules) in [
        ("http", json!([{"path": "/fail", "allow": "Certificate"}, {"path": "/live", "allow": "Authenticated"}])),
        ("grpc", json!([{"path": "/nothing", "allow": "Authenticated"}])),
        ("tcp", json!([{"path": "/nothing", "allow": "Authenticated"}])),
    ] {
        scene.policy(name, "probed", json!({"port": name, "tls": {"mode": "Mutual"}, "rules": rules})).await?;
    }
    Ok(())
}

#[tokio::test]
async fn probes_work_and_open_nothing() -> anyhow::Result<()> {
    scene("probes", async |scene| {
        scene.apply(&probed()).await?;
        policies(scene).await?;
        scene.rolled_out("probed").await?;
        for policy in ["http", "grpc", "tcp"] {
            scene.enforced(policy).await?;
        }
        let caller = scene.caller().await?;
        let address = scene.pod("probed", "{.status.podIP}").await?;

        // By the door: as everybody else.
        let servername = format!("probed.{}.svc", scene.namespace.name);
        let live = json!({"url": format!("https://{address}:3000/live"), "servername": servername});
        let answer = caller.call(&live).await?;
        ensure!(answer["error"].is_string() || answer["status"] == 401, "{answer}");

        // By the probes' own paths: a status, and nothing of the application; nothing of the caller arrives there.
        for index in 0..3 {
            let (status, body) =
                request(&format!("{address}:15920"), Method::GET, &format!("/probe/{index}"), String::new()).await?;
            ensure!(status == 200 && !body.contains("secret"), "{index}: {status} {body}");
        }
        for (method, path) in [
            (Method::GET, "/probe/3"),
            (Method::GET, "/probe/0/../../live"),
            (Method::GET, "/probe/0?path=/fail"),
            (Method::POST, "/probe/0"),
            (Method::GET, "/fail"),
            (Method::GET, "/live"),
        ] {
            let (status, body) = request(&format!("{address}:15920"), method.clone(), path, String::new()).await?;
            ensure!(!body.contains("secret"), "{method} {path}: {status} {body}");
        }
        let log = scene.log("probed").await?;
        let asked: Vec<&str> =
            log.iter().filter(|line| line["port"] == 3000).filter_map(|line| line["url"].as_str()).collect();
        ensure!(!asked.is_empty() && asked.iter().all(|url| *url == "/live"), "{asked:?}");
        ensure!(
            log.iter().filter(|line| line["port"] == 3000).all(|line| line["headers"]["x-probe"].is_string()),
            "{log:?}"
        );
        failing_liveness(scene, &address).await
    })
    .await
}

/// An allowed request makes the application sick, and the kubelet restarts it: it alone.
async fn failing_liveness(scene: &Scene<'_>, address: &str) -> anyhow::Result<()> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "probed"},
        "spec": {"selector": {"app": "probed"}, "ports": [{"port": 3000}]},
    });
    scene.apply(&service).await?;
    let caller = scene.caller().await?;
    let servername = format!("probed.{}.svc", scene.namespace.name);
    let fail = json!({"url": format!("https://{address}:3000/fail"), "servername": servername});
    eventually(PATIENCE, "the certificate has the Service's name", async || {
        let answer = caller.call(&fail).await?;
        ensure!(answer["status"] == 200, "{answer}");
        Ok(())
    })
    .await?;
    eventually(PATIENCE, "the application is restarted", async || {
        let count = "{.status.containerStatuses[?(@.name==\"app\")].restartCount}";
        ensure!(scene.pod("probed", count).await? == "1");
        Ok(())
    })
    .await?;
    let sidecar = "{.status.initContainerStatuses[?(@.name==\"doorward\")].restartCount}";
    ensure!(scene.pod("probed", sidecar).await? == "0");
    scene.rolled_out("probed").await
}

#[tokio::test]
async fn a_hook_on_a_protected_port_is_refused_with_the_cure() -> anyhow::Result<()> {
    scene("hooks", async |scene| {
        let pod = |port: u16| {
            let mut pod = probed()["spec"]["template"].take();
            pod["apiVersion"] = json!("v1");
            pod["kind"] = json!("Pod");
            pod["metadata"]["name"] = json!("hooked");
            pod["metadata"]["annotations"]["doorward.dev/ports"] = json!("3001,3002");
            pod["spec"]["containers"][0]["lifecycle"] =
                json!({"postStart": {"httpGet": {"path": "/started", "port": port}}});
            pod
        };
        let answer = scene.try_apply(&pod(3001)).await?;
        ensure!(!answer.status.success() && answer.stderr.contains("`exec`"), "{}", answer.stderr);
        // Elsewhere it works. The kubelet does not try a hook again, so the application has to be there at once.
        let mut elsewhere = pod(3000);
        elsewhere["spec"]["containers"][0]["lifecycle"] =
            json!({"preStop": {"httpGet": {"path": "/stopped", "port": 3000}}});
        elsewhere["spec"]["containers"][0]["livenessProbe"].take();
        scene.apply(&elsewhere).await?;
        for (name, port) in [("grpc", 3001), ("tcp", 3002)] {
            let rules = json!([{"path": "/nothing", "allow": "Authenticated"}]);
            scene.policy(name, "probed", json!({"port": port, "tls": {"mode": "Mutual"}, "rules": rules})).await?;
        }
        scene.kubectl(&["wait", "--for=condition=Ready", "pod/hooked", "--timeout=120s"]).await?;
        let address = scene.pod("probed", "{.status.podIP}").await?;
        let (status, _) = request(&format!("{address}:3000"), Method::GET, "/open", String::new()).await?;
        ensure!(status == 200, "a port that is not protected is as before: {status}");
        let follow = scene.kubectl(&["logs", "hooked", "--container", "app", "--follow"]);
        let delete = scene.kubectl(&["delete", "pod", "hooked", "--wait=false"]);
        let (log, deleted) = tokio::join!(follow, delete);
        deleted?;
        let log = log?;
        ensure!(log.contains("/stopped"), "{log}");
        Ok(())
    })
    .await
}
