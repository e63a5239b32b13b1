//! Trouble at any moment: the operator is killed, its connections are cut (R5 and R7 of the reliability targets).

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::faulty::Faulty;
use e2e::figures::tell;
use e2e::limits::{PATIENCE, times};
use e2e::load::Load;
use e2e::namespace::{Namespace, alone};
use e2e::relay::Relay;
use e2e::wait::eventually;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::api::ListParams;
use tokio::time::{Instant, sleep};

use crate::installed::{Installed, USERS};
use crate::leader::API_SERVER;

/// Connections to each sidecar.
const CONNECTIONS: usize = 2;
/// R5: everything is in step so long after the operator started again.
const IN_STEP: Duration = Duration::from_secs(30);
/// R7: how often connections are cut.
const CUT: Duration = Duration::from_secs(5);

/// A moment within a time, by chance: what is to be found is where it hurts.
fn moment(within: Duration) -> Duration {
    let chance = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or(0);
    within.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

/// What the operator keeps in its namespace; made once and never again.
async fn kept(namespace: &Namespace) -> anyhow::Result<BTreeSet<String>> {
    let all = ListParams::default();
    let mut kept = BTreeSet::new();
    for lease in namespace.api::<Lease>().list(&all).await? {
        kept.insert(format!("lease {}", lease.name_any()));
    }
    for secret in namespace.api::<Secret>().list(&all).await? {
        kept.insert(format!("secret {} {}", secret.name_any(), secret.uid().unwrap_or_default()));
    }
    for map in namespace.api::<ConfigMap>().list(&all).await? {
        kept.insert(format!("map {} {}", map.name_any(), map.uid().unwrap_or_default()));
    }
    Ok(kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_killed_at_any_moment_comes_back_in_step() -> anyhow::Result<()> {
    alone("killed", async |namespace| {
        let (mut installed, mut operator) = Installed::with_sidecars(namespace, 2).await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        let before = kept(namespace).await?;
        let load = Load::start(&installed.targets()?, CONNECTIONS, &installed.history);
        let rounds = times(4, 100);
        let mut took = Vec::new();
        for round in 0..rounds {
            // The change finds it at any point of its work, its start included.
            let early = round % 2 == 0;
            if early {
                installed.apply_next().await?;
            }
            sleep(moment(Duration::from_millis(400))).await;
            operator.process.kill()?;
            if !early {
                installed.apply_next().await?;
            }
            let begun = Instant::now();
            operator = installed.installation.start("op-1", 0, None)?;
            installed.in_force_since(begun, IN_STEP).await?;
            installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
            ensure!(begun.elapsed() <= IN_STEP, "the status was late: {:?}", begun.elapsed());
            took.push(begun.elapsed());
        }
        let summary = load.end().await?;
        took.sort();
        let (median, most) = (took[took.len() / 2], took.last().context("no round")?);
        tell(&format!(
            "R5: killed {rounds} times: in step after {median:.1?} (median), {most:.1?} (most); {summary:?}"
        ));
        assert_eq!(kept(namespace).await?, before, "objects were made anew");
        let status = installed.status(USERS).await?;
        assert_eq!(status["replicas"].as_array().map(Vec::len), Some(1), "{status:#}");
        installed.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_are_cut_again_and_again_end_in_the_same_state() -> anyhow::Result<()> {
    alone("cut", async |namespace| {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let relay = Relay::start(any, vec![API_SERVER.into()]).await?;
        let mut installed = Installed::new(namespace).await?;
        let server = format!("https://{}", relay.address);
        let _operator = installed.installation.start("op-1", 0, Some(&server))?;
        installed.apply_next().await?;
        installed.add_sidecars(2).await?;
        installed.ready().await?;
        let load = Load::start(&installed.targets()?, CONNECTIONS, &installed.history);
        let (cuts, begun) = (times(3, 24), Instant::now());
        let mut took = Vec::new();
        for cut in 1..=cuts {
            let at = begun + CUT * u32::try_from(cut)?;
            while Instant::now() < at {
                let changed = Instant::now();
                installed.apply_next().await?;
                took.extend(installed.in_force_since(changed, IN_STEP).await?);
                sleep(moment(Duration::from_secs(1))).await;
            }
            // And one that may be on its way just then.
            installed.apply_next().await?;
            relay.cut();
        }
        installed.in_force_since(Instant::now(), IN_STEP).await?;
        let summary = load.end().await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        // A pod that goes while nobody watches is seen to be gone.
        installed.relabel("users-1", "other").await?;
        relay.cut();
        eventually(PATIENCE, "the status counts the pod that is left", async || {
            let status = installed.status(USERS).await?;
            ensure!(status["summary"]["pods"] == "1/1", "{status:#}");
            Ok(())
        })
        .await?;
        ensure!(relay.accepted() > cuts, "the operator does not use the relay");
        took.sort();
        tell(&format!(
            "R7: cut {cuts} times: {} changes in force after {:.0?} (most); {summary:?}",
            took.len(),
            took.last()
        ));
        installed.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_answers_with_faults_ends_in_the_same_state() -> anyhow::Result<()> {
    alone("faults", async |namespace| {
        let mut installed = Installed::new(namespace).await?;
        let faulty = Faulty::start(installed.installation.client().await?).await?;
        let server = format!("http://{}", faulty.address);
        let _operator = installed.installation.start("op-1", 0, Some(&server))?;
        installed.apply_next().await?;
        installed.add_sidecars(2).await?;
        installed.ready().await?;
        let load = Load::start(&installed.targets()?, CONNECTIONS, &installed.history);
        // Which requests meet a fault is by chance: the trouble goes on until there was enough of it.
        let (least, mut changes, mut took) = (times(8, 100), 0, Vec::new());
        let is_enough = |changes| changes >= least && faulty.faults() >= least / 2 && faulty.repeated() >= least;
        while !is_enough(changes) {
            ensure!(changes < 10 * least, "{} faults, {} events told again", faulty.faults(), faulty.repeated());
            took.extend(installed.change_within(IN_STEP).await?);
            // Each of them makes watches begin anew: what was seen stays in force meanwhile.
            sleep(moment(Duration::from_millis(500))).await;
            changes += 1;
        }
        let summary = load.end().await?;
        let faults = faulty.faults();
        faulty.is_well();
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        let status = installed.status(USERS).await?;
        assert_eq!((&status["summary"]["pods"], status["replicas"].as_array().map(Vec::len)), (&"2/2".into(), Some(1)));
        took.sort();
        tell(&format!(
            "R7: {faults} answers of 410, 429 and 500, {} events told again: {changes} changes in force after {:.0?} (most); {summary:?}",
            faulty.repeated(),
            took.last()
        ));
        installed.end().await
    })
    .await
}
