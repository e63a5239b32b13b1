//! Our own binaries as processes, each with a log that a failed test shows.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, bail, ensure};

use crate::limits::{LOG_LINES, STOP_PATIENCE};
use crate::wait::eventually;

/// A running binary; killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` under a name, with both outputs in `NAME.log` of a folder. Build the command with [`binary`].
    ///
    /// # Errors
    /// Where the log cannot be written, or the process not started.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        // One that was started before under this name has its log kept.
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write `{}`", log.display()))?;
        let both = file.try_clone().context("cannot share the log")?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(both).spawn();
        let child = child.with_context(|| format!("cannot start `{}`", command.get_program().display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote until now.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        let bytes = std::fs::read(&self.log).with_context(|| format!("cannot read `{}`", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Fails where it has ended; to be asked in every look of a wait for readiness, so that a crash is told at once.
    ///
    /// # Errors
    /// That it ended, and the end of its log.
    pub fn alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("cannot ask for the state of a process")? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, tail(&self.log)),
        }
    }

    /// Waits until `text` stands in the log.
    ///
    /// # Errors
    /// Where it does not within `patience`; at its end the process's state is told.
    pub async fn logged(&mut self, patience: std::time::Duration, text: &str) -> anyhow::Result<()> {
        let what = format!("`{text}` in the log of {}", self.name);
        eventually(patience, &what, async || {
            let log = self.log()?;
            if log.contains(text) {
                return Ok(());
            }
            self.alive()?;
            bail!("it is not there")
        })
        .await
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Errors
    /// Where it does not end.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.signal("TERM")?;
        let what = format!("the end of {}", self.name);
        eventually(STOP_PATIENCE, &what, async || {
            self.child.try_wait().context("cannot ask for the state of a process")?.context("it runs")
        })
        .await
    }

    /// Ends it as a crash would (SIGKILL).
    ///
    /// # Errors
    /// Where it cannot be signalled.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill a process")?;
        self.child.wait().context("cannot wait for a process").map(drop)
    }

    /// Sends a signal, by its name without `SIG`: `STOP` and `CONT` hang a process and let it go on.
    ///
    /// # Errors
    /// Where it cannot be sent.
    pub fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let status = Command::new("kill").arg(format!("-{signal}")).arg(self.id().to_string()).status();
        ensure!(status.context("cannot run `kill`")?.success(), "cannot send SIG{signal} to {}", self.name);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already: nothing is left to do then.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A command that runs one of this workspace's binaries, from the folder in which the test was built.
///
/// # Errors
/// Where the binary is not there: `cargo test --test …` alone builds no other package's binaries.
pub fn binary(name: &str) -> anyhow::Result<Command> {
    let path = target_folder()?.join(name);
    ensure!(path.is_file(), "`{}` is not built: run `make e2e-control`, or `cargo build --workspace`", path.display());
    Ok(Command::new(path))
}

/// Runs a command to its end, and gives what it wrote; the exit code is for the caller to look at.
///
/// # Errors
/// Where it cannot be started, or writes no UTF-8.
pub fn output(command: &mut Command) -> anyhow::Result<(ExitStatus, String, String)> {
    let program = command.get_program().to_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run `{}`", Path::new(OsStr::new(&program)).display()))?;
    let text = |bytes| String::from_utf8(bytes).context("a command wrote what is no UTF-8");
    Ok((output.status, text(output.stdout)?, text(output.stderr)?))
}

/// The folder of the profile that the test was built with, such as `target/debug`.
///
/// # Errors
/// Where the test does not run from such a folder.
pub fn target_folder() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("cannot tell where the test runs from")?;
    let folder = test.parent().and_then(Path::parent);
    folder.map(Path::to_owned).context("the test does not run from a `target` folder")
}

/// The last lines of a file.
#[must_use]
pub fn tail(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(LOG_LINES)).flat_map(|line| [*line, "\n"]).collect()
}
