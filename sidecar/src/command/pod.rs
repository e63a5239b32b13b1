//! The proxy of a pod: everything from the operator, as the environment says.

use super::{Fault, run_until_drained, say};
use policy::wire::{ADMIN_PORT, DEBUG_PORT};
use sidecar::limits::STREAM_SILENCE;
use sidecar::settings::default_workers;
use sidecar::settings::environment::{Pod, of_this_process};
use sidecar::source::operator::{self, OperatorSettings};
use sidecar::tls::{CertificateFolder, CurrentCertificate};
use sidecar::{AccessLog, Binding, Capture, Clock, DrainTimes, Limits, Log, PortSettings, Settings, State};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Runs until it is told to stop.
pub(crate) fn run(access_log: AccessLog) -> Result<(), Fault> {
    let pod = Pod::read(&of_this_process)?;
    Ok(serve(pod, access_log)?)
}

fn serve(pod: Pod, access_log: AccessLog) -> anyhow::Result<()> {
    let log = Log::stderr(pod.log);
    let numbers: Vec<u16> = pod.ports.iter().map(|(port, _)| port.port).collect();
    let state = Arc::new(State::for_ports(&numbers));
    let certificate = Arc::new(CurrentCertificate::default());
    // Before anybody calls: what the volume holds, and the user's own certificate.
    let _folder =
        pod.tls.as_deref().map(|folder| CertificateFolder::watch(folder, Arc::clone(&certificate), log)).transpose()?;
    let drain = DrainTimes { delay: pod.drain_delay, ..DrainTimes::default() };
    let settings = OperatorSettings {
        address: pod.operator.address,
        token_folder: pod.operator.token,
        bundle: pod.operator.bundle,
        shows_certificate: pod.tls.is_none(),
        silence: STREAM_SILENCE,
        clock: Clock::System,
        log,
    };
    let prepared = operator::prepare(settings, &pod.state, Arc::clone(&state), &certificate)?;
    let port_settings = |(port, listen): (policy::wire::ProtectedPort, Vec<SocketAddr>)| PortSettings {
        port: port.port,
        listen,
        upstream: (Ipv4Addr::LOCALHOST, port.port).into(),
    };
    let binds = pod.capture == Capture::Bind;
    let workers = default_workers();
    let settings = Settings {
        binding: Binding::Persistent,
        capture: Some(pod.capture),
        workers,
        admin: Some((Ipv6Addr::UNSPECIFIED, ADMIN_PORT).into()),
        debug: Some((Ipv4Addr::LOCALHOST, DEBUG_PORT).into()),
        probes: pod.probes,
        limits: Limits::of_this_process(workers),
        access_log,
        log,
        ..Settings::for_ports(pod.ports.into_iter().map(port_settings).collect(), certificate)
    };
    let running = sidecar::start(settings, state)?;
    for (port, address) in running.addresses() {
        say(&format!("port {port}: {address}"));
    }
    if binds {
        // Whoever looks why the application ends with "address in use" finds the cure here.
        for port in numbers {
            say(&format!(
                "capture `bind`: the application is to listen on 127.0.0.1:{port} (HOST=127.0.0.1, or as it is called there); \
                 on 0.0.0.0 or [::] it gets `address in use`"
            ));
        }
    }
    let following = prepared.follow(Box::new(running.captured()))?;
    let ended = run_until_drained(running, drain, Some(&pod.state));
    drop(following);
    ended
}
