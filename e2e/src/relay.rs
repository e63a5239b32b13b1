//! A relay between two ports: it stands for a Service with several ends, and for a network in trouble.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::limits::CONNECT;

/// A relay at work; it ends when this is dropped, and with it all its connections.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// Connections live until it changes.
    epoch: watch::Sender<u64>,
    ends: watch::Sender<Vec<SocketAddr>>,
    accepted: AtomicU64,
}

impl Relay {
    /// Listens on `address`, and connects each caller to the first of `ends` that accepts, beginning at another one each time.
    ///
    /// # Errors
    /// Where the address cannot be bound.
    pub async fn start(address: SocketAddr, ends: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr().context("no address")?;
        let state = State { epoch: watch::Sender::new(0), ends: watch::Sender::new(ends), accepted: AtomicU64::new(0) };
        let state = Arc::new(state);
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, task, state })
    }

    /// Cuts every connection there is.
    pub fn cut(&self) {
        self.state.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Connects to these from now on; with none, nobody is answered.
    pub fn lead_to(&self, ends: Vec<SocketAddr>) {
        self.state.ends.send_replace(ends);
    }

    /// Connections that were accepted until now.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((caller, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let mut epoch = state.epoch.subscribe();
        let count = state.accepted.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            tokio::select! {
                () = relay(caller, &state, count) => {}
                // An error means that the relay is gone.
                _ = epoch.changed() => {}
            }
        });
    }
}

async fn relay(mut caller: TcpStream, state: &State, count: u64) {
    let mut ends = state.ends.borrow().clone();
    let length = u64::try_from(ends.len()).unwrap_or(u64::MAX).max(1);
    ends.rotate_left(usize::try_from(count % length).unwrap_or(0));
    for end in ends {
        if let Ok(Ok(mut called)) = timeout(CONNECT, TcpStream::connect(end)).await {
            // Whoever broke it off knows why.
            copy_bidirectional(&mut caller, &mut called).await.ok();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_cut_ends_connections_and_new_ones_come_through() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let end = TcpListener::bind(any).await.unwrap();
        let nobody = TcpListener::bind(any).await.unwrap().local_addr().unwrap();
        let relay = Relay::start(any, vec![nobody, end.local_addr().unwrap()]).await.unwrap();
        for _ in 0..2 {
            let mut caller = TcpStream::connect(relay.address).await.unwrap();
            let (mut called, _) = end.accept().await.unwrap();
            caller.write_all(b"x").await.unwrap();
            assert_eq!(called.read_u8().await.unwrap(), b'x');
            relay.cut();
            assert!(matches!(caller.read(&mut [0]).await, Ok(0) | Err(_)));
        }
        assert_eq!(relay.accepted(), 2);
    }
}
