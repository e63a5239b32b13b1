//! What the operator's process uses, as the kernel tells it; and how busy the machine is.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

/// The kernel counts time in hundredths of a second (`USER_HZ`), on every architecture that Rust's standard library knows.
const TICK: Duration = Duration::from_millis(10);

/// A process on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

/// Memory of a process in KiB.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    /// In use now.
    pub(crate) rss: u64,
    /// The most that it ever was.
    pub(crate) peak: u64,
}

impl Process {
    pub(crate) fn memory(self) -> anyhow::Result<Memory> {
        let text = self.read("status")?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).context("not told by the kernel")?;
            let number = line.trim_start_matches(':').trim().trim_end_matches("kB").trim();
            number.parse().context("no number of KiB")
        };
        Ok(Memory { rss: field("VmRSS")?, peak: field("VmHWM")? })
    }

    /// Processor time since its start, of all its threads.
    pub(crate) fn cpu(self) -> anyhow::Result<Duration> {
        let text = self.read("stat")?;
        // The name, in parentheses, may hold anything.
        let (_, after) = text.rsplit_once(')').context("an unknown form")?;
        let mut fields = after.split_whitespace().skip(11).map(str::parse::<u32>);
        let mut next = || fields.next().context("an unknown form")?.context("no number");
        Ok(TICK * (next()? + next()?))
    }

    fn read(self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`: is the operator's process there?"))
    }
}

/// The load of the machine over the last minute; 0 where it is not told.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_process_is_told_what_it_uses() {
        let this = Process(std::process::id());
        let memory = this.memory().unwrap();
        assert!(memory.rss > 500 && memory.peak >= memory.rss, "{memory:?}");
        let before = this.cpu().unwrap();
        while this.cpu().unwrap() == before {
            std::hint::spin_loop();
        }
    }
}
