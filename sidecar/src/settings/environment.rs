//! What injection wrote into the environment of our containers. All faults are found in one reading, and no value is said that
//! could be secret.

use crate::captured::Capture;
use crate::certificate;
use crate::limits::DRAIN_DELAY;
use crate::link::OperatorAddress;
use crate::log::Level;
use policy::wire::{
    ADMIN_PORT, DEBUG_PORT, ENV_BUNDLE, ENV_CAPTURE, ENV_CAPTURE_DIR, ENV_CLIENT_DIR, ENV_DRAIN_SECONDS, ENV_LOG_LEVEL,
    ENV_OPERATOR, ENV_POD_IPS, ENV_PORTS, ENV_PROBES, ENV_STATE_DIR, ENV_TLS_DIR, ENV_TOKEN_DIR, MAX_DRAIN_SECONDS,
    MAX_PORTS, MAX_PROBES, Probe, ProtectedPort,
};
use rustls_pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What the sidecar of a pod is told.
#[derive(Debug)]
pub struct Pod {
    /// The operator.
    pub operator: Operator,
    /// The protected ports with the addresses to listen on.
    pub ports: Vec<(ProtectedPort, Vec<SocketAddr>)>,
    /// The probes, by index.
    pub probes: Vec<Probe>,
    /// How traffic comes here.
    pub capture: Capture,
    /// How long connections are accepted after the pod was told to end.
    pub drain_delay: Duration,
    /// How much is said.
    pub log: Level,
    /// The folder of a certificate that takes the place of the built-in CA's for callers.
    pub tls: Option<PathBuf>,
    /// The sidecar's own folder.
    pub state: PathBuf,
}

/// How the operator is reached.
#[derive(Debug)]
pub struct Operator {
    /// Its address.
    pub address: OperatorAddress,
    /// The certificates that vouch for it at first.
    pub bundle: Vec<CertificateDer<'static>>,
    /// The folder of the token.
    pub token: PathBuf,
}

/// What the agent for callers is told.
#[derive(Debug)]
pub struct Agent {
    /// The operator.
    pub operator: Operator,
    /// Where the files go.
    pub folder: PathBuf,
    /// How much is said.
    pub log: Level,
}

/// What the capture container is told.
#[derive(Debug)]
pub struct CaptureOrder {
    /// The protected ports.
    pub ports: Vec<ProtectedPort>,
    /// Where the proof goes.
    pub folder: PathBuf,
}

/// All that is wrong with the environment.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Faults(pub Vec<String>);

/// A variable by its name.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process; what is no UTF-8 is as good as not there.
#[must_use]
pub fn of_this_process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Pod {
    /// Reads the environment of a sidecar.
    ///
    /// # Errors
    /// All faults.
    pub fn read(lookup: Lookup) -> Result<Self, Faults> {
        let mut reader = Reader { lookup, faults: Vec::new() };
        let operator = reader.operator();
        let ports = reader.ports();
        let probes = reader.probes();
        let capture = reader.capture();
        let drain_delay = reader.drain_delay();
        let ips = match capture {
            Some(Capture::Bind) => reader.pod_ips(),
            _ => Some(vec![Ipv6Addr::UNSPECIFIED.into()]),
        };
        let (log, tls, state) = (reader.log(), reader.optional(ENV_TLS_DIR), reader.folder(ENV_STATE_DIR));
        if let (Some(ports), Some(Capture::Bind)) = (&ports, &capture) {
            for port in ports.iter().filter(|port| port.listen != port.port) {
                reader.fault(ENV_PORTS, &format!("port {} listens on {} under `bind`", port.port, port.listen));
            }
        }
        let read = (|| {
            let ips = ips?;
            let listen = |port: ProtectedPort| {
                (port, ips.iter().map(|ip| SocketAddr::new(*ip, port.listen)).collect::<Vec<_>>())
            };
            let ports = ports?.into_iter().map(listen).collect();
            let tls = tls.map(PathBuf::from);
            let (capture, drain_delay) = (capture?, drain_delay?);
            Some(Self {
                operator: operator?,
                ports,
                probes: probes?,
                capture,
                drain_delay,
                log: log?,
                tls,
                state: state?,
            })
        })();
        reader.finish(read)
    }
}

impl Agent {
    /// Reads the environment of the agent for callers.
    ///
    /// # Errors
    /// All faults.
    pub fn read(lookup: Lookup) -> Result<Self, Faults> {
        let mut reader = Reader { lookup, faults: Vec::new() };
        let (operator, folder, log) = (reader.operator(), reader.folder(ENV_CLIENT_DIR), reader.log());
        let read = (|| Some(Self { operator: operator?, folder: folder?, log: log? }))();
        reader.finish(read)
    }
}

impl CaptureOrder {
    /// Reads the environment of the capture container.
    ///
    /// # Errors
    /// All faults.
    pub fn read(lookup: Lookup) -> Result<Self, Faults> {
        let mut reader = Reader { lookup, faults: Vec::new() };
        let (ports, folder) = (reader.ports(), reader.folder(ENV_CAPTURE_DIR));
        let read = (|| Some(Self { ports: ports?, folder: folder? }))();
        reader.finish(read)
    }
}

/// A folder that one variable names: all that `drain` and `agent --check` need.
///
/// # Errors
/// Where the variable is not set.
pub fn folder(lookup: Lookup, name: &str) -> Result<PathBuf, Faults> {
    let mut reader = Reader { lookup, faults: Vec::new() };
    let read = reader.folder(name);
    reader.finish(read)
}

/// Reads variables and gathers what is wrong.
struct Reader<'a> {
    lookup: Lookup<'a>,
    faults: Vec<String>,
}

impl Reader<'_> {
    fn fault(&mut self, name: &str, why: &dyn Display) {
        self.faults.push(format!("{name}: {why}"));
    }

    fn finish<T>(self, read: Option<T>) -> Result<T, Faults> {
        match read {
            Some(read) if self.faults.is_empty() => Ok(read),
            _ => Err(Faults(self.faults)),
        }
    }

    /// Set and not empty.
    fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|text| !text.is_empty())
    }

    fn required(&mut self, name: &str) -> Option<String> {
        let found = self.optional(name);
        if found.is_none() {
            self.fault(name, &"not set");
        }
        found
    }

    fn folder(&mut self, name: &str) -> Option<PathBuf> {
        self.required(name).map(PathBuf::from)
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let text = self.required(name)?;
        text.parse().map_err(|error| self.fault(name, &format!("`{text}`: {error}"))).ok()
    }

    /// Names the place and not the text: a header of a probe can be a password.
    fn json<T: DeserializeOwned>(&mut self, name: &str, text: &str) -> Option<T> {
        let read = serde_json::from_str(text);
        read.map_err(|error| {
            let (line, column) = (error.line(), error.column());
            self.fault(name, &format!("cannot be read as JSON of its form, line {line}, column {column}"));
        })
        .ok()
    }

    fn operator(&mut self) -> Option<Operator> {
        let address = self.parsed(ENV_OPERATOR);
        let bundle = self.required(ENV_BUNDLE).and_then(|pem| {
            certificate::certificates(&pem).map_err(|_| self.fault(ENV_BUNDLE, &"no certificate in PEM")).ok()
        });
        let token = self.folder(ENV_TOKEN_DIR);
        Some(Operator { address: address?, bundle: bundle?, token: token? })
    }

    fn ports(&mut self) -> Option<Vec<ProtectedPort>> {
        let text = self.required(ENV_PORTS)?;
        let ports: Vec<ProtectedPort> = self.json(ENV_PORTS, &text)?;
        if !(1..=MAX_PORTS).contains(&ports.len()) {
            self.fault(ENV_PORTS, &format!("{} ports, not from 1 to {MAX_PORTS}", ports.len()));
        }
        let mut seen = Vec::new();
        for ProtectedPort { port, listen } in &ports {
            if *port == 0 || *listen == 0 {
                self.fault(ENV_PORTS, &"port 0 is none");
            }
            if [port, listen].into_iter().any(|number| [ADMIN_PORT, DEBUG_PORT].contains(number)) {
                self.fault(ENV_PORTS, &format!("{ADMIN_PORT} and {DEBUG_PORT} are the sidecar's own"));
            }
            if seen.iter().any(|(other, place)| other == port || place == listen) {
                self.fault(ENV_PORTS, &format!("port {port} or its {listen} stands there twice"));
            }
            seen.push((*port, *listen));
        }
        Some(ports)
    }

    fn probes(&mut self) -> Option<Vec<Probe>> {
        let Some(text) = self.optional(ENV_PROBES) else { return Some(Vec::new()) };
        let probes: Vec<Probe> = self.json(ENV_PROBES, &text)?;
        if probes.len() > MAX_PROBES {
            self.fault(ENV_PROBES, &format!("{} probes, more than {MAX_PROBES}", probes.len()));
        }
        for (index, probe) in probes.iter().enumerate() {
            if let Some(fault) = probe.fault() {
                self.fault(ENV_PROBES, &format!("probe {index}: {fault}"));
            }
        }
        Some(probes)
    }

    fn capture(&mut self) -> Option<Capture> {
        match self.required(ENV_CAPTURE)?.as_str() {
            "bind" => Some(Capture::Bind),
            "redirect" => self.folder(ENV_CAPTURE_DIR).map(Capture::Redirect),
            other => {
                self.fault(ENV_CAPTURE, &format!("`{other}`: neither `redirect` nor `bind`"));
                None
            }
        }
    }

    fn pod_ips(&mut self) -> Option<Vec<IpAddr>> {
        let text = self.required(ENV_POD_IPS)?;
        let ips = text.split(',').map(|ip| ip.trim().parse()).collect::<Result<Vec<IpAddr>, _>>();
        ips.map_err(|_| self.fault(ENV_POD_IPS, &format!("`{text}`: not addresses with commas between"))).ok()
    }

    fn drain_delay(&mut self) -> Option<Duration> {
        let Some(text) = self.optional(ENV_DRAIN_SECONDS) else { return Some(DRAIN_DELAY) };
        let seconds = text.parse::<u32>().ok().filter(|seconds| *seconds <= MAX_DRAIN_SECONDS);
        if seconds.is_none() {
            self.fault(ENV_DRAIN_SECONDS, &format!("`{text}`: no number from 0 to {MAX_DRAIN_SECONDS}"));
        }
        seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }

    fn log(&mut self) -> Option<Level> {
        let Some(text) = self.optional(ENV_LOG_LEVEL) else { return Some(Level::default()) };
        let level = Level::named(&text);
        if level.is_none() {
            self.fault(ENV_LOG_LEVEL, &format!("`{text}`: none of `error`, `warn`, `info`, `debug`"));
        }
        level
    }
}

#[cfg(test)]
mod tests;
