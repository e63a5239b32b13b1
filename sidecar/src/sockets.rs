//! The listening sockets: bound before anything else happens, or, where that is wanted, as soon as it can be done.

use crate::drain::{Local, Stage};
use crate::limits::REBIND_PAUSE;
use crate::listener;
use crate::log::Log;
use crate::settings::{Binding, PortSettings};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::time::sleep;

/// The listening sockets of a proxy.
#[derive(Debug)]
pub(crate) struct Sockets {
    all: Vec<Socket>,
    /// How many threads accept on each.
    workers: usize,
    log: Log,
}

/// One listening socket.
#[derive(Debug)]
struct Socket {
    port: u16,
    wanted: SocketAddr,
    bound: watch::Sender<Bound>,
    /// One for each worker. None stays here: a socket that nobody accepts on would keep the port open.
    clones: Mutex<Vec<TcpListener>>,
}

/// Whether a socket is bound.
#[derive(Debug)]
enum Bound {
    /// Not yet, and why not.
    Not(Arc<io::Error>),
    /// To this address.
    To(SocketAddr),
}

/// A socket that cannot be bound.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// Where to.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: Arc<io::Error>,
}

impl Sockets {
    /// Binds the sockets of all ports.
    ///
    /// # Errors
    /// Where one cannot be bound and everything has to be bound at once.
    pub(crate) fn bind(ports: &[PortSettings], binding: Binding, workers: usize, log: Log) -> Result<Self, BindError> {
        let unbound = |port: u16, wanted: SocketAddr| Socket {
            port,
            wanted,
            bound: watch::Sender::new(Bound::Not(Arc::new(io::ErrorKind::NotConnected.into()))),
            clones: Mutex::default(),
        };
        let all: Vec<_> =
            ports.iter().flat_map(|port| port.listen.iter().map(|address| unbound(port.port, *address))).collect();
        let sockets = Self { all, workers, log };
        for socket in &sockets.all {
            match socket.bind(workers) {
                Err(error) if binding == Binding::AtOnce => return Err(error),
                Err(error) => sockets.log.error(&error),
                Ok(()) => {}
            }
        }
        Ok(sockets)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The positions of the sockets of a port.
    pub(crate) fn of_port(&self, port: u16) -> impl Iterator<Item = usize> {
        self.all.iter().enumerate().filter(move |(_, socket)| socket.port == port).map(|(place, _)| place)
    }

    /// The ports with the addresses that they are to be reached at, or are.
    pub(crate) fn addresses(&self) -> Vec<(u16, SocketAddr)> {
        let address = |socket: &Socket| match *socket.bound.borrow() {
            Bound::To(address) => address,
            Bound::Not(_) => socket.wanted,
        };
        self.all.iter().map(|socket| (socket.port, address(socket))).collect()
    }

    /// Why the first socket that is not bound is not.
    pub(crate) fn fault(&self) -> Option<BindError> {
        self.all.iter().find_map(Socket::fault)
    }

    /// The ports all of whose sockets are bound.
    pub(crate) fn bound_ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.all.iter().map(|socket| socket.port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.retain(|port| self.all.iter().filter(|socket| socket.port == *port).all(|one| one.fault().is_none()));
        ports
    }

    /// Binds what could not be bound before, until all are or nothing new is to be accepted.
    pub(crate) async fn keep_binding(&self, drain: &Rc<Local>) {
        while self.fault().is_some() {
            tokio::select! {
                () = drain.reaches(Stage::Closing) => return,
                () = sleep(REBIND_PAUSE) => {}
            }
            for socket in self.all.iter().filter(|socket| socket.fault().is_some()) {
                if socket.bind(self.workers).is_ok() {
                    self.log.info(&format!("listening on {}", socket.wanted));
                }
            }
        }
    }

    /// A worker's own handle of a socket, once it is bound; to be asked once by each worker.
    pub(crate) async fn listener(&self, place: usize) -> Option<tokio::net::TcpListener> {
        let socket = self.all.get(place)?;
        // The sender stands in `self`.
        let _ = socket.bound.subscribe().wait_for(|bound| matches!(bound, Bound::To(_))).await;
        let listener = socket.clones.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        tokio::net::TcpListener::from_std(listener).inspect_err(|error| self.log.error(error)).ok()
    }
}

impl Socket {
    fn bind(&self, workers: usize) -> Result<(), BindError> {
        let bound = listener::bind(self.wanted).and_then(|listener| {
            let address = listener.local_addr()?;
            let mut clones = (1..workers).map(|_| listener.try_clone()).collect::<io::Result<Vec<_>>>()?;
            clones.push(listener);
            Ok((clones, address))
        });
        match bound {
            Ok((clones, address)) => {
                *self.clones.lock().unwrap_or_else(PoisonError::into_inner) = clones;
                self.bound.send_replace(Bound::To(address));
                Ok(())
            }
            Err(source) => {
                let source = Arc::new(source);
                self.bound.send_replace(Bound::Not(Arc::clone(&source)));
                Err(BindError { address: self.wanted, source })
            }
        }
    }

    fn fault(&self) -> Option<BindError> {
        match &*self.bound.borrow() {
            Bound::Not(source) => Some(BindError { address: self.wanted, source: Arc::clone(source) }),
            Bound::To(_) => None,
        }
    }
}
