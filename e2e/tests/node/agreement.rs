//! What the status says and what happens to traffic agree, at every moment: looked at again and again while things change.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::ensure;
use e2e::wait::eventually;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::manifests::{merge, users};
use crate::scene::{PATIENCE, Scene, scene};

/// Between two samples.
const SAMPLE: std::time::Duration = std::time::Duration::from_millis(100);

fn open() -> Value {
    json!({"tls": {"mode": "Permissive"}, "rules": [{"path": "/public/**", "allow": "Anonymous"}]})
}

fn closed() -> Value {
    json!({"tls": {"mode": "Permissive"}, "rules": [{"path": "/users/**", "allow": "Authenticated"}]})
}

async fn application(scene: &Scene<'_>, annotations: Value) -> anyhow::Result<()> {
    let mut objects = users(1, &json!([{"name": "HOST", "value": "0.0.0.0"}]));
    objects["items"][0]["spec"]["template"]["metadata"]["annotations"] = annotations;
    // Pods that are refused everything are not ready by their own probe; how the traffic is decided is asked at the pod.
    let container = &mut objects["items"][0]["spec"]["template"]["spec"]["containers"][0];
    merge(container, json!({"readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1}}));
    scene.apply(&objects).await.map(drop)
}

/// The status of `GET /public/hello` at the pod, in plain HTTP; 0 where it cannot be reached.
async fn seen(caller: &Caller, address: &str) -> anyhow::Result<u64> {
    let answer = caller.call(&json!({"url": format!("http://{address}:3000/public/hello")})).await?;
    Ok(answer["status"].as_u64().unwrap_or_default())
}

/// Whether an answer is what the policy gives: who is let in may come before the application listens, and who is not may find
/// nobody any more.
fn agrees(answer: u64, wanted: u64) -> bool {
    answer == wanted || (wanted == 200 && answer == 502) || (wanted != 200 && answer == 0)
}

/// Samples while something is done: whenever the policy says `Enforced` before and after a request, the answer is `wanted`.
async fn sampled(
    scene: &Scene<'_>,
    caller: &Caller,
    (policy, wanted): (&str, u64),
    change: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let done = AtomicBool::new(false);
    let address = scene.pod("users", "{.status.podIP}").await?;
    let enforced = async || scene.condition(policy, "Enforced").await.is_ok_and(|(status, _)| status == "True");
    let sampling = async {
        let mut ticks = tokio::time::interval(SAMPLE);
        let mut samples = (0, 0);
        while !done.load(Ordering::Relaxed) {
            ticks.tick().await;
            let before = enforced().await;
            let answer = seen(caller, &address).await?;
            if before && enforced().await {
                ensure!(agrees(answer, wanted), "{policy} is enforced, and the answer is {answer}");
                samples.1 += 1;
            }
            samples.0 += 1;
        }
        ensure!(samples.0 > 0, "no sample");
        eprintln!("{policy}: {} samples, {} of them enforced", samples.0, samples.1);
        Ok(())
    };
    let change = async {
        let result = change.await;
        done.store(true, Ordering::Relaxed);
        result
    };
    let (sampled, changed) = tokio::join!(sampling, change);
    changed.and(sampled)
}

#[tokio::test]
async fn a_pod_before_its_policy() -> anyhow::Result<()> {
    scene("podfirst", async |scene| {
        let caller = scene.caller().await?;
        application(scene, json!({"doorward.dev/inject": "true"})).await?;
        let address = scene.pod("users", "{.status.podIP}").await?;
        // Nobody said who may call, nor whether without TLS: 400 without it, and no way in.
        eventually(PATIENCE, "it is refused", async || {
            let answer = seen(&caller, &address).await?;
            ensure!(answer == 400, "{answer}");
            Ok(())
        })
        .await?;
        sampled(scene, &caller, ("users", 200), async {
            scene.policy("users", "users", open()).await?;
            scene.enforced("users").await?;
            scene.rolled_out("users").await
        })
        .await?;
        ensure!(seen(&caller, &address).await? == 200, "enforced, and not let in");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_without_the_proxy_is_not_enforced() -> anyhow::Result<()> {
    scene("without", async |scene| {
        let caller = scene.caller().await?;
        application(scene, json!({})).await?;
        scene.policy("users", "users", closed()).await?;
        scene.says("users", "Enforced", "False", "NotInjected").await?;
        sampled(scene, &caller, ("users", 403), async {
            scene.annotate("users", &json!({"doorward.dev/inject": "true"})).await?;
            scene.rolled_out("users").await?;
            scene.enforced("users").await
        })
        .await?;
        let address = scene.pod("users", "{.status.podIP}").await?;
        ensure!(seen(&caller, &address).await? == 403);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn two_policies_on_one_port() -> anyhow::Result<()> {
    scene("two", async |scene| {
        let caller = scene.caller().await?;
        scene.policy("older", "users", closed()).await?;
        application(scene, json!({"doorward.dev/inject": "true"})).await?;
        scene.enforced("older").await?;
        sampled(scene, &caller, ("older", 403), async {
            scene.policy("younger", "users", open()).await?;
            scene.says("younger", "Enforced", "False", "Conflicted").await?;
            scene.says("younger", "Conflicted", "True", "SamePort").await?;
            scene.says("older", "Conflicted", "True", "SamePort").await
        })
        .await?;
        let address = scene.pod("users", "{.status.podIP}").await?;
        ensure!(seen(&caller, &address).await? == 403, "the older one rules");
        scene.kubectl(&["delete", "aap", "older"]).await?;
        scene.enforced("younger").await?;
        ensure!(agrees(seen(&caller, &address).await?, 200), "the younger one is enforced");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_relabelled_out_of_its_policy() -> anyhow::Result<()> {
    scene("relabel", async |scene| {
        let caller = scene.caller().await?;
        application(scene, json!({"doorward.dev/inject": "true"})).await?;
        scene.policy("users", "users", open()).await?;
        scene.enforced("users").await?;
        scene.rolled_out("users").await?;
        let pod = scene.pod("users", "{.metadata.name}").await?;
        let address = scene.pod("users", "{.status.podIP}").await?;
        ensure!(seen(&caller, &address).await? == 200);
        // The Deployment makes another one in its place, which the policy selects.
        scene.kubectl(&["label", "pod", &pod, "app=nobody", "--overwrite"]).await?;
        eventually(PATIENCE, "no policy, no way in", async || {
            let answer = seen(&caller, &address).await?;
            ensure!(answer != 200, "still let in");
            Ok(())
        })
        .await?;
        scene.rolled_out("users").await?;
        scene.enforced("users").await?;
        ensure!(seen(&caller, &address).await? != 200, "let in without a policy");
        let other = scene.pod("users", "{.status.podIP}").await?;
        ensure!(other != address && seen(&caller, &other).await? == 200, "the new one is let in");
        Ok(())
    })
    .await
}
