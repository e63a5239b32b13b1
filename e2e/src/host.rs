//! A host beside the cluster's: a network namespace of its own, joined to the one that the test runs in by a pair of interfaces. A
//! sidecar has fixed ports, so each needs one, as a pod has one.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, ensure};

use crate::process::output;

/// The address of the test's own end: what hosts call the cluster by.
pub const CLUSTER: Ipv4Addr = Ipv4Addr::new(198, 18, 64, 1);
/// The last byte of the address of the host that is made next.
static NEXT: AtomicU8 = AtomicU8::new(10);

/// A network namespace; removed when it is dropped, and with it what it is joined by.
#[derive(Debug)]
pub struct Host {
    name: String,
    /// Its only address beside the loopback's.
    pub address: Ipv4Addr,
    hosts: PathBuf,
}

impl Host {
    /// Makes one in which `names` stand for [`CLUSTER`].
    ///
    /// # Errors
    /// Where the machine does not allow it: it needs root and `ip`.
    pub fn new(names: &[&str], folder: &Path) -> anyhow::Result<Self> {
        let last = NEXT.fetch_add(1, Ordering::Relaxed);
        ensure!((10..250).contains(&last), "too many hosts in one run of tests");
        let address = Ipv4Addr::new(198, 18, 64, last);
        let name = format!("dw-{}-{last}", std::process::id());
        let hosts = folder.join(format!("hosts-{last}"));
        let text = format!("127.0.0.1 localhost\n{CLUSTER} {}\n", names.join(" "));
        std::fs::write(&hosts, text).with_context(|| format!("cannot write `{}`", hosts.display()))?;
        run(&mut ip(&["netns", "add", &name]))?;
        let host = Self { name, address, hosts };
        host.join(last)?;
        Ok(host)
    }

    fn join(&self, last: u8) -> anyhow::Result<()> {
        let (here, there) = (format!("dw{last}"), "eth0");
        // What a run left that was killed; the pair with a namespace that is gone is gone as well.
        output(&mut ip(&["link", "del", &here]))?;
        run(&mut ip(&["link", "add", &here, "type", "veth", "peer", "name", there, "netns", &self.name]))?;
        let (own, other) = (format!("{CLUSTER}/32"), self.address.to_string());
        run(&mut ip(&["address", "add", &own, "peer", &other, "dev", &here]))?;
        run(&mut ip(&["link", "set", &here, "up"]))?;
        let inside = |words: &[&str]| run(&mut ip(&[&["-n", &self.name], words].concat()));
        inside(&["link", "set", "lo", "up"])?;
        inside(&["address", "add", &format!("{}/32", self.address), "peer", &CLUSTER.to_string(), "dev", there])?;
        inside(&["link", "set", there, "up"])?;
        inside(&["route", "add", "default", "via", &CLUSTER.to_string()])
    }

    /// The command that runs another on this host: in its network, with its names. The process that is started is the command's
    /// own, so signals reach it.
    #[must_use]
    pub fn command(&self, command: &Command) -> Command {
        let mut entered = Command::new("nsenter");
        entered.arg(format!("--net=/run/netns/{}", self.name)).args(["unshare", "--mount", "sh", "-c"]);
        entered.arg("mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"").arg("sh").arg(&self.hosts);
        entered.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => entered.env(name, value),
                None => entered.env_remove(name),
            };
        }
        entered
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A second time, or where it was never whole, nothing is left to do.
        output(&mut ip(&["netns", "del", &self.name])).ok();
    }
}

fn ip(words: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(words);
    command
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let (status, _, said) = output(command)?;
    ensure!(status.success(), "{command:?}: {said}");
    Ok(())
}
