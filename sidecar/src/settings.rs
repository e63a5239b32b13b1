//! What one proxy is started with.

use crate::access_log::AccessLog;
use crate::clock::Clock;
use crate::limits::Limits;
use crate::tls::ServerCertificate;
use std::net::SocketAddr;

/// What one proxy is started with.
#[derive(Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where the application listens.
    pub upstream: SocketAddr,
    /// The certificate that callers see.
    pub certificate: ServerCertificate,
    /// Threads that serve, at least one.
    pub workers: usize,
    /// Where probes are answered, if anywhere.
    pub admin: Option<SocketAddr>,
    /// The wall clock.
    pub clock: Clock,
    /// Bounds and times.
    pub limits: Limits,
    /// Whether and where to every request is logged.
    pub access_log: AccessLog,
}

impl Settings {
    /// A proxy with as many workers as the machine runs at once, the machine's clock, default bounds, no admin port and no access log.
    #[must_use]
    pub fn new(listen: SocketAddr, upstream: SocketAddr, certificate: ServerCertificate) -> Self {
        Self {
            listen,
            upstream,
            certificate,
            workers: default_workers(),
            admin: None,
            clock: Clock::System,
            limits: Limits::default(),
            access_log: AccessLog::Off,
        }
    }
}

/// As many as the machine runs at once; in a container the CPU limit counts.
#[must_use]
pub fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
