//! Keys of providers that change: tokens are accepted anew, and `Enforced` does not move.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::figures::tell;
use e2e::limits::PATIENCE;
use e2e::load::rules;
use e2e::namespace::{Namespace, alone};
use e2e::provider::{API, Provider};
use e2e::wait::eventually;
use futures_util::{StreamExt, pin_mut};
use jiff::{SignedDuration, Timestamp};
use kube::api::{WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::installed::{Installed, USERS, condition, spec};

/// Between two fetches because of unknown keys, as the operator keeps it.
const UNKNOWN_KEY: SignedDuration = SignedDuration::from_secs(10);
/// R10: the new key of a provider that rotates without overlap is accepted after so long.
const ROTATED: Duration = Duration::from_secs(5);

/// A policy with one issuer whose keys are fetched, and one whose keys stand in a ConfigMap.
fn issuers(generation: u64, fetched: &Provider, held: &Provider) -> Value {
    let mut rules = rules(generation);
    if let Some(rules) = rules.as_array_mut() {
        rules.push(json!({"path": "/me", "allow": "Authenticated"}));
    }
    let mut spec = spec(rules);
    spec["issuers"] = json!([
        {"name": "fetched", "issuer": fetched.issuer, "audiences": [API],
            "keys": {"caBundle": {"configMapName": "provider", "key": "ca.crt"}}},
        {"name": "held", "issuer": held.issuer, "audiences": [API],
            "keys": {"configMapName": "provider", "key": "jwks.json"}},
    ]);
    spec
}

/// What the policy of [`issuers`] refers to, as it is now.
pub(crate) async fn publish(namespace: &Namespace, fetched: &Provider, held: &Provider) -> anyhow::Result<()> {
    let data = json!({"ca.crt": fetched.ca, "jwks.json": held.jwks().to_string()});
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "provider"}, "data": data});
    let parameters = kube::api::PatchParams::apply("doorward-e2e").force();
    let maps = namespace.api::<k8s_openapi::api::core::v1::ConfigMap>();
    maps.patch("provider", &parameters, &kube::api::Patch::Apply(&object)).await?;
    Ok(())
}

/// The next generation of the policy, with both issuers, in force everywhere and its tokens accepted.
pub(crate) async fn apply(installed: &mut Installed<'_>, fetched: &Provider, held: &Provider) -> anyhow::Result<()> {
    apply_at_once(installed, fetched, held).await?;
    installed.ready().await?;
    accepted(installed, fetched).await?;
    accepted(installed, held).await
}

/// The next generation of the policy, with both issuers.
pub(crate) async fn apply_at_once(
    installed: &mut Installed<'_>,
    fetched: &Provider,
    held: &Provider,
) -> anyhow::Result<()> {
    installed.generation += 1;
    installed.history.begins(installed.generation);
    installed.apply(USERS, &issuers(installed.generation, fetched, held)).await
}

/// Waits until every sidecar accepts a provider's present tokens.
pub(crate) async fn accepted(installed: &Installed<'_>, provider: &Provider) -> anyhow::Result<()> {
    let token = provider.token("alice")?;
    for target in installed.targets()? {
        eventually(PATIENCE, "a token of the present key is accepted", async || {
            let answer = target.get_as(&token, "/me").await?;
            ensure!(answer.status == 200, "{answer:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Waits until the last fetch is so long ago.
async fn fetched_before(installed: &Installed<'_>, time: SignedDuration) -> anyhow::Result<()> {
    eventually(PATIENCE, "the last fetch is some seconds ago", async || {
        let status = installed.status(USERS).await?;
        let last = status.pointer("/issuers/0/lastFetch").and_then(Value::as_str).context("none yet")?;
        let age = Timestamp::now().duration_since(last.parse()?);
        // The status counts whole seconds.
        ensure!(age > time + SignedDuration::from_secs(1), "{age}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_keys_is_picked_up_and_does_not_touch_enforced() -> anyhow::Result<()> {
    alone("rotation", async |namespace| {
        let (fetched, held) = (Provider::start().await?, Provider::start().await?);
        publish(namespace, &fetched, &held).await?;
        let (mut installed, _operator) = Installed::with_sidecars(namespace, 2).await?;
        apply(&mut installed, &fetched, &held).await?;
        let before = installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        let seen = Arc::new(tokio::sync::Mutex::new(Vec::new()));
        let version = namespace.policies().get(USERS).await?.metadata.resource_version.context("no version")?;
        let watching = tokio::spawn(watch(namespace.clone(), version, Arc::clone(&seen)));

        // Providers are asked because of unknown keys once in ten seconds at most: what is measured begins after that.
        fetched_before(&installed, UNKNOWN_KEY).await?;
        let old = [fetched.token("alice")?, held.token("alice")?];
        fetched.rotate()?;
        held.rotate()?;
        publish(namespace, &fetched, &held).await?;
        let begun = Instant::now();
        accepted(&installed, &fetched).await?;
        let took = begun.elapsed();
        ensure!(took <= ROTATED, "new keys were accepted after {took:?}");
        tell(&format!(
            "R10: without overlap, the first token of the new key was accepted on 2 sidecars after {took:.1?}"
        ));
        accepted(&installed, &held).await?;
        // What is not told any more is not accepted any more: both were rotated without overlap.
        for (target, token) in installed.targets()?.iter().zip(&old) {
            let answer = target.get_as(token, "/me").await?;
            assert_eq!((answer.status.as_u16(), answer.code()), (401, "token_invalid"));
        }
        eventually(PATIENCE, "the status tells of the fetch", async || {
            ensure!(!seen.lock().await.is_empty(), "no status was written since");
            Ok(())
        })
        .await?;
        assert_eq!(installed.condition(USERS, "Enforced", ("True", "Enforced")).await?, before);
        watching.abort();
        let seen = seen.lock().await;
        assert!(seen.iter().all(|enforced| *enforced == before), "{before} became {seen:#?}");
        installed.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_source_of_the_same_keys_locks_nobody_out() -> anyhow::Result<()> {
    alone("source", async |namespace| {
        let (fetched, held) = (Provider::start().await?, Provider::start().await?);
        publish(namespace, &fetched, &held).await?;
        let (mut installed, _operator) = Installed::with_sidecars(namespace, 2).await?;
        apply(&mut installed, &fetched, &held).await?;
        let (token, fetches) = (fetched.token("alice")?, fetched.fetches());
        let targets = installed.targets()?;
        let changed = async {
            for path in ["/keys", "/keys?again", "/keys"] {
                installed.generation += 1;
                installed.history.begins(installed.generation);
                let mut spec = issuers(installed.generation, &fetched, &held);
                spec["issuers"][0]["keys"]["jwksURL"] = json!(format!("{}{path}", fetched.issuer));
                installed.apply(USERS, &spec).await?;
                installed.in_force(PATIENCE).await?;
            }
            anyhow::Ok(())
        };
        let asked = async {
            let mut asked = 0;
            loop {
                for target in &targets {
                    let answer = target.get_as(&token, "/me").await?;
                    ensure!(answer.status == 200, "request {asked}: {answer:?}");
                    asked += 1;
                }
            }
        };
        tokio::select! {
            done = changed => done?,
            refused = asked => return refused.map(|()| drop(installed)),
        }
        ensure!(fetched.fetches() > fetches + 1, "the new sources were not asked");
        installed.end().await
    })
    .await
}

/// Every `Enforced` that is written from a version on.
async fn watch(namespace: Namespace, version: String, seen: Arc<tokio::sync::Mutex<Vec<Value>>>) -> anyhow::Result<()> {
    let policies = namespace.policies();
    let events = policies.watch(&WatchParams::default(), &version).await?;
    pin_mut!(events);
    while let Some(event) = events.next().await {
        if let WatchEvent::Modified(object) = event? {
            let status = object.data.get("status").cloned().unwrap_or_default();
            seen.lock().await.push(condition(&status, "Enforced"));
        }
    }
    Ok(())
}
