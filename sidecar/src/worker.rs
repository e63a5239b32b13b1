//! The threads of a proxy: each with a runtime, a cache and a pool of its own, so that requests share nothing.

use crate::access_log::{self, AccessLog, Batch, Writer};
use crate::admin;
use crate::captured::{Capture, CapturedPorts};
use crate::clock::Clock;
use crate::connection;
use crate::denials::Denials;
use crate::drain::{Drain, DrainTimes, Drained, Local, Stage};
use crate::events::Events;
use crate::limits::Limits;
use crate::listener;
use crate::metrics::{Counters, Metrics};
use crate::places::Places;
use crate::proxy::{Told, Worker};
use crate::settings::{PortSettings, Settings};
use crate::sockets::{BindError, Sockets};
use crate::state::State;
use crate::tls::TlsParts;
use crate::upstream::Upstream;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::task::{LocalSet, spawn_local};

/// More than a process can have, and still a number that all places can be asked for at once by.
const MOST_CONNECTIONS: usize =
    if Semaphore::MAX_PERMITS < u32::MAX as usize { Semaphore::MAX_PERMITS } else { u32::MAX as usize };

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A port that the state does not have.
    #[error("port {0} is none of those that are decided about")]
    Port(u16),
    /// No threads, or nothing to wait for their sockets with.
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
}

/// A proxy at work; it stops when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// Where it listens for its first port.
    pub address: SocketAddr,
    /// Where probes are answered, if anywhere.
    pub admin: Option<SocketAddr>,
    /// Where people look into it, if anywhere.
    pub debug: Option<SocketAddr>,
    sockets: Arc<Sockets>,
    captured: CapturedPorts,
    stop: watch::Sender<bool>,
    drain: Arc<Drain>,
    places: Arc<Places>,
    /// How many places there are.
    connections: usize,
    threads: Vec<JoinHandle<()>>,
    /// Ends after the threads that fill it.
    log: Option<Writer>,
}

/// Starts a proxy that decides with `state`.
///
/// # Errors
/// Where an address cannot be listened on or a thread cannot be started; nothing is left running then.
pub fn start(settings: Settings, state: Arc<State>) -> Result<Running, StartError> {
    let workers = settings.workers.max(1);
    if let Some(stray) = settings.ports.iter().find(|port| state.current(port.port).is_none()) {
        return Err(StartError::Port(stray.port));
    }
    let sockets = Arc::new(Sockets::bind(&settings.ports, settings.binding, workers, settings.log)?);
    let (admin, debug) = (bind_own(settings.admin)?, bind_own(settings.debug)?);
    let (stop, stopped) = watch::channel(false);
    let connections = settings.limits.connections.min(MOST_CONNECTIONS);
    let metrics = Arc::new(Metrics::new(workers * settings.ports.len(), Arc::clone(&state)));
    let log = match settings.access_log {
        AccessLog::Off => None,
        AccessLog::Json(target) => {
            Some(Writer::start(target, Arc::clone(metrics.log_lost())).map_err(StartError::Worker)?)
        }
    };
    let mut running = Running {
        address: sockets.addresses().first().map_or(SocketAddr::from(([0; 4], 0)), |(_, address)| *address),
        admin: admin.as_ref().map(|(_, address)| *address),
        debug: debug.as_ref().map(|(_, address)| *address),
        captured: CapturedPorts::new(settings.capture.unwrap_or(Capture::Bind), Arc::clone(&sockets)),
        sockets: Arc::clone(&sockets),
        stop,
        drain: Drain::new(workers * sockets.len()),
        places: Arc::new(Places::new(connections)),
        connections,
        threads: Vec::with_capacity(workers + 1),
        log,
    };
    let tls = Arc::new(TlsParts::new(Arc::clone(&settings.certificate), settings.clock));
    let denials: Vec<Arc<Denials>> = (0..workers).map(|_| Arc::default()).collect();
    let mut counters = metrics.workers().iter();
    for (number, denials) in denials.iter().enumerate() {
        let thread = Thread {
            number,
            ports: settings.ports.iter().cloned().zip(counters.by_ref().map(Arc::clone)).collect(),
            sockets: Arc::clone(&sockets),
            state: Arc::clone(&state),
            tls: Arc::clone(&tls),
            places: Arc::clone(&running.places),
            drain: Arc::clone(&running.drain),
            limits: settings.limits.clone(),
            clock: settings.clock,
            denials: Arc::clone(denials),
            batches: running.log.as_ref().and_then(Writer::batches),
        };
        running.spawn(&format!("worker-{number}"), stopped.clone(), move || thread.serve())?;
    }
    if let Some((listener, _)) = admin {
        let site = admin::Site {
            state,
            drain: Arc::clone(&running.drain),
            metrics,
            sockets,
            captured: running.captured.clone(),
            certificate: settings.certificate,
            probes: settings.probes,
            denials,
        };
        let debug = debug.map(|(listener, _)| listener);
        running.spawn("admin", stopped, move || admin::serve(listener, debug, site))?;
    }
    Ok(running)
}

/// Binds a port of our own.
fn bind_own(address: Option<SocketAddr>) -> Result<Option<(TcpListener, SocketAddr)>, BindError> {
    let Some(address) = address else { return Ok(None) };
    let bound = listener::bind(address).and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    bound.map(Some).map_err(|source| BindError { address, source: Arc::new(source) })
}

/// What one thread serves with.
struct Thread {
    number: usize,
    ports: Vec<(PortSettings, Arc<Counters>)>,
    sockets: Arc<Sockets>,
    state: Arc<State>,
    tls: Arc<TlsParts>,
    places: Arc<Places>,
    drain: Arc<Drain>,
    limits: Limits,
    clock: Clock,
    denials: Arc<Denials>,
    batches: Option<SyncSender<Batch>>,
}

impl Thread {
    /// Serves all ports, for ever.
    async fn serve(mut self) {
        let drain = Local::new(Arc::clone(&self.drain));
        // What a pod's memory allows is shared by its ports.
        self.limits.token_cache /= self.ports.len().max(1);
        let lines = self.ports.first().map(|(_, counters)| counters).zip(self.batches.take());
        let lines = lines.map(|(counters, batches)| access_log::Local::new(batches, Arc::clone(counters)));
        for (port, counters) in &self.ports {
            let Some(configuration) = self.state.current(port.port) else { continue };
            let upstream = Rc::new(Upstream::new(port.upstream, &self.limits, Arc::clone(counters)));
            let told = Told {
                drain: Rc::clone(&drain),
                events: Events::new(
                    port.port,
                    Arc::clone(counters),
                    lines.clone(),
                    Arc::clone(&self.denials),
                    self.clock,
                ),
                unknown_keys: Arc::clone(self.state.unknown_keys()),
            };
            let (configuration, tls, limits) = (Arc::clone(configuration), Arc::clone(&self.tls), self.limits.clone());
            let worker = Worker::new(configuration, tls, Rc::clone(&upstream), limits, self.clock, told);
            spawn_local(async move { upstream.sweep().await });
            let worker = Rc::new(worker);
            let watched = Rc::clone(&worker);
            spawn_local(async move { connection::watch(&watched).await });
            for place in self.sockets.of_port(port.port) {
                spawn_local(accept(Rc::clone(&worker), Arc::clone(&self.sockets), place, Arc::clone(&self.places)));
            }
        }
        let flushing = async {
            if let Some(lines) = &lines {
                lines.keep_flushing().await;
            }
        };
        let binding = async {
            if self.number == 0 {
                self.sockets.keep_binding(&drain).await;
            }
        };
        tokio::join!(drain.follow(), flushing, binding);
    }
}

/// Accepts on a socket from the moment that it is bound.
async fn accept(worker: Rc<Worker>, sockets: Arc<Sockets>, place: usize, places: Arc<Places>) {
    let drain = Rc::clone(&worker.drain);
    let listener = tokio::select! {
        listener = sockets.listener(place) => listener,
        () = drain.reaches(Stage::Closing) => None,
    };
    match listener {
        Some(listener) => listener::accept(worker, listener, places).await,
        // The drain waits for every one that may accept.
        None => drop(drain.accepting()),
    }
}

impl Running {
    /// The ports with the addresses that they are reached at.
    #[must_use]
    pub fn addresses(&self) -> Vec<(u16, SocketAddr)> {
        self.sockets.addresses()
    }

    /// Tells the ports whose traffic comes here, at any moment that it is asked: all that are listened on where the settings
    /// say nothing about how traffic comes.
    pub fn captured(&self) -> impl Fn() -> Vec<u16> + Send + Sync + 'static {
        let captured = self.captured.clone();
        move || captured.now()
    }

    /// Tells callers to go elsewhere from now on, and is not ready any more; new connections are served.
    pub fn begin_drain(&self) {
        self.drain.begin();
    }

    /// Waits until the drain has begun, then for the delay, counted from its beginning; after that nothing new is accepted.
    pub async fn close_ports(&self, delay: Duration) {
        self.drain.close(delay).await;
    }

    /// Ends without loss: tells callers to go elsewhere, unless that has begun, then accepts nothing more, and lets what is in
    /// flight end. Probes are answered all the while; what is left ends with [`stop`](Self::stop). Not to be asked twice.
    pub async fn drain(&self, times: DrainTimes) -> Drained {
        self.drain.run(times, self.places.free(), self.connections).await
    }

    /// Stops: takes no further connections, ends those that are open, and waits for the threads.
    pub fn stop(mut self) {
        self.end();
    }

    /// Waits until it ends by itself, which it does not unless every thread is lost.
    pub fn wait(mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            // A thread that panicked has ended too, and its panic was reported where it happened.
            let _ = thread.join();
        }
        drop(self.log.take());
    }

    fn spawn<F, S>(&mut self, name: &str, stopped: watch::Receiver<bool>, serve: F) -> Result<(), StartError>
    where
        F: FnOnce() -> S + Send + 'static,
        S: Future<Output = ()>,
    {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Worker)?;
        let body = move || run(&runtime, stopped, async move { serve().await });
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body).map_err(StartError::Worker)?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Serves until told to stop; what is still open then ends with the runtime.
fn run(runtime: &Runtime, mut stopped: watch::Receiver<bool>, serve: impl Future<Output = ()>) {
    LocalSet::new().block_on(runtime, async {
        tokio::select! {
            () = serve => {}
            // An error means that nobody is left who could tell us.
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    });
}
