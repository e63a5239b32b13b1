//! `kubectl` as people use it: for what only it does, such as `explain` and columns.

use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, ensure};
use tokio::task::spawn_blocking;

/// What `kubectl` answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error: warnings and refusals.
    pub stderr: String,
}

impl Answer {
    /// The standard output of a command that must succeed.
    ///
    /// # Errors
    /// What it wrote to standard error, where it failed.
    pub fn success(self) -> anyhow::Result<String> {
        ensure!(self.status.success(), "kubectl failed: {}", self.stderr);
        Ok(self.stdout)
    }
}

/// Runs `kubectl`, with text for its standard input.
///
/// # Errors
/// Where it cannot be run; how it ended stands in the answer.
pub async fn kubectl(args: &[&str], stdin: &str) -> anyhow::Result<Answer> {
    let (args, stdin): (Vec<_>, _) = (args.iter().map(|arg| (*arg).to_owned()).collect(), stdin.to_owned());
    spawn_blocking(move || run(&args, stdin)).await.context("cannot wait for `kubectl`")?
}

fn run(args: &[String], stdin: String) -> anyhow::Result<Answer> {
    let mut command = Command::new("kubectl");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().context("cannot run `kubectl`: it must be in PATH, as `make e2e-control` sees to")?;
    let mut input = child.stdin.take().context("no standard input")?;
    // It may answer before it has read everything, so both at once; that it closes its input early is its own affair.
    let writer = std::thread::spawn(move || input.write_all(stdin.as_bytes()).ok());
    let output = child.wait_with_output().context("cannot wait for `kubectl`")?;
    writer.join().ok();
    let text = |bytes| String::from_utf8(bytes).context("`kubectl` wrote what is no UTF-8");
    Ok(Answer { status: output.status, stdout: text(output.stdout)?, stderr: text(output.stderr)? })
}
