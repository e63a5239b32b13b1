//! Restarts, upgrades and renewals under load: no request is lost.

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::figures::tell;
use e2e::limits::times;
use e2e::wait::eventually;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::first::rules;
use crate::manifests::users;
use crate::release::{rollback, upgrade};
use crate::scene::{PATIENCE, Scene, operator, scene};

/// Requests a second: what two cores carry beside the node, with a TLS handshake for every fourth.
pub(crate) const RATE: u64 = 120;
/// The same where nothing else runs, for a recorded run.
const MOST_RATE: u64 = 300;
/// Requests before each fault and after it.
pub(crate) const LEAST: u64 = 500;

/// Two protected replicas and a caller that calls them again and again, with its own certificate and a token.
async fn under_load(scene: &Scene<'_>, fault: impl AsyncFnOnce(&Caller) -> anyhow::Result<()>) -> anyhow::Result<()> {
    under(scene, 2 * LEAST, fault).await
}

/// The same, until so many requests have ended.
async fn under(
    scene: &Scene<'_>,
    requests: u64,
    fault: impl AsyncFnOnce(&Caller) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut objects = users(2, &json!([{"name": "HOST", "value": "0.0.0.0"}]));
    objects["items"][0]["spec"]["template"]["metadata"]["annotations"] = json!({"doorward.dev/inject": "true"});
    objects["items"][0]["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
    scene.policy("users", "users", json!({"tls": {"mode": "Mutual"}, "rules": rules()})).await?;
    scene.apply(&objects).await?;
    scene.rolled_out("users").await?;
    scene.enforced("users").await?;
    let caller = scene.caller().await?;
    let url = format!("https://users.{}.svc:80/users", scene.namespace.name);
    let token = format!("Bearer {}", scene.token("")?);
    caller.load(&json!({"url": url, "rate": times(RATE, MOST_RATE), "headers": {"authorization": token}})).await?;
    passed(&caller, LEAST).await?;
    let result = fault(&caller).await;
    let after = caller.counts().await?.number("ended");
    passed(&caller, after + LEAST).await?;
    while caller.counts().await?.number("ended") < requests {
        passed(&caller, caller.counts().await?.number("ended") + LEAST).await?;
    }
    let counts = caller.stop().await?;
    tell(&format!("{}: {}", scene.namespace.name, counts.0));
    result?;
    counts.none_lost(requests)
}

/// Waits until so many requests have ended.
pub(crate) async fn passed(caller: &Caller, number: u64) -> anyhow::Result<()> {
    eventually(PATIENCE, "the load goes on", async || {
        let counts = caller.counts().await?;
        ensure!(counts.number("ended") >= number, "{}", counts.0);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing() -> anyhow::Result<()> {
    scene("rolling", async |scene| under_load(scene, async |_| restarted(scene).await).await).await
}

/// Every pod is replaced, and the last of the old ones is gone.
async fn restarted(scene: &Scene<'_>) -> anyhow::Result<()> {
    scene.kubectl(&["rollout", "restart", "deployment/users"]).await?;
    scene.rolled_out("users").await?;
    eventually(PATIENCE, "two pods", async || {
        let names = scene.kubectl(&["get", "pods", "-l", "app=users", "-o", "name"]).await?;
        ensure!(names.lines().count() == 2, "{names}");
        Ok(())
    })
    .await
}

/// A release with another image of the sidecar: pods get it when they are made anew.
#[tokio::test]
async fn an_upgrade_of_the_sidecar_loses_nothing() -> anyhow::Result<()> {
    scene("sidecars", async |scene| {
        let images = async || {
            scene.kubectl(&["get", "pods", "-l", "app=users", "-o", "jsonpath={..initContainers[*].image}"]).await
        };
        let upgraded = under_load(scene, async |_| {
            ensure!(!images().await?.contains("sidecar:next"), "{}", images().await?);
            upgrade(&["--set", "images.sidecar.tag=next"]).await?;
            restarted(scene).await?;
            let images = images().await?;
            ensure!(images.matches("sidecar:next").count() == 2, "{images}");
            scene.enforced("users").await
        })
        .await;
        rollback().await?;
        upgraded
    })
    .await
}

/// Upgrade, rollback, and what neither may touch.
#[tokio::test]
async fn an_upgrade_of_the_operator_loses_nothing_and_keeps_the_webhooks() -> anyhow::Result<()> {
    scene("upgrade", async |scene| {
        let before = bundles().await?;
        ensure!(before.iter().all(|bundle| !bundle.is_empty()), "no caBundle");
        under_load(scene, async |_| {
            upgrade(&["--set", "log.level=debug"]).await?;
            ensure!(bundles().await? == before, "the upgrade changed caBundle");
            scene.enforced("users").await?;
            rollback().await?;
            ensure!(bundles().await? == before, "the rollback changed caBundle");
            scene.enforced("users").await
        })
        .await
    })
    .await
}

async fn bundles() -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
        let text = operator(&[
            "get",
            kind,
            "doorward",
            "-o",
            "jsonpath={range .webhooks[*]}{.clientConfig.caBundle}{\"\\n\"}{end}",
        ])
        .await?;
        found.extend(text.lines().map(str::to_owned));
    }
    ensure!(found.len() == 3, "{} webhooks", found.len());
    Ok(found)
}

/// Changes of the policy, new certificates and rolling restarts in turn; with `DOORWARD_FULL=1` as often as R3 of the promises says.
#[tokio::test]
async fn all_changes_together_lose_nothing() -> anyhow::Result<()> {
    scene("together", async |scene| {
        under(scene, times(2 * LEAST, 100_000), async |caller| {
            for round in 0..times(1, 10) {
                for change in 0..times(2, 5) {
                    let mut rules = rules();
                    let path = format!("/changes/{round}/{change}");
                    rules.as_array_mut().context("rules")?.push(json!({"path": path, "allow": "Authenticated"}));
                    scene.policy("users", "users", json!({"tls": {"mode": "Mutual"}, "rules": rules})).await?;
                    scene.enforced("users").await?;
                }
                for name in 0..2 {
                    another_name(scene, caller, &format!("more-{round}-{name}")).await?;
                }
                restarted(scene).await?;
            }
            Ok(())
        })
        .await
    })
    .await
}

/// A Service more is a name more, for which the sidecars fetch a new certificate.
async fn another_name(scene: &Scene<'_>, caller: &Caller, name: &str) -> anyhow::Result<()> {
    let before = caller.counts().await?.certificates();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": "users"}, "ports": [{"port": 80, "targetPort": "http"}]},
    });
    scene.apply(&service).await?;
    renewed(caller, before).await
}

#[tokio::test]
async fn a_new_certificate_loses_nothing() -> anyhow::Result<()> {
    scene("renew", async |scene| {
        under_load(scene, async |caller| {
            ensure!(caller.counts().await?.certificates() == 2, "not one certificate for each pod");
            another_name(scene, caller, "more").await
        })
        .await
    })
    .await
}

/// The built-in CA, rotated as the operator does it: told to everybody, then used. Twice.
#[tokio::test]
async fn a_rotation_of_the_ca_loses_nothing() -> anyhow::Result<()> {
    scene("rotate", async |scene| {
        for round in ["one", "two"] {
            // A caller lives through one rotation: its certificate is of a CA that is told for a day, and is not renewed so soon.
            scene.kubectl(&["delete", "deployment", "caller", "--ignore-not-found"]).await?;
            under_load(scene, async |caller| rotate(scene, caller, round).await).await?;
        }
        Ok(())
    })
    .await
}

/// Only time makes a rotation due, so the Secret tells of a next CA that is old enough.
async fn rotate(scene: &Scene<'_>, caller: &Caller, name: &str) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("Doorward {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = true;
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2090, 1, 1);
    let certificate = params.self_signed(&key)?.pem();
    let before = caller.counts().await?.certificates();
    secret(&json!({
        "next.crt": certificate, "next.key": key.serialize_pem(), "next.since": jiff::Timestamp::now().to_string(),
    }))
    .await?;
    let body = certificate.lines().nth(1).context("a certificate in PEM")?.to_owned();
    // Each replica looks twice a minute, and then tells its sidecars.
    renewed(caller, before).await?;
    // Agents learn of it with their next certificate, which is due within the 30 days that it is told before it signs.
    eventually(PATIENCE, "the caller knows the next CA", async || {
        let files = caller.files().await?;
        if files["ca"].as_str().is_some_and(|ca| ca.contains(&body)) {
            return Ok(());
        }
        // The replica that it asked may not have known either; while it starts it cannot be killed.
        let again = if files["ca"].is_string() { scene.renew_caller().await } else { Ok(()) };
        bail!("not yet; {again:?}")
    })
    .await?;
    let before = caller.counts().await?.certificates();
    secret(&json!({"next.since": "2020-01-01T00:00:00Z"})).await?;
    renewed(caller, before).await?;
    eventually(PATIENCE, "it signs", async || {
        let bundle = operator(&["get", "configmap", "doorward-ca", "-o", "jsonpath={.data.ca\\.crt}"]).await?;
        ensure!(bundle.lines().nth(1) == Some(&body), "{bundle}");
        Ok(())
    })
    .await
}

/// Waits until both servers have another certificate.
async fn renewed(caller: &Caller, before: usize) -> anyhow::Result<()> {
    eventually(PATIENCE, "new certificates of the servers", async || {
        let counts = caller.counts().await?;
        ensure!(counts.certificates() >= before + 2, "{before} before: {}", counts.0);
        Ok(())
    })
    .await
}

async fn secret(data: &Value) -> anyhow::Result<()> {
    let coded: serde_json::Map<String, Value> = data
        .as_object()
        .context("no object")?
        .iter()
        .map(|(name, text)| (name.clone(), json!(STANDARD.encode(text.as_str().unwrap_or_default()))))
        .collect();
    let patch = json!({"data": coded}).to_string();
    operator(&["patch", "secret", "doorward-ca", "--type=merge", "--patch", &patch]).await.map(drop)
}
