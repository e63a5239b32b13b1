//! `doorward status` and `kubectl doorward status`, as people look at a cluster. What sidecars say of themselves is asked through
//! the API server, which needs a node: that is not looked at here.

use std::process::Command;

use anyhow::{Context, ensure};
use e2e::namespace::alone;
use e2e::process::{binary, output, target_folder};
use serde_json::{Value, json};

use crate::installed::{Installed, USERS, spec};

/// The exit code and what was written.
fn run(command: &mut Command, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let (status, stdout, stderr) = output(command.args(arguments))?;
    ensure!(stderr.is_empty(), "{stderr}");
    Ok((status.code(), stdout))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_how_policies_stand_also_one_that_was_forced_past_admission() -> anyhow::Result<()> {
    alone("status", async |namespace| {
        let (installed, _operator) = Installed::with_sidecars(namespace, 2).await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        let scope = ["--namespace", &namespace.name, "--no-pods"];
        let one = [&["status", USERS], &scope[..]].concat();
        let (code, text) = run(&mut binary("doorward")?, &one)?;
        ensure!(code == Some(0) && text.contains("2/2 pods at generation 1"), "{code:?}: {text}");

        // As a plug-in of kubectl it is found in PATH.
        let mut kubectl = Command::new("kubectl");
        let path = std::env::var("PATH").context("no PATH")?;
        kubectl.env("PATH", format!("{}:{path}", target_folder()?.display())).arg("doorward");
        ensure!(run(&mut kubectl, &one)? == (code, text), "the plug-in says something else");

        let mut forced = spec(json!([{"path": "/health", "allow": "Anonymous"}]));
        forced["later"] = json!("a field that nobody knows");
        forced["selector"] = json!({"matchLabels": {"app": "other"}});
        installed.apply("forced", &forced).await?;
        installed.condition("forced", "Accepted", ("False", "UnknownField")).await?;
        let (code, text) = run(&mut binary("doorward")?, &[&["status", "-o", "json"], &scope[..]].concat())?;
        let told: Vec<Value> = serde_json::from_str(&text).with_context(|| text.clone())?;
        let summary = |report: &Value| (report["name"].clone(), report["status"]["conditions"][0]["status"].clone());
        let summaries: Vec<_> = told.iter().map(summary).collect();
        ensure!(code == Some(1), "not all are enforced: {code:?}");
        assert_eq!(summaries, [(json!("forced"), json!("False")), (json!(USERS), json!("True"))], "{text}");
        installed.end().await
    })
    .await
}
