//! The proxy from a snapshot file, without an operator.

use super::{Fault, in_full, run_until_drained, say};
use rustls_pki_types::CertificateDer;
use sidecar::limits::{DRAIN_DELAY, DRAIN_DELAY_MOST};
use sidecar::settings::PortSettings;
use sidecar::source::file;
use sidecar::tls::{CurrentCertificate, authorities_in};
use sidecar::{AccessLog, DrainTimes, Limits, ServerCertificate, Settings, State, settings};
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// What the proxy from a snapshot is given.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// The snapshot, as `doorward compile` writes it; read again when it changes
    #[arg(long, value_name = "FILE", requires = "upstream")]
    pub(crate) snapshot: Option<PathBuf>,
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:15943", requires = "snapshot")]
    listen: String,
    /// Where the application listens
    #[arg(long, value_name = "ADDR", requires = "snapshot")]
    upstream: Option<String>,
    /// The certificate chain that callers see, PEM; every policy but one with `tls.mode: Plaintext` needs it
    #[arg(long, value_name = "FILE", requires_all = ["snapshot", "key"])]
    cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires_all = ["snapshot", "cert"])]
    key: Option<PathBuf>,
    /// The certificates that stand for the built-in CA, PEM
    #[arg(long, value_name = "FILE", requires = "snapshot")]
    client_ca: Option<PathBuf>,
    /// Threads that serve, 1 to 1024 [default: as many as the machine runs at once]
    #[arg(long, value_name = "N", requires = "snapshot")]
    workers: Option<String>,
    /// Where probes are answered
    #[arg(long, value_name = "ADDR", requires = "snapshot")]
    admin: Option<String>,
    /// After SIGTERM: how long connections are still accepted while callers are told to go elsewhere [default: 5s]
    #[arg(long, value_name = "DURATION", requires = "snapshot")]
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

impl Arguments {
    /// How requests are logged, whatever the proxy runs from.
    pub(crate) fn access_log(&self) -> AccessLog {
        match self.access_log {
            LogFormat::Off => AccessLog::Off,
            LogFormat::Json => AccessLog::stdout(),
        }
    }
}

/// Runs until it is told to stop.
pub(crate) fn run(snapshot: PathBuf, arguments: Arguments) -> Result<(), Fault> {
    let mut faults = Vec::new();
    let plan = read(snapshot, arguments, &mut faults).ok_or(Fault::Usage(faults))?;
    let state = Arc::new(State::new());
    let (certificate, told) = (Arc::clone(&plan.settings.certificate), Arc::clone(&state));
    let _watch = file::watch(&plan.snapshot, Arc::clone(&state), plan.built_in_ca, move |outcome| match outcome {
        Ok(()) if told.speaks_tls() && !certificate.is_there() => {
            say("snapshot in force; it asks for TLS, and no handshake succeeds without --cert and --key");
        }
        Ok(()) => say("snapshot in force"),
        Err(error) => say(&in_full("snapshot refused", error)),
    })
    .map_err(anyhow::Error::from)?;
    let running = sidecar::start(plan.settings, state).map_err(anyhow::Error::from)?;
    say(&format!("listening on {}", running.address));
    Ok(run_until_drained(running, plan.drain, None)?)
}

/// Reads what the command line says and names; none where there is a fault, and then all faults at once. (The snapshot may
/// come later.)
fn read(snapshot: PathBuf, arguments: Arguments, faults: &mut Vec<String>) -> Option<Plan> {
    let access_log = arguments.access_log();
    let listen = address("--listen", &arguments.listen, faults);
    let upstream = address("--upstream", &arguments.upstream?, faults);
    let admin = arguments.admin.map(|text| address("--admin", &text, faults));
    let workers =
        arguments.workers.map_or_else(|| Some(settings::default_workers()), |text| worker_count(&text, faults));
    let certificate = match (&arguments.cert, &arguments.key) {
        (Some(cert), Some(key)) => {
            noted("--cert, --key", ServerCertificate::from_files(cert, key), faults).map(CurrentCertificate::from)
        }
        _ => Some(CurrentCertificate::default()),
    };
    let built_in_ca =
        arguments.client_ca.map_or(Some(Vec::new()), |path| noted("--client-ca", authorities_in(&path), faults));
    let delay = arguments.drain_delay.map_or(Some(DRAIN_DELAY), |text| drain_delay(&text, faults));
    let (workers, admin) = (workers?, admin.map_or(Some(None), |admin| admin.map(Some))?);
    let port = PortSettings { port: 0, listen: vec![listen?], upstream: upstream? };
    let settings = Settings {
        workers,
        admin,
        limits: Limits::of_this_process(workers),
        access_log,
        ..Settings::for_ports(vec![port], Arc::new(certificate?))
    };
    let drain = DrainTimes { delay: delay?, ..DrainTimes::default() };
    Some(Plan { snapshot, built_in_ca: built_in_ca?, settings, drain })
}

fn parsed<T: FromStr<Err: Display>>(flag: &str, text: &str, faults: &mut Vec<String>) -> Option<T> {
    text.parse().map_err(|error| faults.push(format!("{flag}: `{text}`: {error}"))).ok()
}

fn address(flag: &str, text: &str, faults: &mut Vec<String>) -> Option<SocketAddr> {
    settings::address(text).map_err(|told| faults.push(format!("{flag}: `{text}`: {told}"))).ok()
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
