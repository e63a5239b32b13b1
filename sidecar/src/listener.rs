//! The listening socket: shared by all workers, with one bound on connections for all of them.

use crate::connection;
use crate::drain::Stage;
use crate::limits::{ACCEPT_PAUSE, BACKLOG};
use crate::places::Places;
use crate::proxy::Worker;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

/// One connection's place among those that may be open at once; free again when it is dropped.
pub(crate) struct Slot {
    worker: Rc<Worker>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// What the connection is called on its thread.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.worker.connections.left(self.number);
        self.worker.events.counters.closed.add(1);
    }
}

/// Binds without `SO_REUSEPORT`: no other process may take a share of the connections to a protected port. `[::]` takes IPv4
/// too; where there is no IPv6 at all it is `0.0.0.0`.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let everywhere = address.is_ipv6() && address.ip().is_unspecified();
    match listen(address, everywhere) {
        Err(error) if everywhere && lacks_ipv6(&error) => {
            listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), false)
        }
        bound => bound,
    }
}

/// EAFNOSUPPORT where the kernel has no IPv6, EADDRNOTAVAIL where it is switched off (ipv6(7)).
fn lacks_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn listen(address: SocketAddr, both_families: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!both_families)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the drain closes the port. Beyond the bound one connection waits here for its place, and others in the kernel,
/// until one of ours ends. (A place is taken for a connection that is there: those who wait for one would hold all.)
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener, places: Arc<Places>) {
    let _accepting = worker.drain.accepting();
    let mut closing = pin!(worker.drain.reaches(Stage::Closing));
    loop {
        tokio::select! {
            () = closing.as_mut() => break,
            () = places.wanted() => worker.connections.make_room(),
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => tokio::select! {
                    () = closing.as_mut() => break,
                    permit = places.wait(&worker) => if let Some(permit) = permit {
                        serve(&worker, stream, address, permit);
                    }
                },
                // No descriptors, or a caller that was gone before we came: trying again at once would spin.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }
    take_in(&worker, listener, &places);
}

/// Accepts what the kernel accepted for us already: closing the socket would reset these callers.
fn take_in(worker: &Rc<Worker>, listener: TcpListener, places: &Places) {
    let Ok(listener) = listener.into_std() else { return };
    while let Some(permit) = places.take()
        && let Ok((stream, address)) = listener.accept()
    {
        if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            serve(worker, stream, address, permit);
        }
    }
}

fn serve(worker: &Rc<Worker>, stream: TcpStream, address: SocketAddr, permit: OwnedSemaphorePermit) {
    worker.events.counters.opened.add(1);
    // A socket of both families tells IPv4 addresses as mapped ones.
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let number = worker.connections.number();
    let slot = Slot { worker: Rc::clone(worker), number, _permit: permit };
    let task = tokio::task::spawn_local(connection::serve(Rc::clone(worker), stream, address, slot));
    worker.connections.came(number, task.abort_handle());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    /// Listens as an application does that wants to share the port (socket(7), `SO_REUSEPORT`).
    fn share(address: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(1)?;
        Ok(socket)
    }

    #[test]
    fn no_other_listener_shares_a_protected_port() {
        // As with `bind`: the proxy has the pod's address, the application the loopback address.
        let pod = Ipv4Addr::new(127, 0, 0, 2);
        let ours = bind(SocketAddr::new(pod.into(), 0)).unwrap();
        let port = ours.local_addr().unwrap().port();
        for everywhere in [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into(), pod.into()] {
            let error = share(SocketAddr::new(everywhere, port)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{everywhere}: {error}");
        }
        share(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)).unwrap();
        // As with `redirect`: the proxy has all addresses.
        let ours = bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)).unwrap();
        let port = ours.local_addr().unwrap().port();
        let loopback = Ipv4Addr::LOCALHOST;
        for address in [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into(), loopback.into()] {
            let error = share(SocketAddr::new(address, port)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{address}: {error}");
        }
    }
}
