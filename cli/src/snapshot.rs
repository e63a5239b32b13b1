//! `doorward compile`: the one file that `doorward-sidecar --snapshot` runs from.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use compile::Compiled;
use policy::wire::{FORMAT, RulesetMessage, Snapshot};

use crate::issuers::{self, IssuerArgs};
use crate::load;
use crate::output::{Exit, write_diagnostics};

/// What `compile` is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files with policies, and the ConfigMaps that they refer to; `-` is standard input
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Where the snapshot goes, replaced at once and whole; standard output without it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Fetch the keys of issuers whose keys are not in the files
    #[arg(long)]
    fetch: bool,
    #[command(flatten)]
    issuers: IssuerArgs,
}

/// Runs the command.
///
/// # Errors
/// Where a file cannot be read or written, or a policy is refused.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    let (mut policies, warnings) = load::load_usable(&args.files, &args.issuers.compile_settings())?;
    write_diagnostics(&mut std::io::stderr(), &warnings)?;
    if args.fetch {
        issuers::fetch(&mut policies, args.issuers.fetch_settings())?;
    }
    issuers::warn_of_missing(&policies, &mut std::io::stderr())?;
    let bytes = serde_json::to_vec(&of(&policies)?)?;
    match &args.output {
        Some(path) => replace(path, &bytes)?,
        None => {
            out.write_all(&bytes)?;
            writeln!(out)?;
        }
    }
    Ok(Exit::Ok)
}

/// The snapshot of policies.
///
/// # Errors
/// Where two of them protect the same port.
pub fn of(policies: &[Compiled]) -> anyhow::Result<Snapshot> {
    let mut snapshot = Snapshot { format: FORMAT, rulesets: Vec::new(), keys: Vec::new() };
    for policy in policies {
        let port = port(policy);
        if snapshot.rulesets.iter().any(|other| other.port == port) {
            anyhow::bail!("two policies for one port: a snapshot is for one pod");
        }
        snapshot.rulesets.push(RulesetMessage::new(port, policy.generation, &policy.body)?);
        for keys in &policy.keys {
            // Policies may share a set that was fetched.
            if !snapshot.keys.iter().any(|other| other.id == keys.id) {
                snapshot.keys.push(keys.clone());
            }
        }
    }
    Ok(snapshot)
}

/// A port that is named, or left out, is 0: there is no pod here that could tell its number.
fn port(policy: &Compiled) -> u16 {
    match &policy.port {
        Some(crds::IntOrString::Int(port)) => u16::try_from(*port).unwrap_or(0),
        _ => 0,
    }
}

/// Replaces a file so that a reader sees the old or the new one, never a part.
///
/// # Errors
/// Where the folder cannot be written to.
pub fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let context = || format!("cannot write `{}`", path.display());
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(context)?;
    file.write_all(bytes).with_context(context)?;
    file.as_file().sync_all().with_context(context)?;
    file.persist(path).with_context(context)?;
    Ok(())
}
