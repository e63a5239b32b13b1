//! The listening socket, and every connection from its handshake to its end.

use super::transport::Impatient;
use super::{Shared, Stage, answer};
use crate::limits::{ACCEPT_PAUSE, BACKLOG, FIELDS, HEAD, SEND_BUFFER, TLS_BUFFER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Binds; accepted sockets inherit the bound on what the kernel holds for them. `[::]` takes IPv4 too; where there is no IPv6 at
/// all it is `0.0.0.0`.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let everywhere = address.is_ipv6() && address.ip().is_unspecified();
    match listen(address, everywhere) {
        // The kernel has no IPv6, or it is switched off (ipv6(7)).
        Err(error)
            if everywhere && matches!(Errno::from_io_error(&error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)) =>
        {
            listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), false)
        }
        bound => bound,
    }
}

fn listen(address: SocketAddr, both_families: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!both_families)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until the server stops. Beyond the bound connections wait in the kernel until one of ours ends.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener, tls: Arc<ServerConfig>) {
    let mut stage = shared.stage.subscribe();
    let mut stopping = pin!(reaches(&mut stage, Stage::Stopping));
    loop {
        tokio::select! {
            () = &mut stopping => return,
            () = accept_one(&shared, &listener, &tls) => {}
        }
    }
}

async fn accept_one(shared: &Arc<Shared>, listener: &TcpListener, tls: &Arc<ServerConfig>) {
    // The semaphore is never closed.
    let Ok(permit) = Arc::clone(&shared.connections).acquire_owned().await else { return };
    match listener.accept().await {
        Ok((stream, address)) => {
            // A socket of both families tells IPv4 addresses as mapped ones.
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            tokio::spawn(serve(Arc::clone(shared), stream, address, Arc::clone(tls), permit));
        }
        // No descriptors, or a caller that was gone before we came: trying again at once would spin.
        Err(_) => sleep(ACCEPT_PAUSE).await,
    }
}

async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    tls: Arc<ServerConfig>,
    _permit: OwnedSemaphorePermit,
) {
    // A caller with too many is closed without a word: a handshake is what it must not get from us.
    let Some(_place) = shared.addresses.take(&address.ip()) else {
        shared.parts.metrics.refused("too_many_connections");
        return;
    };
    shared.parts.metrics.connections.inc();
    let mut stage = shared.stage.subscribe();
    tokio::select! {
        () = talk(&shared, stream, address, tls) => {}
        () = reaches(&mut stage, Stage::Closed) => {}
    }
    shared.parts.metrics.connections.dec();
}

async fn talk(shared: &Arc<Shared>, stream: TcpStream, address: SocketAddr, tls: Arc<ServerConfig>) {
    let limits = &shared.parts.limits;
    // Lines are written whole. A peer that acknowledges nothing is gone: a ping finds it out. Both are best effort.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(limits.stalled));
    let stream = Impatient::new(stream, limits.stalled);
    let limit_buffer = |tls: &mut rustls::ServerConnection| tls.set_buffer_limit(Some(TLS_BUFFER));
    let accepted = timeout(limits.handshake, TlsAcceptor::from(tls).accept_with(stream, limit_buffer)).await;
    let Ok(Ok(stream)) = accepted else {
        shared.parts.metrics.handshake_failures.inc();
        return;
    };
    let service = service_fn(|request| {
        let shared = Arc::clone(shared);
        async move { Ok::<answer::Answer, std::convert::Infallible>(super::answer_to(request, &shared, address.ip()).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD).max_headers(FIELDS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut stage = shared.stage.subscribe();
    // A peer that goes away needs no answer.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = reaches(&mut stage, Stage::Stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Waits until the server is at this stage or beyond.
pub(super) async fn reaches(stage: &mut watch::Receiver<Stage>, wanted: Stage) {
    // Where the server is dropped without having been stopped, it goes on.
    if stage.wait_for(|now| *now >= wanted).await.is_err() {
        std::future::pending::<()>().await;
    }
}
