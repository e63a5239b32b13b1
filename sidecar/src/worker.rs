//! The threads of a proxy: each with a runtime, a cache and a pool of its own, so that requests share nothing.

use crate::access_log::{self, AccessLog, Writer};
use crate::admin;
use crate::connection;
use crate::drain::{Drain, DrainTimes, Drained, Local};
use crate::events::Events;
use crate::listener;
use crate::metrics::Metrics;
use crate::proxy::{Told, Worker};
use crate::settings::Settings;
use crate::state::State;
use crate::tls::TlsParts;
use crate::upstream::Upstream;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::task::LocalSet;

/// More than a process can have, and still a number that all slots can be asked for at once by.
const MOST_CONNECTIONS: usize =
    if Semaphore::MAX_PERMITS < u32::MAX as usize { Semaphore::MAX_PERMITS } else { u32::MAX as usize };

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No threads, or nothing to wait for their sockets with.
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
}

/// A proxy at work; it stops when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where probes are answered, if anywhere.
    pub admin: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    drain: Arc<Drain>,
    slots: Arc<Semaphore>,
    /// How many slots there are.
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
    let Settings { listen, upstream, certificate, workers, admin, clock, limits, access_log } = settings;
    let workers = workers.max(1);
    let (listener, address) = bind(listen)?;
    let admin = admin.map(bind).transpose()?;
    let (stop, stopped) = watch::channel(false);
    let connections = limits.connections.min(MOST_CONNECTIONS);
    let slots = Arc::new(Semaphore::new(connections));
    let metrics = Arc::new(Metrics::new(workers, Arc::clone(&state)));
    let log = match access_log {
        AccessLog::Off => None,
        AccessLog::Json(target) => {
            Some(Writer::start(target, Arc::clone(metrics.log_lost())).map_err(StartError::Worker)?)
        }
    };
    let mut running = Running {
        address,
        admin: admin.as_ref().map(|(_, address)| *address),
        stop,
        drain: Drain::new(workers),
        slots: Arc::clone(&slots),
        connections,
        threads: Vec::with_capacity(workers),
        log,
    };
    let tls = Arc::new(TlsParts::new(certificate.into_inner(), clock));
    for (number, counters) in metrics.workers().iter().enumerate() {
        let listener = listener.try_clone().map_err(StartError::Worker)?;
        let (configuration, tls, slots, limits) =
            (Arc::clone(state.current()), Arc::clone(&tls), Arc::clone(&slots), limits.clone());
        let (drain, counters) = (Arc::clone(&running.drain), Arc::clone(counters));
        let batches = running.log.as_ref().and_then(Writer::batches);
        let serve = async move |listener| {
            let upstream = Rc::new(Upstream::new(upstream, &limits, Arc::clone(&counters)));
            let drain = Local::new(drain);
            let log = batches.map(|batches| access_log::Local::new(batches, Arc::clone(&counters)));
            let told = Told { drain: Rc::clone(&drain), events: Events::new(counters, log.clone(), clock) };
            let worker = Rc::new(Worker::new(configuration, tls, Rc::clone(&upstream), limits, clock, told));
            let flushing = async {
                if let Some(log) = &log {
                    log.keep_flushing().await;
                }
            };
            let accepting = listener::accept(Rc::clone(&worker), listener, slots);
            tokio::join!(accepting, connection::watch(&worker), upstream.sweep(), drain.follow(), flushing);
        };
        running.spawn(&format!("worker-{number}"), listener, stopped.clone(), serve)?;
    }
    if let Some((listener, _)) = admin {
        let drain = Arc::clone(&running.drain);
        running.spawn("admin", listener, stopped, async move |listener| {
            admin::serve(listener, state, drain, metrics).await
        })?;
    }
    Ok(running)
}

fn bind(address: SocketAddr) -> Result<(std::net::TcpListener, SocketAddr), StartError> {
    let bound = listener::bind(address).and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    bound.map_err(|source| StartError::Bind { address, source })
}

impl Running {
    /// Ends without loss: tells callers to go elsewhere, then accepts nothing more, and lets what is in flight end. Probes are
    /// answered all the while; what is left ends with [`stop`](Self::stop). Not to be asked twice.
    pub async fn drain(&self, times: DrainTimes) -> Drained {
        self.drain.run(times, &self.slots, self.connections).await
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

    fn spawn<F, S>(
        &mut self,
        name: &str,
        listener: std::net::TcpListener,
        stopped: watch::Receiver<bool>,
        serve: F,
    ) -> Result<(), StartError>
    where
        F: FnOnce(TcpListener) -> S + Send + 'static,
        S: Future<Output = ()>,
    {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Worker)?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener).map_err(StartError::Worker)?
        };
        let body = move || run(&runtime, stopped, async move { serve(listener).await });
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
