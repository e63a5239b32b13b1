//! The release of the chart that all tests share.

use anyhow::ensure;
use e2e::wait::eventually;

use crate::scene::{PATIENCE, operator, run};

/// The chart.
pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/doorward");

/// Runs helm on the operator's namespace; it must succeed.
pub(crate) async fn helm(args: &[&str]) -> anyhow::Result<String> {
    run("helm", &[&["--namespace", "doorward"][..], args].concat()).await
}

/// Upgrades to other values, until all that answers has them.
pub(crate) async fn upgrade(values: &[&str]) -> anyhow::Result<()> {
    let args = ["upgrade", "doorward", CHART, "--wait", "--timeout", "3m"];
    helm(&[&args[..], values].concat()).await?;
    replaced().await
}

/// Goes back to the values before.
pub(crate) async fn rollback() -> anyhow::Result<()> {
    helm(&["rollback", "doorward", "--wait", "--timeout", "3m"]).await?;
    replaced().await
}

/// helm does not wait for the replicas before, which still answer on connections that are kept open.
async fn replaced() -> anyhow::Result<()> {
    eventually(PATIENCE, "the replicas before are gone", async || {
        let names = operator(&["get", "pods", "-l", "app.kubernetes.io/name=doorward", "-o", "name"]).await?;
        ensure!(names.lines().count() == 2, "{names}");
        Ok(())
    })
    .await
}
