//! How the kubelet's `preStop` reaches the sidecar: a UNIX socket on the volume that only the sidecar sees.
//!
//! `preStop` of a native sidecar runs at the start of termination, beside that of the application, and SIGTERM comes only
//! after the application has ended. So asking is all that `drain` does: it returns as soon as the drain has begun, because the
//! sidecar goes on serving by itself, and a hook that waits would only use up the pod's grace period.

use crate::limits::DRAIN_ASK;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::time::{sleep, timeout};

/// What the sidecar answers.
const BEGUN: &[u8] = b"draining\n";

/// The sidecar's end.
#[derive(Debug)]
pub struct DrainSocket(UnixListener);

/// The drain could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// Nobody listens there.
    #[error("no sidecar listens on `{}`", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It did not say that the drain has begun.
    #[error("the sidecar did not say that it drains")]
    Answer(#[source] io::Error),
}

fn path(folder: &Path) -> PathBuf {
    folder.join("drain.sock")
}

impl DrainSocket {
    /// Listens in the sidecar's own folder; a socket that a process before left there is replaced. To be called inside a
    /// runtime.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub fn bind(folder: &Path) -> io::Result<Self> {
        let path = path(folder);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self(listener))
    }

    /// Calls `begin` for whoever asks, and then says that the drain has begun; for ever.
    pub async fn serve(&self, begin: impl Fn()) {
        loop {
            match self.0.accept().await {
                Ok((mut stream, _)) => {
                    begin();
                    // Who does not listen to the answer needs none.
                    let _ = timeout(DRAIN_ASK, stream.write_all(BEGUN)).await;
                }
                Err(_) => sleep(crate::limits::ACCEPT_PAUSE).await,
            }
        }
    }
}

/// Asks the sidecar with this folder to begin its drain, and waits until it has begun.
///
/// # Errors
/// Where it does not listen or does not answer in two seconds.
pub fn ask(folder: &Path) -> Result<(), DrainError> {
    let path = path(folder);
    let mut stream = UnixStream::connect(&path).map_err(|source| DrainError::Connect { path, source })?;
    let mut answer = Vec::new();
    let read = stream
        .set_read_timeout(Some(DRAIN_ASK))
        .and_then(|()| stream.by_ref().take(BEGUN.len() as u64).read_to_end(&mut answer));
    read.map_err(DrainError::Answer)?;
    if answer == BEGUN { Ok(()) } else { Err(DrainError::Answer(io::ErrorKind::UnexpectedEof.into())) }
}
