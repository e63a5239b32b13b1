//! `doorward run`: the proxy from policy files, without Kubernetes.

mod keys;
mod watch;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use policy::wire::TlsMode;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use sidecar::{Limits, ServerCertificate, Settings, State};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::dev::{DevCa, Names};
use crate::explain::{NamedCas, named_cas};
use crate::issuers::{self, IssuerArgs};
use crate::load;
use crate::output::{Exit, write_diagnostics};
use crate::pem::certificates;
use crate::snapshot;

pub use keys::{Enforcer, Prepared};
pub use watch::{Fingerprint, watch};

/// What `run` is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files with one policy, and the ConfigMaps that it refers to; they are read again when they change
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Where the application listens
    #[arg(long, value_name = "ADDR", value_parser = sidecar::settings::address)]
    upstream: SocketAddr,
    /// Where the proxy listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443", value_parser = sidecar::settings::address)]
    listen: SocketAddr,
    /// The server's certificate chain in PEM; a throw-away one for localhost without it
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of --cert in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The certificates of the built-in CA, under the name that the policy gives it
    #[arg(long, value_name = "NAME=FILE")]
    client_ca: Vec<String>,
    /// Threads that serve; as many as there are CPUs without it
    #[arg(long, value_name = "N")]
    workers: Option<std::num::NonZeroUsize>,
    #[command(flatten)]
    issuers: IssuerArgs,
    /// How long fetched keys are used when they cannot be fetched again; without end without it
    #[arg(long, value_name = "DURATION", value_parser = issuers::duration)]
    keys_max_stale: Option<Duration>,
}

/// Policy files and what they are read with.
#[derive(Clone, Debug)]
pub struct Source {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Certificates for CAs that no file holds.
    pub cas: NamedCas,
    /// Networks beside the public internet, and this machine, in which keys may be fetched.
    pub issuers: IssuerArgs,
}

impl Source {
    /// Compiles the files and puts the policy in force; warnings go to `out`. Tells how connections are accepted.
    ///
    /// # Errors
    /// Where a file cannot be read, the policy is refused, or there is not exactly one. What was in force stays.
    pub fn apply(&self, enforcer: &Enforcer, out: &mut impl Write) -> anyhow::Result<TlsMode> {
        let settings = compile::Settings { loopback_issuers: true, ..self.issuers.compile_settings() };
        let (policies, warnings) = load::load_usable(&self.files, &settings)?;
        write_diagnostics(out, &warnings)?;
        let [policy] = policies.as_slice() else {
            let names: Vec<_> = policies.iter().map(|policy| policy.body.policy.name.as_str()).collect();
            anyhow::bail!(
                "`run` stands for one port of one pod, so give one policy, not {}: {}",
                names.len(),
                names.join(", ")
            );
        };
        let built_in = policy.body.tls.client_cas.iter().find(|ca| ca.built_in).map(|ca| ca.name.as_str());
        for name in self.cas.keys() {
            ensure!(
                Some(name.as_str()) == built_in,
                "the policy has no built-in CA `{name}`: --client-ca gives the certificates of that one alone"
            );
        }
        let prepared = Prepared {
            snapshot: snapshot::of(&policies)?,
            sources: policy.sources.clone(),
            built_in_ca: built_in.and_then(|name| self.cas.get(name)).cloned().unwrap_or_default(),
        };
        enforcer.put_in_force(prepared).context("the policy cannot be put in force")?;
        Ok(policy.body.tls.mode)
    }
}

/// Runs the command until it is told to stop.
///
/// # Errors
/// Where the policy is refused at the start, or an address cannot be had.
pub fn run(args: Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    let fetching = issuer::Settings { loopback: true, max_stale: args.keys_max_stale, ..args.issuers.fetch_settings() };
    let source = Source { files: args.files, cas: named_cas(&args.client_ca)?, issuers: args.issuers };
    let enforcer = Arc::new(Enforcer::start(Arc::new(State::new()), fetching)?);
    let seen = Fingerprint::of(&source);
    let plaintext = source.apply(&enforcer, &mut std::io::stderr())? == TlsMode::Plaintext;
    let certificate = match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => server_certificate(&load::read(cert)?, &load::read(key)?)?,
        _ => {
            if !plaintext {
                writeln!(out, "no --cert: a throw-away certificate for localhost is used (curl needs -k)")?;
            }
            let names = Names { dns: vec!["localhost".to_owned()], ips: vec![args.listen.ip()], ..Names::default() };
            let issued = DevCa::new("throw-away CA")?.server(&names)?;
            server_certificate(&issued.certificate, &issued.key)?
        }
    };
    let mut settings = Settings::new(args.listen, args.upstream, certificate);
    if let Some(workers) = args.workers {
        settings.workers = workers.get();
    }
    settings.limits = Limits::of_this_process(settings.workers);
    let stop = StopSignal::listen()?;
    let running = sidecar::start(settings, Arc::clone(enforcer.state()))?;
    let scheme = if plaintext { "http" } else { "https" };
    writeln!(
        out,
        "listening on {scheme}://{}, forwarding to http://{}; stop with Ctrl-C",
        running.address, args.upstream
    )?;
    out.flush()?;
    let watching = watch(source, seen, enforcer);
    stop.wait();
    watching.stop();
    running.stop();
    Ok(Exit::Ok)
}

/// A chain and its key, both in PEM.
///
/// # Errors
/// Where either is none, or they do not belong together.
pub fn server_certificate(chain: &str, key: &str) -> anyhow::Result<ServerCertificate> {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).ok().context("no private key in PEM")?;
    ServerCertificate::new(certificates(chain)?, key).context("the server's certificate cannot be used")
}

/// SIGINT and SIGTERM, heard from the moment that this is made: what is told to stop before it waits stops too.
pub struct StopSignal {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignal {
    /// Listens from now on.
    ///
    /// # Errors
    /// Where signals cannot be listened to.
    pub fn listen() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let inside = runtime.enter();
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(inside);
        Ok(Self { runtime, interrupt, terminate })
    }

    /// Waits for either.
    pub fn wait(mut self) {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
        });
    }
}
