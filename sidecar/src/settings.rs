//! What one proxy is started with.

mod address;
pub mod environment;

pub use address::address;

use crate::access_log::AccessLog;
use crate::captured::Capture;
use crate::clock::Clock;
use crate::limits::Limits;
use crate::log::Log;
use crate::tls::{CurrentCertificate, ServerCertificate};
use policy::wire::Probe;
use std::net::SocketAddr;
use std::sync::Arc;

/// What one proxy is started with.
#[derive(Debug)]
pub struct Settings {
    /// The protected ports, at least one.
    pub ports: Vec<PortSettings>,
    /// What becomes of a port that cannot be listened on.
    pub binding: Binding,
    /// How traffic comes here, where that has to be proven: a port whose traffic does not makes the proxy not ready.
    pub capture: Option<Capture>,
    /// The certificate that callers see; without one the proxy is not ready, but where no policy asks for TLS.
    pub certificate: Arc<CurrentCertificate>,
    /// Threads that serve, at least one.
    pub workers: usize,
    /// Where probes are answered, if anywhere.
    pub admin: Option<SocketAddr>,
    /// Where people look into it, if anywhere; needs `admin`. For a loopback address: it tells what was refused.
    pub debug: Option<SocketAddr>,
    /// The probes of the application that are run for those who ask the admin port, by index.
    pub probes: Vec<Probe>,
    /// The wall clock.
    pub clock: Clock,
    /// Bounds and times.
    pub limits: Limits,
    /// Whether and where to every request is logged.
    pub access_log: AccessLog,
    /// What the process says about itself.
    pub log: Log,
}

/// One protected port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSettings {
    /// Its number in the policy: the one of a port of the [`State`](crate::State).
    pub port: u16,
    /// Where the proxy listens for it; port 0 takes any free one. `[::]` takes IPv4 too, and stands for `0.0.0.0` where there
    /// is no IPv6.
    pub listen: Vec<SocketAddr>,
    /// Where the application listens.
    pub upstream: SocketAddr,
}

/// What becomes of a port that cannot be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The proxy does not start.
    AtOnce,
    /// It is tried again every second, and the proxy is not ready meanwhile.
    Persistent,
}

impl Settings {
    /// A proxy for one port with as many workers as the machine runs at once, the machine's clock, default bounds, no admin
    /// port and no log.
    #[must_use]
    pub fn new(listen: SocketAddr, upstream: SocketAddr, certificate: ServerCertificate) -> Self {
        let port = PortSettings { port: 0, listen: vec![listen], upstream };
        Self::for_ports(vec![port], Arc::new(certificate.into()))
    }

    /// The same for several ports.
    #[must_use]
    pub fn for_ports(ports: Vec<PortSettings>, certificate: Arc<CurrentCertificate>) -> Self {
        Self {
            ports,
            binding: Binding::AtOnce,
            capture: None,
            certificate,
            workers: default_workers(),
            admin: None,
            debug: None,
            probes: Vec::new(),
            clock: Clock::System,
            limits: Limits::default(),
            access_log: AccessLog::Off,
            log: Log::off(),
        }
    }
}

/// As many as the machine runs at once; in a container the CPU limit counts.
#[must_use]
pub fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
