//! The capture `redirect`: the kernel leads inbound TCP connections to protected ports to the sidecar instead.
//!
//! One table of the family `inet`, so IPv4 and IPv6 cannot differ, put in place as one transaction. What comes over the
//! loopback interface is left alone: that is the pod talking to itself, the sidecar to the application among it.

use policy::wire::{CAPTURED_FILE, Captured, ProtectedPort};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The table; it is ours alone.
const TABLE: &str = "doorward";

/// Why traffic is not led to the sidecar, or that is not proven.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// `nft` cannot be run.
    #[error("`nft` cannot be run")]
    Run(#[source] io::Error),
    /// `nft` refused.
    #[error(
        "`nft {0}` failed: {1}; it needs NET_ADMIN and a kernel with nftables and NAT (CONFIG_NFT_NAT, CONFIG_NFT_REDIR)"
    )]
    Refused(&'static str, String),
    /// What the kernel says is in force cannot be read.
    #[error("what `nft` lists cannot be read")]
    List(#[source] serde_json::Error),
    /// What the kernel says is in force is something else.
    #[error("port {0} is not redirected, although `nft` said so")]
    NotInForce(u16),
    /// The proof cannot be written.
    #[error("`{}` cannot be written", path.display())]
    Proof {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Leads the traffic of these ports to where the sidecar listens, looks whether the kernel does so, and writes that down.
/// Doing it twice is doing it once.
///
/// # Errors
/// Where any of that fails; there is no proof then.
pub fn redirect(ports: &[ProtectedPort], folder: &Path) -> Result<(), CaptureError> {
    let path = folder.join(CAPTURED_FILE);
    let fault = |source| CaptureError::Proof { path: path.clone(), source };
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    nft("-f -", &["-f", "-"], &rules(ports))?;
    let listed = nft("-j list table", &["-j", "list", "table", "inet", TABLE], "")?;
    verify(ports, &serde_json::from_slice(&listed).map_err(CaptureError::List)?)?;
    let captured = Captured { ports: ports.iter().map(|port| port.port).collect() };
    let bytes = serde_json::to_vec(&captured).map_err(CaptureError::List)?;
    write(&path, &bytes).map_err(fault)
}

/// The table as `nft` reads it: one that is there is replaced.
fn rules(ports: &[ProtectedPort]) -> String {
    let mut text = format!("add table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n");
    text.push_str(" chain inbound {\n  type nat hook prerouting priority dstnat; policy accept;\n");
    for ProtectedPort { port, listen } in ports {
        // Writing into a text does not fail.
        let _ = writeln!(text, "  iifname != \"lo\" tcp dport {port} redirect to :{listen}");
    }
    text.push_str(" }\n}\n");
    text
}

fn nft(what: &'static str, arguments: &[&str], input: &str) -> Result<Vec<u8>, CaptureError> {
    let run = || -> io::Result<Output> {
        let mut child = Command::new("nft")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    };
    let output = run().map_err(CaptureError::Run)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(CaptureError::Refused(what, told.lines().next().unwrap_or("no reason given").to_owned()))
}

/// Whether the kernel does what was asked (libnftables-json(5)).
fn verify(ports: &[ProtectedPort], listed: &Value) -> Result<(), CaptureError> {
    let objects = || listed.get("nftables").and_then(Value::as_array).into_iter().flatten();
    let has_chain = objects().filter_map(|object| object.get("chain")).any(|chain| {
        let wanted = json!({"family": "inet", "table": TABLE, "type": "nat", "hook": "prerouting", "prio": -100});
        wanted.as_object().into_iter().flatten().all(|(name, value)| chain.get(name) == Some(value))
    });
    for ProtectedPort { port, listen } in ports {
        let wanted = [
            json!({"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}),
            json!({"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": port}}),
            json!({"redirect": {"port": listen}}),
        ];
        let is_it = |rule: &Value| rule.get("expr").and_then(Value::as_array).is_some_and(|expr| *expr == wanted);
        if !has_chain || !objects().filter_map(|object| object.get("rule")).any(is_it) {
            return Err(CaptureError::NotInForce(*port));
        }
    }
    Ok(())
}

/// Whole or not at all, and to be read by everybody.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o444).open(&new)?.write_all(bytes)?;
    fs::rename(&new, path)
}
