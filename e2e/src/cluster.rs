//! The cluster that tests run against.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::task::spawn_blocking;

use crate::limits::API_TIMEOUT;
use crate::process::output;

/// What tests call themselves, for the audit log.
pub const OURSELVES: &str = "doorward-e2e";

/// A client of the cluster that `KUBECONFIG` names. Nothing else is tried: neither `~/.kube/config`, which may be somebody's
/// production, nor the cluster that the test may happen to run in.
///
/// # Errors
/// Where `KUBECONFIG` is not set, cannot be used, or names an API server that does not answer.
pub async fn client() -> anyhow::Result<Client> {
    let client = Client::try_from(config().await?).context("cannot connect as KUBECONFIG says")?;
    let answer = client.apiserver_version().await;
    answer.context("the API server that KUBECONFIG names does not answer: run `make e2e-control`")?;
    Ok(client)
}

/// The same, as a user that shows `token` instead of the administrator's certificate.
///
/// # Errors
/// Where `KUBECONFIG` is not set or cannot be used.
pub async fn client_with_token(token: &str) -> anyhow::Result<Client> {
    let mut config = config().await?;
    config.auth_info = kube::config::AuthInfo { token: Some(token.to_owned().into()), ..Default::default() };
    Client::try_from(config).context("cannot connect as KUBECONFIG says")
}

async fn config() -> anyhow::Result<Config> {
    let variable = std::env::var_os("KUBECONFIG").unwrap_or_default();
    ensure!(!variable.is_empty(), "KUBECONFIG is not set, and this test needs a cluster: run `make e2e-control`");
    let kubeconfig = Kubeconfig::from_env().context("cannot read the file that KUBECONFIG names")?;
    let kubeconfig = kubeconfig.context("KUBECONFIG names no file: run `make e2e-control`")?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = config.context("cannot use the file that KUBECONFIG names")?;
    // Without it the audit log would not tell who asked.
    config.headers.push((USER_AGENT, HeaderValue::from_static(OURSELVES)));
    config.connect_timeout = Some(API_TIMEOUT);
    config.read_timeout = Some(API_TIMEOUT);
    config.write_timeout = Some(API_TIMEOUT);
    Ok(config)
}

/// Stops parts of the test cluster as a crash would, such as `apiserver`.
///
/// # Errors
/// Where it is no cluster of ours.
pub async fn stop(component: &'static str) -> anyhow::Result<()> {
    command("stop", component).await
}

/// Starts them again, and waits until they serve.
///
/// # Errors
/// As [`stop`], or where they do not serve in time.
pub async fn start(component: &'static str) -> anyhow::Result<()> {
    command("start", component).await
}

async fn command(verb: &'static str, component: &'static str) -> anyhow::Result<()> {
    ensure!(
        std::env::var_os("DOORWARD_CLUSTER_STATE").is_some(),
        "this test stops the API server, and only does so with its own: run `make e2e-control` without KUBECONFIG"
    );
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/cluster");
    let run = move || output(Command::new(program).args([verb, component]));
    let (status, _, said) = spawn_blocking(run).await.context("cannot wait for the cluster")??;
    ensure!(status.success(), "cannot {verb} {component}: {said}");
    Ok(())
}
