//! An application that has callers gets its proxy, in the steps of docs/operations.md and under load.

use anyhow::ensure;
use e2e::figures::tell;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::first::rules;
use crate::manifests::users;
use crate::rolling::{LEAST, RATE, passed};
use crate::scene::{Scene, scene};

/// A step: the policy of now, on all pods.
async fn step(scene: &Scene<'_>, tls: &str) -> anyhow::Result<()> {
    scene.policy("users", "users", json!({"tls": {"mode": tls}, "rules": rules()})).await?;
    scene.enforced("users").await
}

/// Ends the load, of which nothing may be lost; the request after it is another step's.
async fn none_lost(caller: &Caller) -> anyhow::Result<()> {
    passed(caller, caller.counts().await?.number("ended") + LEAST).await?;
    let counts = caller.stop().await?;
    tell(&format!("migration: {}", counts.0));
    counts.none_lost(2 * LEAST)
}

#[tokio::test]
async fn no_step_of_the_way_loses_a_call_that_is_allowed() -> anyhow::Result<()> {
    scene("migration", async |scene| {
        let mut objects = users(2, &json!([{"name": "HOST", "value": "0.0.0.0"}]));
        let deployment = &mut objects["items"][0]["spec"];
        deployment["strategy"] = json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
        // Before it has the proxy it must itself outlive the moment until it gets no new connections.
        deployment["template"]["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 5}}});
        scene.apply(&objects).await?;
        scene.rolled_out("users").await?;
        let caller = scene.caller().await?;
        let call = |scheme: &str, headers: &Value, certificate: bool| {
            let url = format!("{scheme}://users.{}.svc:80/users", scene.namespace.name);
            json!({"url": url, "rate": RATE, "headers": headers, "certificate": certificate})
        };
        let (stranger, known) = (json!({}), json!({"authorization": format!("Bearer {}", scene.token("")?)}));

        // Callers as they always were, and one that the policy would refuse.
        let (plain, refused) = (call("http", &known, false), call("http", &stranger, false));
        caller.load(&plain).await?;
        passed(&caller, LEAST).await?;
        scene
            .policy("users", "users", json!({"mode": "Audit", "tls": {"mode": "Permissive"}, "rules": rules()}))
            .await?;
        scene.annotate("users", &json!({"doorward.dev/inject": "true"})).await?;
        scene.rolled_out("users").await?;
        scene.says("users", "Enforced", "False", "Audit").await?;
        ensure!(caller.outcome(&refused).await? == "200", "Audit refuses");
        step(scene, "Permissive").await?;
        ensure!(caller.outcome(&refused).await? == "401", "Enforce lets pass");
        none_lost(&caller).await?;

        // They were moved to TLS, and have certificates.
        caller.load(&call("https", &known, true)).await?;
        passed(&caller, LEAST).await?;
        step(scene, "Optional").await?;
        ensure!(caller.outcome(&plain).await? != "200", "Optional takes plain HTTP");
        ensure!(caller.outcome(&call("https", &known, false)).await? == "200", "Optional wants a certificate");
        step(scene, "Mutual").await?;
        ensure!(caller.outcome(&call("https", &known, false)).await? != "200", "Mutual wants no certificate");
        none_lost(&caller).await
    })
    .await
}
