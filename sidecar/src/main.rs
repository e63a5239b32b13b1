//! The binary `doorward-sidecar`: runs the proxy from a snapshot file.

use clap::Parser;
use rustls_pki_types::CertificateDer;
use sidecar::limits::{DRAIN_DELAY, DRAIN_DELAY_MOST};
use sidecar::source::file;
use sidecar::tls::certificates_in;
use sidecar::{AccessLog, DrainTimes, Drained, Limits, Running, ServerCertificate, Settings, State, settings};
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The command line, or a file that it names, cannot be used (clap's own code for a bad command line).
const USAGE: u8 = 2;
/// The proxy could not start.
const START: u8 = 1;

/// The proxy beside an application: answers for it what the policy refuses, and forwards the rest.
///
/// Exit codes: 1 the proxy cannot start, 2 the command line or a file that it names cannot be used.
#[derive(Debug, Parser)]
#[command(name = "doorward-sidecar")]
struct Arguments {
    /// The snapshot, as `doorward compile` writes it; read again when it changes
    #[arg(long, value_name = "FILE")]
    snapshot: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:15943")]
    listen: String,
    /// Where the application listens
    #[arg(long, value_name = "ADDR")]
    upstream: String,
    /// The certificate chain that callers see, PEM
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The certificates that stand for the built-in CA, PEM
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Threads that serve, 1 to 1024 [default: as many as the machine runs at once]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Where probes are answered
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// After SIGTERM: how long connections are still accepted while callers are told to go elsewhere [default: 5s]
    #[arg(long, value_name = "DURATION")]
    drain_delay: Option<String>,
    /// One line for every request, on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Json)]
    access_log: LogFormat,
}

/// How requests are logged.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    /// Not at all
    Off,
    /// As JSON
    Json,
}

/// The command line with everything read that it names.
struct Plan {
    snapshot: PathBuf,
    built_in_ca: Vec<CertificateDer<'static>>,
    settings: Settings,
    drain: DrainTimes,
}

fn main() -> ExitCode {
    let mut faults = Vec::new();
    let Some(plan) = read(Arguments::parse(), &mut faults) else {
        faults.iter().for_each(|fault| say(fault));
        return ExitCode::from(USAGE);
    };
    match run(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::from(START)
        }
    }
}

/// Reads what the command line says and names; none where there is a fault, and then all faults at once. (The snapshot may
/// come later.)
fn read(arguments: Arguments, faults: &mut Vec<String>) -> Option<Plan> {
    let listen = parsed("--listen", &arguments.listen, faults);
    let upstream = parsed("--upstream", &arguments.upstream, faults);
    let admin = arguments.admin.map(|text| parsed("--admin", &text, faults));
    let workers =
        arguments.workers.map_or_else(|| Some(settings::default_workers()), |text| worker_count(&text, faults));
    let certificate = noted("--cert, --key", ServerCertificate::from_files(&arguments.cert, &arguments.key), faults);
    let built_in_ca =
        arguments.client_ca.map_or(Some(Vec::new()), |path| noted("--client-ca", certificates_in(&path), faults));
    let delay = arguments.drain_delay.map_or(Some(DRAIN_DELAY), |text| drain_delay(&text, faults));
    let (workers, admin) = (workers?, admin.map_or(Some(None), |admin| admin.map(Some))?);
    let settings = Settings {
        workers,
        admin,
        limits: Limits::of_this_process(workers),
        access_log: match arguments.access_log {
            LogFormat::Off => AccessLog::Off,
            LogFormat::Json => AccessLog::stdout(),
        },
        ..Settings::new(listen?, upstream?, certificate?)
    };
    let drain = DrainTimes { delay: delay?, ..DrainTimes::default() };
    Some(Plan { snapshot: arguments.snapshot, built_in_ca: built_in_ca?, settings, drain })
}

fn parsed<T: FromStr<Err: Display>>(flag: &str, text: &str, faults: &mut Vec<String>) -> Option<T> {
    text.parse().map_err(|error| faults.push(format!("{flag}: `{text}`: {error}"))).ok()
}

fn worker_count(text: &str, faults: &mut Vec<String>) -> Option<usize> {
    let count = parsed("--workers", text, faults)?;
    if (1..=1024).contains(&count) {
        return Some(count);
    }
    faults.push(format!("--workers: `{text}`: not from 1 to 1024"));
    None
}

fn drain_delay(text: &str, faults: &mut Vec<String>) -> Option<Duration> {
    let delay = duration(text).filter(|delay| *delay <= DRAIN_DELAY_MOST);
    if delay.is_none() {
        faults.push(format!("--drain-delay: `{text}`: not a whole number with one of ms, s, m, h, at most 10m"));
    }
    delay
}

/// `[0-9]+(ms|s|m|h)`, one unit.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.bytes().take_while(u8::is_ascii_digit).count())?;
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(unit)?))
}

fn noted<T>(flag: &str, result: Result<T, impl Into<anyhow::Error>>, faults: &mut Vec<String>) -> Option<T> {
    result.map_err(|error| faults.push(in_full(flag, error))).ok()
}

fn run(plan: Plan) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // From here on SIGTERM drains; before, there is nothing to drain.
    let terminate = runtime.block_on(async { signal(SignalKind::terminate()) })?;
    let state = Arc::new(State::new());
    let _watch = file::watch(&plan.snapshot, Arc::clone(&state), plan.built_in_ca, |outcome| match outcome {
        Ok(()) => say("snapshot in force"),
        Err(error) => say(&in_full("snapshot refused", error)),
    })?;
    let running = sidecar::start(plan.settings, state)?;
    say(&format!("listening on {}", running.address));
    runtime.block_on(until_drained(terminate, &running, plan.drain));
    running.stop();
    Ok(())
}

/// Waits for the first signal, then for the end of the drain or for the second.
async fn until_drained(mut terminate: Signal, running: &Running, times: DrainTimes) {
    // The stream of signals does not end before its runtime.
    let _ = terminate.recv().await;
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
