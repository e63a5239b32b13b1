//! How a connection begins: with TLS, or, where the policy lets it, without.

use super::peer::JudgedPeer;
use super::plaintext;
use super::transport::Transport;
use crate::limits;
use crate::proxy::Worker;
use crate::state::ClientCas;
use crate::tls::H2;
use policy::peer::Peer;
use policy::wire::TlsMode;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// The first byte of a TLS record that begins a handshake (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 0x16;

/// A connection that HTTP can be spoken on.
pub(super) struct Arrived {
    pub(super) transport: Transport,
    pub(super) peer: JudgedPeer,
    pub(super) is_h2: bool,
}

/// Waits for the first byte and does what the policy in force says; none where the connection is refused.
pub(super) async fn arrive(worker: &Worker, stream: TcpStream, address: SocketAddr) -> Option<Arrived> {
    let mut first = [0];
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    // Without a policy TLS is spoken, and every request refused.
    let accepts = worker.state.load().in_force().map_or(TlsMode::Optional, |in_force| in_force.ruleset.accepts());
    let tls = first == [HANDSHAKE_RECORD];
    match (tls, accepts.takes(!tls)) {
        (true, false) => None,
        (false, true) => without_tls(stream, address).await,
        (false, false) if plaintext::looks_like_http(first) => {
            worker.events.counters.plaintext_refused.add(1);
            plaintext::answer(stream).await;
            None
        }
        _ => handshake(worker, stream, address).await,
    }
}

async fn handshake(worker: &Worker, stream: TcpStream, address: SocketAddr) -> Option<Arrived> {
    let (config, verifier) = {
        let state = worker.state.load_full();
        worker.tls.for_connection(state.in_force().ok()).ok()?
    };
    let limit_buffer = |tls: &mut rustls::ServerConnection| tls.set_buffer_limit(Some(limits::TLS_BUFFER));
    let accepted = TlsAcceptor::from(Arc::new(config)).accept_with(stream, limit_buffer).await;
    let stream = accepted.inspect_err(|_| worker.events.counters.handshake_failures.add(1)).ok()?;
    let session = stream.get_ref().1;
    let is_h2 = session.alpn_protocol() == Some(H2);
    let chain = session.peer_certificates().filter(|_| verifier.is_possessed()).map(<[_]>::to_vec);
    let tls12 = session.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_2);
    let peer = Peer { tls12, ..Peer::at(address.ip(), verifier.proven().cloned()) };
    let peer = JudgedPeer::new(peer, chain, Arc::clone(verifier.cas()), worker.clock.unix_time());
    Some(Arrived { transport: Transport::Tls(Box::new(stream)), peer, is_h2 })
}

/// Plaintext proves nothing about its peer; HTTP/2 comes by prior knowledge only (RFC 9113, section 3.3).
async fn without_tls(stream: TcpStream, address: SocketAddr) -> Option<Arrived> {
    let is_h2 = plaintext::begins_h2(&stream).await.ok()?;
    let peer = Peer { plaintext: true, ..Peer::at(address.ip(), None) };
    let peer = JudgedPeer::new(peer, None, Arc::new(ClientCas::default()), Duration::ZERO);
    Some(Arrived { transport: Transport::Plain(stream), peer, is_h2 })
}
