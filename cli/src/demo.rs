//! `doorward demo`: the whole story on this machine.

mod check;
mod setup;
mod steps;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use sidecar::{Running, Settings, State};

use crate::dev::App;
use crate::issuers::IssuerArgs;
use crate::output::Exit;
use crate::run::{self, Enforcer, Fingerprint, Source, StopSignal, server_certificate};
use setup::Folder;
use steps::steps;

/// The policy that the demo runs.
const POLICY: &str = include_str!("demo/policy.yaml");

/// Where the demo listens when that is free.
const PREFERRED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8443);

/// What `demo` is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run every command of the story, print what was expected and what came, and exit with 1 on a difference
    #[arg(long)]
    check: bool,
    /// Another policy than the demo's; its issuer's keys are ConfigMap `login-keys`, key `jwks.json`
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// An application to protect instead of the sample API
    #[arg(long, value_name = "ADDR", conflicts_with = "check", value_parser = sidecar::settings::address)]
    upstream: Option<SocketAddr>,
    /// Where the proxy listens; 127.0.0.1:8443, or any free port, without it
    #[arg(long, value_name = "ADDR", value_parser = sidecar::settings::address)]
    listen: Option<SocketAddr>,
}

/// Runs the command.
///
/// # Errors
/// Where an address cannot be had, or the policy is refused.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    let policy = args.policy.as_deref().map(crate::load::read).transpose()?;
    let folder = Folder::create(policy.as_deref().unwrap_or(POLICY))?;
    let app = App::start()?;
    let upstream = args.upstream.unwrap_or(app.address);
    let enforcer = Arc::new(Enforcer::start(Arc::new(State::new()), fetching())?);
    let source = Source {
        files: vec![folder.path("policy.yaml"), folder.path("login-keys.yaml")],
        cas: folder.built_in_ca(),
        issuers: IssuerArgs::default(),
    };
    let seen = Fingerprint::of(&source);
    source.apply(&enforcer, &mut std::io::stderr())?;
    let running = listen(args.listen, upstream, &folder, enforcer.state())?;
    let exit = if args.check {
        check::run(&steps(running.address.port()), &folder, &app, out)?
    } else {
        let stop = StopSignal::listen()?;
        tell(out, &folder, running.address)?;
        let watching = run::watch(source, seen, enforcer);
        stop.wait();
        watching.stop();
        writeln!(out, "\nstopped; {} is removed", folder.root().display())?;
        Exit::Ok
    };
    running.stop();
    Ok(exit)
}

/// The demo's own policy fetches nothing; a policy that is edited may, from this machine too.
fn fetching() -> issuer::Settings {
    issuer::Settings { loopback: true, ..issuer::Settings::default() }
}

/// Starts the proxy, on any free port where the preferred one is taken.
fn listen(
    wanted: Option<SocketAddr>,
    upstream: SocketAddr,
    folder: &Folder,
    state: &Arc<State>,
) -> anyhow::Result<Running> {
    let start = |listen: SocketAddr| {
        let certificate = server_certificate(&folder.server.certificate, &folder.server.key)?;
        sidecar::start(Settings::new(listen, upstream, certificate), Arc::clone(state))
            .with_context(|| format!("cannot listen on {listen}"))
    };
    match wanted {
        Some(listen) => start(listen),
        None => start(PREFERRED).or_else(|_| start(SocketAddr::new(PREFERRED.ip(), 0))),
    }
}

fn tell(out: &mut impl Write, folder: &Folder, address: SocketAddr) -> anyhow::Result<()> {
    let root = folder.root();
    writeln!(out, "A sample API, and before it the proxy on https://localhost:{} with this policy", address.port())?;
    writeln!(out, "({}, which can be edited while this runs):\n", root.join("policy.yaml").display())?;
    let policy = std::fs::read_to_string(root.join("policy.yaml"))?;
    for line in policy.lines().filter(|line| !line.starts_with('#')) {
        writeln!(out, "    {line}")?;
    }
    writeln!(out, "\nPaste this into another terminal first:\n\n  export D={}\n", root.display())?;
    for (number, step) in steps(address.port()).iter().enumerate() {
        writeln!(out, "{:2}. {}\n\n  {}\n\n    → {}\n", number + 1, step.story, step.command, step.expected)?;
    }
    writeln!(out, "Stop with Ctrl-C; the keys, certificates and tokens in {} go with it.", root.display())?;
    out.flush()?;
    Ok(())
}

/// The path of a file as it stands in commands.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
