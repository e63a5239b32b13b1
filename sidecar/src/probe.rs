//! Probes of the application: the kubelet asks the admin port, and the sidecar asks the application inside the pod. What is
//! asked was fixed at injection; nothing of the caller's request goes along, and nothing but the outcome comes back.

mod grpc;
mod http1;

use crate::limits::PROBE_MOST;
use policy::wire::{Probe, ProbeAction};
use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// The probes of a pod, by index.
#[derive(Debug)]
pub(crate) struct Probes(Box<[Rc<Slot>]>);

/// One probe. However many ask, one runs at a time, and all of them get its outcome.
#[derive(Debug)]
struct Slot {
    probe: Probe,
    running: RefCell<Option<watch::Receiver<Option<bool>>>>,
}

impl Probes {
    pub(crate) fn new(probes: Vec<Probe>) -> Self {
        Self(probes.into_iter().map(|probe| Rc::new(Slot { probe, running: RefCell::default() })).collect())
    }

    /// Whether the application is as the probe wants it; none where there is no such probe.
    pub(crate) async fn outcome(&self, index: usize) -> Option<bool> {
        let slot = self.0.get(index)?;
        let mut outcome = slot.join();
        // A run ends, and says how.
        let outcome = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| *outcome);
        Some(outcome.unwrap_or(false))
    }

    /// How long the longest may take.
    pub(crate) fn longest(probes: &[Probe]) -> Duration {
        probes.iter().map(patience).max().unwrap_or_default()
    }
}

impl Slot {
    /// The run that is under way, or a new one. It goes on when its caller leaves.
    fn join(self: &Rc<Self>) -> watch::Receiver<Option<bool>> {
        let mut running = self.running.borrow_mut();
        if let Some(outcome) = &*running {
            return outcome.clone();
        }
        let (told, outcome) = watch::channel(None);
        *running = Some(outcome.clone());
        let slot = Rc::clone(self);
        spawn_local(async move {
            let is_well = timeout(patience(&slot.probe), ask(&slot.probe.action)).await == Ok(Some(()));
            slot.running.take();
            told.send_replace(Some(is_well));
        });
        outcome
    }
}

fn patience(probe: &Probe) -> Duration {
    Duration::from_secs(probe.timeout_seconds.into()).min(PROBE_MOST)
}

/// Something where the application is well.
async fn ask(action: &ProbeAction) -> Option<()> {
    match action {
        ProbeAction::Tcp { port } => connect(*port).await.map(drop),
        ProbeAction::Http { tls, port, path, headers } => http1::ask(*tls, *port, path, headers).await,
        ProbeAction::Grpc { port, service } => grpc::ask(*port, service).await,
    }
}

async fn connect(port: u16) -> Option<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()
}
