//! The commands of the quick start and of the operations guide, as they stand there.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::manifests::users;
use crate::release::{CHART, helm};
use crate::scene::{Scene, operator, scene};

const QUICK_START: &str = include_str!("../../../docs/quickstart.md");
const OPERATIONS: &str = include_str!("../../../docs/operations.md");

/// The text below a heading, up to the next of its kind.
fn section<'a>(text: &'a str, heading: &str) -> anyhow::Result<&'a str> {
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).with_context(|| format!("no section `{heading}`"))?;
    Ok(rest.split("\n## ").next().unwrap_or(rest))
}

/// The blocks of a language, without the indent that they have in lists.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in text.lines() {
        let body = line.trim_start();
        match &mut open {
            None if body == fence => open = Some((line.len() - body.len(), String::new())),
            None => {}
            Some(_) if body == "```" => found.extend(open.take().map(|(_, block)| block)),
            Some((indent, block)) => {
                block.push_str(line.get(*indent..).unwrap_or_default());
                block.push('\n');
            }
        }
    }
    found
}

/// Where the commands run, and with what.
struct Shell<'a> {
    folder: &'a Path,
    namespace: &'a str,
    token: String,
}

impl Shell<'_> {
    /// Runs a block; a line that ends with `# 200` or so is a request that has to be answered so.
    async fn run(&self, block: &str) -> anyhow::Result<()> {
        // The namespace of the documents is `shop`.
        let mut script = String::new();
        for line in block.replace("shop", self.namespace).replace("charts/doorward", CHART).lines() {
            match line.split_once(" # ").map(|(command, code)| (command.trim(), code.trim())) {
                Some((command, code)) if code.parse::<u16>().is_ok() => {
                    let command = command.replacen("curl -s", "curl -s -o answer -w '%{http_code}'", 1);
                    script.push_str(&format!(
                        "got=$({command}); [ \"$got\" = {code} ] || {{ echo \"$got, not {code}\" >&2; exit 1; }}\n"
                    ));
                }
                _ => script.push_str(&format!("{line}\n")),
            }
        }
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &script]).current_dir(self.folder).env("TOKEN", &self.token);
        let output = spawn_blocking(move || command.output()).await?.context("cannot run bash")?;
        ensure!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    async fn run_all(&self, text: &str) -> anyhow::Result<()> {
        for block in blocks(text, "sh") {
            self.run(&block).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn commands_do_what_the_documents_say() -> anyhow::Result<()> {
    scene("documents", async |scene| {
        let folder = tempfile::tempdir()?;
        let shell = Shell { folder: folder.path(), namespace: &scene.namespace.name, token: scene.token("")? };
        scene.apply(&users(1, &json!([{"name": "HOST", "value": "0.0.0.0"}]))).await?;
        let policy = blocks(QUICK_START, "yaml").concat().replace("shop", &scene.namespace.name);
        std::fs::write(folder.path().join("users-policy.yaml"), policy)?;
        std::fs::write(folder.path().join("jwks.json"), scene.jwks())?;

        for (number, block) in blocks(QUICK_START, "sh").iter().enumerate() {
            // The chart is installed.
            if number > 0 {
                shell.run(block).await?;
            }
        }
        scene.enforced("users").await?;
        scene.rolled_out("users").await?;
        for heading in ["What runs where", "Upgrade, rollback", "Moving an application that has callers"] {
            shell.run_all(section(OPERATIONS, heading)?).await?;
        }
        scene.rolled_out("users").await?;
        scene.enforced("users").await?;
        uninstalled_and_installed_again(scene, &shell).await
    })
    .await
}

async fn uninstalled_and_installed_again(scene: &Scene<'_>, shell: &Shell<'_>) -> anyhow::Result<()> {
    let ca = ["get", "configmap", "doorward-ca", "-o", "jsonpath={.data.ca\\.crt}"];
    let before = operator(&ca).await?;
    let uninstall = blocks(section(OPERATIONS, "Uninstall")?, "sh");
    shell.run(uninstall.first().context("a block")?).await?;
    scene.rolled_out("users").await?;
    // Policies and the CA are still there, and nothing that would be in the way.
    scene.kubectl(&["get", "aap", "users"]).await?;
    ensure!(operator(&ca).await? == before);
    let install = blocks(QUICK_START, "sh");
    shell.run(install.first().context("a block")?).await?;
    scene.says("users", "Enforced", "False", "NotInjected").await?;
    ensure!(operator(&ca).await? == before, "another CA");
    helm(&["status", "doorward"]).await.map(drop)
}
