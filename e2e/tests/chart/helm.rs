//! helm, as people use it.

use std::process::Command;

use anyhow::{Context, ensure};
use e2e::kubectl::Answer;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::spawn_blocking;

pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/doorward");
pub(crate) const NAMESPACE: &str = "doorward";

/// What helm rendered.
pub(crate) struct Rendered {
    pub(crate) text: String,
    pub(crate) objects: Vec<Value>,
}

impl Rendered {
    /// The only object of a kind.
    pub(crate) fn one(&self, kind: &str) -> &Value {
        let mut found = self.objects.iter().filter(|object| object["kind"] == kind);
        let one = found.next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(found.next().is_none(), "several {kind}");
        one
    }
}

/// Runs helm.
pub(crate) async fn helm(args: &[&str]) -> anyhow::Result<Answer> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let output = spawn_blocking(move || Command::new("helm").args(args).output()).await?;
    let output = output.context("cannot run `helm`: it must be in PATH, as `make e2e-node` sees to")?;
    let text = |bytes| String::from_utf8(bytes).context("`helm` wrote what is no UTF-8");
    Ok(Answer { status: output.status, stdout: text(output.stdout)?, stderr: text(output.stderr)? })
}

/// Renders the chart with more arguments.
pub(crate) async fn render(more: &[&str]) -> anyhow::Result<Rendered> {
    let answer = template(more).await?;
    ensure!(answer.status.success(), "{more:?}: {}", answer.stderr);
    let documents = serde_yaml::Deserializer::from_str(&answer.stdout);
    let objects: Vec<Value> = documents.map(Value::deserialize).collect::<Result<_, _>>()?;
    let objects = objects.into_iter().filter(|object| !object.is_null()).collect();
    Ok(Rendered { text: answer.stdout, objects })
}

/// Why helm does not render the chart with more arguments.
pub(crate) async fn refusal(more: &[&str]) -> anyhow::Result<String> {
    let answer = template(more).await?;
    ensure!(!answer.status.success(), "{more:?} is taken");
    Ok(answer.stderr)
}

async fn template(more: &[&str]) -> anyhow::Result<Answer> {
    let mut args = vec!["template", "doorward", CHART, "--namespace", NAMESPACE, "--kube-version", "1.33.0"];
    args.extend(more);
    helm(&args).await
}
