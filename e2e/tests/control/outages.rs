//! The operator, and then the API server, is away: what is in force stays in force, and everything is picked up afterwards. Each once,
//! under load, and nothing is lost.

use std::time::Duration;

use anyhow::ensure;
use e2e::cluster;
use e2e::figures::tell;
use e2e::limits::times;
use e2e::load::Load;
use e2e::namespace::alone;
use e2e::provider::Provider;
use tokio::time::Instant;

use crate::installed::{Installed, USERS};
use crate::rotation::{accepted, apply, apply_at_once, publish};

/// Connections to each sidecar that is under load.
const CONNECTIONS: usize = 4;
/// R6: the operator is in step so long after the API server is back.
const IN_STEP: Duration = Duration::from_secs(60);

/// The sidecars under load, and one more that is restarted meanwhile.
async fn loaded(installed: &Installed<'_>) -> anyhow::Result<Load> {
    let targets = installed.targets()?;
    let (_restarted, loaded) = targets.split_last().unwrap();
    Ok(Load::start(loaded, CONNECTIONS, &installed.history))
}

/// Restarts the last sidecar, which must come back with what its volume holds.
async fn restart_last(installed: &mut Installed<'_>, tokens: &[String]) -> anyhow::Result<()> {
    let last = installed.sidecars.last_mut().unwrap();
    last.kill()?;
    last.run()?;
    last.ready().await?;
    let generation = installed.generation;
    let targets = installed.targets()?;
    for target in &targets {
        assert_eq!(target.get(&format!("/g/{generation}")).await?.status, 200);
        assert_eq!(target.get("/never").await?.code(), "no_rule");
        for token in tokens {
            assert_eq!(target.get_as(token, "/me").await?.status, 200, "the keys from before");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_operator_everything_goes_on() -> anyhow::Result<()> {
    alone("no-operator", async |namespace| {
        let (fetched, held) = (Provider::start().await?, Provider::start().await?);
        publish(namespace, &fetched, &held).await?;
        let (mut installed, operator) = Installed::with_sidecars(namespace, 3).await?;
        apply(&mut installed, &fetched, &held).await?;
        let load = loaded(&installed).await?;
        operator.process.kill()?;

        let old = [fetched.token("alice")?, held.token("alice")?];
        fetched.rotate()?;
        held.rotate()?;
        publish(namespace, &fetched, &held).await?;
        restart_last(&mut installed, &old).await?;
        load.at_least(load.sent() + times(500, 10_000)).await;
        for provider in [&fetched, &held] {
            let answer = installed.targets()?[0].get_as(&provider.token("alice")?, "/me").await?;
            ensure!((answer.status.as_u16(), answer.code()) == (401, "token_invalid"), "who told it? {answer:?}");
        }

        let begun = Instant::now();
        let _operator = installed.installation.start("op-1", 0, None)?;
        accepted(&installed, &fetched).await?;
        accepted(&installed, &held).await?;
        let took = begun.elapsed();
        apply(&mut installed, &fetched, &held).await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        let summary = load.end().await?;
        tell(&format!("operator away: rotated keys in force {took:.1?} after its start; {summary:?}"));
        installed.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_api_server_everything_goes_on() -> anyhow::Result<()> {
    alone("no-api-server", async |namespace| {
        let (fetched, held) = (Provider::start().await?, Provider::start().await?);
        publish(namespace, &fetched, &held).await?;
        let (mut installed, mut operator) = Installed::with_sidecars(namespace, 3).await?;
        apply(&mut installed, &fetched, &held).await?;
        let load = loaded(&installed).await?;
        cluster::stop("apiserver").await?;

        let old = [fetched.token("alice")?, held.token("alice")?];
        // Nothing holds the test up between: a failure must not leave the cluster without an API server.
        let meanwhile = async {
            fetched.rotate()?;
            restart_last(&mut installed, &old).await?;
            load.at_least(load.sent() + times(500, 10_000)).await;
            anyhow::Ok(())
        };
        let meanwhile = meanwhile.await;
        cluster::start("apiserver").await?;
        meanwhile?;

        let begun = Instant::now();
        held.rotate()?;
        publish(namespace, &fetched, &held).await?;
        apply_at_once(&mut installed, &fetched, &held).await?;
        installed.in_force_since(begun, IN_STEP).await?;
        let took = begun.elapsed();
        accepted(&installed, &fetched).await?;
        accepted(&installed, &held).await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        operator.process.alive()?;
        let summary = load.end().await?;
        tell(&format!(
            "API server away: a change in force {took:.1?} after it was back, the operator not restarted; {summary:?}"
        ));
        installed.end().await
    })
    .await
}
