//! The listening socket: shared by all workers, with one bound on connections for all of them.

use crate::connection;
use crate::limits::{ACCEPT_PAUSE, BACKLOG};
use crate::proxy::Worker;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// One connection's place among those that may be open at once; free again when it is dropped.
pub(crate) struct Slot(#[expect(dead_code, reason = "held, never looked at")] OwnedSemaphorePermit);

/// Binds without `SO_REUSEPORT`: no other process may take a share of the connections to a protected port.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts for ever. Beyond the bound connections wait in the kernel until one of ours ends.
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener, slots: Arc<Semaphore>) {
    // The semaphore is never closed, so this ends only with its worker.
    while let Ok(permit) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, address)) => {
                tokio::task::spawn_local(connection::serve(Rc::clone(&worker), stream, address, Slot(permit)));
            }
            // No descriptors, or a caller that was gone before we came: trying again at once would spin.
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}
