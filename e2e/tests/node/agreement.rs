//! What the status says and what happens to traffic agree, at every moment: looked at again and again while things change.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use e2e::figures::tell;
use e2e::wait::eventually;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::caller::Caller;
use crate::manifests::{merge, users};
use crate::scene::{PATIENCE, Scene, scene};

/// Between two samples.
const SAMPLE: std::time::Duration = std::time::Duration::from_millis(100);
/// Samples after a change, while the policy is enforced.
const LEAST: usize = 5;
/// How long the status may take to follow a pod, at most: it is written once a second (docs/operations.md), and a pod that is new may
/// listen before.
const FOLLOWS: std::time::Duration = std::time::Duration::from_secs(5);

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

/// Whether an answer is what the policy gives: who is let in may come before the application listens, and where nobody listens, as
/// in a pod that starts or ends, nobody is let in or refused.
fn agrees(answer: u64, wanted: u64) -> bool {
    answer == wanted || answer == 0 || (wanted == 200 && answer == 502)
}

/// The addresses of the pods that the policies select now, those that are ending included.
async fn selected(scene: &Scene<'_>) -> anyhow::Result<BTreeSet<String>> {
    let pods = scene.namespace.api::<Pod>().list(&ListParams::default().labels("app=users")).await?;
    Ok(pods.items.into_iter().filter_map(|pod| pod.status?.pod_ip).collect())
}

/// Samples while something is done, and some times after it: whenever the policy says `Enforced` before and after a request, the
/// answer of every pod that it selects is `wanted`, or one of both soon is otherwise.
async fn sampled(
    scene: &Scene<'_>,
    caller: &Caller,
    (policy, wanted): (&str, u64),
    change: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let done = AtomicBool::new(false);
    let enforced = async || scene.condition(policy, "Enforced").await.is_ok_and(|(status, _)| status == "True");
    let sampling = async {
        let mut ticks = tokio::time::interval(SAMPLE);
        let (mut samples, mut after) = ((0, 0), 0);
        while after < LEAST {
            ticks.tick().await;
            let ended = done.load(Ordering::Relaxed);
            let (before, pods) = (enforced().await, selected(scene).await?);
            let mut answers = Vec::new();
            for address in &pods {
                answers.push((address, seen(caller, address).await?));
            }
            // A pod that went out of the selection meanwhile may answer otherwise.
            let still = selected(scene).await?;
            if before && enforced().await {
                for (address, answer) in answers.into_iter().filter(|(address, _)| still.contains(*address)) {
                    samples.1 += 1;
                    if agrees(answer, wanted) {
                        continue;
                    }
                    eventually(FOLLOWS, "the status follows", async || {
                        let answer = seen(caller, address).await?;
                        let agree = agrees(answer, wanted) || !enforced().await;
                        ensure!(agree, "{policy} is enforced, and the answer of {address} is {answer}");
                        Ok(())
                    })
                    .await?;
                }
                after += usize::from(ended);
            }
            samples.0 += 1;
        }
        tell(&format!("{policy}: {} samples, {} answers of pods while it was enforced", samples.0, samples.1));
        Ok(())
    };
    let change = async {
        change.await?;
        done.store(true, Ordering::Relaxed);
        Ok(())
    };
    // Where it cannot be done, nobody waits for samples after it.
    let sampling = async { timeout(PATIENCE * 3, sampling).await.context("too few samples")? };
    tokio::try_join!(sampling, change).map(drop)
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
        sampled(scene, &caller, ("users", 200), async {
            scene.kubectl(&["label", "pod", &pod, "app=nobody", "--overwrite"]).await?;
            eventually(PATIENCE, "no policy, no way in", async || {
                let answer = seen(&caller, &address).await?;
                ensure!(answer != 200, "still let in");
                Ok(())
            })
            .await?;
            scene.rolled_out("users").await?;
            scene.enforced("users").await
        })
        .await?;
        ensure!(seen(&caller, &address).await? != 200, "let in without a policy");
        let other = scene.pod("users", "{.status.podIP}").await?;
        ensure!(other != address && seen(&caller, &other).await? == 200, "the new one is let in");
        Ok(())
    })
    .await
}
