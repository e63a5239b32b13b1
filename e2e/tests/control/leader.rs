//! Two replicas, of which the leader stops: killed, and frozen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use e2e::audit::Entry;
use e2e::figures::tell;
use e2e::installation::Replica;
use e2e::limits::{PATIENCE, times};
use e2e::load::Load;
use e2e::namespace::alone;
use e2e::relay::Relay;
use e2e::wait::eventually;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

use crate::installed::{Installed, USERS, condition};

/// The Lease of the leader, and the owner of what it writes.
const LEADER: &str = "doorward-operator";
/// R8: status goes on so long after the leader stopped.
const FAILOVER: Duration = Duration::from_secs(20);
/// Where the API server of the tests is.
pub(crate) const API_SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 6443);
/// Each replica writes once in a second, and the leader after it.
const SUMMED_UP: Duration = Duration::from_secs(5);
/// A stream without a line for so long is dead to the sidecar, which then goes to another replica.
const SILENCE: Duration = Duration::from_secs(60);

async fn leader(installed: &Installed<'_>) -> anyhow::Result<String> {
    let lease = installed.namespace.api::<Lease>().get(LEADER).await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity).filter(|holder| !holder.is_empty());
    holder.context("nobody leads")
}

/// Waits until the leader renews its Lease.
async fn renewed(installed: &Installed<'_>) -> anyhow::Result<()> {
    let leases = installed.namespace.api::<Lease>();
    let time = async || anyhow::Ok(leases.get(LEADER).await?.spec.and_then(|spec| spec.renew_time));
    let before = time().await?;
    eventually(PATIENCE, "the leader renews its Lease", async || {
        ensure!(time().await? != before, "it does not");
        Ok(())
    })
    .await
}

/// Waits until the status is about the newest generation.
async fn told(installed: &Installed<'_>, patience: Duration) -> anyhow::Result<()> {
    eventually(patience, "the status is about the newest generation", async || {
        let object = installed.namespace.policies().get(USERS).await?;
        let status = object.data.get("status").cloned().unwrap_or_default();
        let accepted = condition(&status, "Accepted");
        ensure!(accepted["observedGeneration"].as_i64() == object.metadata.generation, "{status:#}");
        Ok(())
    })
    .await
}

/// In each lease term only one replica writes what the leader writes.
fn one_writer(requests: &[Entry]) -> anyhow::Result<(usize, usize)> {
    let mut requests: Vec<&Entry> = requests.iter().collect();
    requests.sort_by(|one, other| one.time.cmp(&other.time));
    let (mut terms, mut writes, mut holder) = (0, 0, "");
    for entry in requests {
        let is_lease = entry.resource == "leases" && entry.name == LEADER;
        let changes = matches!(entry.verb.as_str(), "create" | "update" | "patch" | "delete");
        if is_lease && changes && entry.code < 300 && entry.user_agent != holder {
            (holder, terms) = (&entry.user_agent, terms + 1);
        }
        let own = entry.field_manager.as_deref() == Some(LEADER);
        let is_write = match entry.resource.as_str() {
            "apiauthpolicies/status" | "configmaps" => own,
            "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" | "events" => true,
            "secrets" => entry.verb == "update",
            _ => false,
        };
        if is_write && changes {
            ensure!(entry.user_agent == holder, "in the term of `{holder}`: {entry:#?}");
            writes += 1;
        }
    }
    Ok((terms, writes))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_leads_within_twenty_seconds_and_never_two_at_once() -> anyhow::Result<()> {
    alone("leader", async |namespace| {
        let mut installed = Installed::new(namespace).await?;
        let mut replicas =
            vec![installed.installation.start("op-1", 1, None)?, installed.installation.start("op-2", 2, None)?];
        let first = eventually(PATIENCE, "somebody leads", async || leader(&installed).await).await?;
        // All sidecars at the one that does not lead: the leader knows of them by what the other wrote.
        let (leads, follows): (Vec<&Replica>, Vec<&Replica>) = replicas.iter().partition(|one| one.name == first);
        let relay = Relay::start(SocketAddr::from(([0, 0, 0, 0], 8443)), ends(&follows)).await?;
        installed.apply_next().await?;
        installed.add_sidecars(4).await?;
        installed.ready().await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        let load = Load::start(&installed.targets()?, 1, &installed.history);
        let mut most = Duration::ZERO;
        for _ in 0..4 {
            let begun = Instant::now();
            installed.change().await?;
            installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
            most = most.max(begun.elapsed());
        }
        ensure!(most <= SUMMED_UP, "what the other replica said was summed up after {most:?}");
        tell(&format!("two replicas: `Enforced` at most {most:.1?} after the change"));
        // And all at the one that is to stop.
        relay.lead_to(ends(&leads));
        relay.cut();
        installed.change_within(PATIENCE).await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        relay.lead_to(ends(&replicas.iter().collect::<Vec<_>>()));

        // Killed, just after it renewed its Lease: that is what others have to wait for.
        renewed(&installed).await?;
        let stopped = take(&mut replicas, &leader(&installed).await?)?;
        let begun = Instant::now();
        let number = if stopped.name == "op-1" { 1 } else { 2 };
        let name = stopped.name.clone();
        stopped.process.kill()?;
        installed.apply_next().await?;
        installed.in_force_since(begun, FAILOVER).await?;
        let in_force = begun.elapsed();
        told(&installed, FAILOVER).await?;
        let failover = begun.elapsed();
        ensure!(failover <= FAILOVER, "the status went on after {failover:?}");
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        tell(&format!("R8: leader killed: a change in force after {in_force:.1?}, status after {failover:.1?}"));

        // Frozen: its connections stay open and nobody answers.
        replicas.push(installed.installation.start(&name, number, None)?);
        installed.change().await?;
        let frozen = take(&mut replicas, &leader(&installed).await?)?;
        frozen.process.signal("STOP")?;
        relay.lead_to(ends(&replicas.iter().collect::<Vec<_>>()));
        let begun = Instant::now();
        installed.apply_next().await?;
        told(&installed, FAILOVER).await?;
        let failover = begun.elapsed();
        ensure!(failover <= FAILOVER, "the status went on after {failover:?}");
        if times(0, 1) == 0 {
            // The network notices in the suite; the sidecar itself does in a recorded run.
            relay.cut();
        }
        installed.in_force_since(begun, SILENCE).await?;
        let in_force = begun.elapsed();
        tell(&format!("R8: leader frozen: status after {failover:.1?}, a change in force after {in_force:.1?}"));
        // It wakes up, and must not think that it still leads.
        frozen.process.signal("CONT")?;
        installed.apply_next().await?;
        told(&installed, PATIENCE).await?;
        installed.in_force(PATIENCE).await?;
        let summary = load.end().await?;
        let (terms, writes) = one_writer(&installed.installation.requests()?)?;
        ensure!(terms >= 3, "only {terms} terms");
        tell(&format!("R8: {writes} writes in {terms} terms, one writer in each; {summary:?}"));
        drop(frozen);
        installed.end().await
    })
    .await
}

/// It lives, and cannot know whether another leads: from then on it writes nothing, and sidecars hear of changes from the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_from_the_api_server_leads_no_longer() -> anyhow::Result<()> {
    alone("cutoff", async |namespace| {
        let mut installed = Installed::new(namespace).await?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut ways = BTreeMap::new();
        let mut replicas = Vec::new();
        for (number, name) in [(1, "op-1"), (2, "op-2")] {
            let way = Relay::start(any, vec![API_SERVER.into()]).await?;
            replicas.push(installed.installation.start(name, number, Some(&format!("https://{}", way.address)))?);
            ways.insert(name, way);
        }
        let sidecars = Relay::start(SocketAddr::from(([0, 0, 0, 0], 8443)), ends(&replicas.iter().collect::<Vec<_>>()));
        let sidecars = sidecars.await?;
        installed.apply_next().await?;
        installed.add_sidecars(2).await?;
        installed.ready().await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        renewed(&installed).await?;
        let first = leader(&installed).await?;
        let way = ways.get(first.as_str()).context("nobody is called so")?;
        way.lead_to(Vec::new());
        way.cut();
        let begun = Instant::now();
        installed.apply_next().await?;
        told(&installed, FAILOVER).await?;
        let failover = begun.elapsed();
        ensure!(failover <= FAILOVER, "the status went on after {failover:?}");
        // Its streams tell what it knew: sidecars are led to the other one.
        let other: Vec<&Replica> = replicas.iter().filter(|one| one.name != first).collect();
        sidecars.lead_to(ends(&other));
        sidecars.cut();
        installed.in_force(PATIENCE).await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        way.lead_to(vec![API_SERVER.into()]);
        installed.apply_next().await?;
        told(&installed, PATIENCE).await?;
        ensure!(leader(&installed).await? != first, "it leads again though another does");
        let (terms, writes) = one_writer(&installed.installation.requests()?)?;
        ensure!(terms >= 2, "only {terms} terms");
        tell(&format!(
            "R8: leader cut off: status after {failover:.1?}; {writes} writes in {terms} terms, one writer in each"
        ));
        installed.end().await
    })
    .await
}

fn ends(replicas: &[&Replica]) -> Vec<SocketAddr> {
    replicas.iter().map(|replica| replica.sidecars).collect()
}

fn take(replicas: &mut Vec<Replica>, name: &str) -> anyhow::Result<Replica> {
    let Some(index) = replicas.iter().position(|replica| replica.name == name) else { bail!("nobody is `{name}`") };
    Ok(replicas.remove(index))
}
