//! The command line.

mod pod;
mod snapshot;

use clap::Parser;
use policy::wire::{ENV_CLIENT_DIR, ENV_OPERATOR, ENV_STATE_DIR};
use sidecar::agent;
use sidecar::capture;
use sidecar::drain_socket::{self, DrainSocket};
use sidecar::settings::environment::{self, CaptureOrder, Faults, of_this_process};
use sidecar::{DrainTimes, Drained, Running};
use std::future::pending;
use std::io::Write;
use std::process::ExitCode;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The command line or the environment, or a file that they name, cannot be used (clap's own code for a bad command line).
const USAGE: u8 = 2;
/// It could not be done.
const FAILED: u8 = 1;

/// The proxy beside an application: answers for it what the policy refuses, and forwards the rest.
///
/// Without `--snapshot` everything comes from the operator that the environment names, as injection wrote it.
///
/// Exit codes: 1 it cannot be done, 2 the command line or the environment, or a file that they name, cannot be used.
#[derive(Debug, Parser)]
#[command(name = "doorward-sidecar", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    snapshot: snapshot::Arguments,
}

/// What stands beside the proxy.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Tells the sidecar of this pod to drain, and returns when it has begun (the sidecar's `preStop`)
    Drain,
    /// Leads the traffic of the protected ports to the sidecar, and proves it (init container with NET_ADMIN)
    Capture,
    /// Keeps a certificate, its key and the CA as files, for a pod that calls others
    Agent {
        /// Only tells whether the files are there
        #[arg(long)]
        check: bool,
    },
}

/// Why a command ends with a fault.
#[derive(Debug)]
enum Fault {
    /// What it was given cannot be used.
    Usage(Vec<String>),
    /// It could not be done.
    Failed(anyhow::Error),
}

impl From<Faults> for Fault {
    fn from(faults: Faults) -> Self {
        Self::Usage(faults.0)
    }
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> ExitCode {
    match dispatch(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fault::Usage(faults)) => {
            faults.iter().for_each(|fault| say(fault));
            ExitCode::from(USAGE)
        }
        Err(Fault::Failed(error)) => {
            say(&format!("{error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

fn dispatch(mut arguments: Arguments) -> Result<(), Fault> {
    match arguments.command {
        Some(Command::Drain) => {
            let folder = environment::folder(&of_this_process, ENV_STATE_DIR)?;
            drain_socket::ask(&folder).map_err(|error| Fault::Failed(error.into()))
        }
        Some(Command::Capture) => {
            let order = CaptureOrder::read(&of_this_process)?;
            capture::redirect(&order.ports, &order.folder).map_err(|error| Fault::Failed(error.into()))
        }
        Some(Command::Agent { check: true }) => {
            let folder = environment::folder(&of_this_process, ENV_CLIENT_DIR)?;
            agent::check(&folder).map_err(|error| Fault::Failed(error.into()))
        }
        Some(Command::Agent { check: false }) => {
            let settings = environment::Agent::read(&of_this_process)?;
            let agent = agent::start(settings).map_err(|error| Fault::Failed(error.into()))?;
            Ok(until_told(agent)?)
        }
        None => match arguments.snapshot.snapshot.take() {
            Some(snapshot) => snapshot::run(snapshot, arguments.snapshot),
            None if of_this_process(ENV_OPERATOR).is_some() => pod::run(arguments.snapshot.access_log()),
            None => Err(Fault::Usage(vec![format!(
                "neither --snapshot nor {ENV_OPERATOR}: nothing says what to run from; see --help"
            )])),
        },
    }
}

/// Keeps something going until SIGTERM.
fn until_told<T>(going: T) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        signal(SignalKind::terminate())?.recv().await;
        anyhow::Ok(())
    })?;
    drop(going);
    Ok(())
}

/// Runs a proxy until it has drained after SIGTERM; `folder` is where `drain` finds it.
fn run_until_drained(running: Running, times: DrainTimes, folder: Option<&std::path::Path>) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let terminate = signal(SignalKind::terminate())?;
        let socket = folder.map(DrainSocket::bind).transpose()?;
        until_drained(terminate, &running, times, socket).await;
        anyhow::Ok(())
    })?;
    running.stop();
    Ok(())
}

/// Waits for the first signal, then for the end of the drain or for the second.
async fn until_drained(mut terminate: Signal, running: &Running, times: DrainTimes, socket: Option<DrainSocket>) {
    let asked = async {
        match &socket {
            Some(socket) => socket.serve(|| running.begin_drain()).await,
            None => pending().await,
        }
    };
    // Asked to drain, it closes its ports in time, and serves what is open until the kubelet says that the application ended.
    let closing = async {
        running.close_ports(times.delay).await;
        pending().await
    };
    tokio::select! {
        // The stream of signals does not end before its runtime.
        _ = terminate.recv() => {}
        () = asked => {}
        () = closing => {}
    }
    say("draining: accepting for a while longer, and telling callers to go elsewhere");
    tokio::select! {
        drained = running.drain(times) => match drained {
            Drained::Whole => say("drained"),
            Drained::Cut(count) => say(&format!("drained, but {count} connections did not end in time")),
        },
        _ = terminate.recv() => say("a second signal: ending at once"),
    }
}

fn in_full(what: &str, error: impl Into<anyhow::Error>) -> String {
    format!("{what}: {:#}", error.into())
}

/// A line for whoever runs it; one that cannot be written is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "doorward-sidecar: {text}");
}
