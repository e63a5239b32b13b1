//! A snapshot file, read again when it changes.
//!
//! What counts as a change is what the file system says about the file behind the name, so replacing it by rename, swapping
//! the link that leads to it (as Kubernetes does) and writing into it are all seen.

use crate::limits::FILE_CHECK;
use crate::state::{ApplyError, State};
use policy::wire::{MAX_SNAPSHOT_BYTES, Snapshot, WireError};
use rustls_pki_types::CertificateDer;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

/// Why a snapshot file is not in force.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be used.
    #[error("`{}` cannot be used", path.display())]
    Apply {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ApplyError,
    },
}

/// A file that is watched until this is dropped.
#[derive(Debug)]
pub struct Watch {
    /// Dropping it ends the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What tells one content of a file from the next without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// Applies a snapshot file now and after every change. A file that cannot be used changes nothing but the state's fault;
/// `report` hears of every attempt.
///
/// # Errors
/// Where no thread can be started.
pub fn watch(
    path: &Path,
    state: Arc<State>,
    built_in_ca: Vec<CertificateDer<'static>>,
    mut report: impl FnMut(Result<(), FileError>) + Send + 'static,
) -> io::Result<Watch> {
    let (stop, stopped) = mpsc::channel();
    let path = path.to_owned();
    // Looked at before it is read: a change in between is seen as one more, never missed.
    let mut seen = Fingerprint::of(&path).ok();
    report(load(&path, &state, &built_in_ca));
    let body = move || {
        while stopped.recv_timeout(FILE_CHECK) == Err(mpsc::RecvTimeoutError::Timeout) {
            let now = Fingerprint::of(&path).ok();
            if now != seen {
                seen = now;
                report(load(&path, &state, &built_in_ca));
            }
        }
    };
    let thread = thread::Builder::new().name("snapshot".to_owned()).spawn(body)?;
    Ok(Watch { stop: Some(stop), thread: Some(thread) })
}

/// Reads a snapshot file once and puts it in force.
///
/// # Errors
/// Where it cannot be read or used; what was in force stays, and the state tells the fault.
pub fn load(path: &Path, state: &State, built_in_ca: &[CertificateDer<'static>]) -> Result<(), FileError> {
    let bytes = read_bounded(path).map_err(|source| {
        let is_missing = source.kind() == io::ErrorKind::NotFound;
        let error = FileError::Read { path: path.to_owned(), source };
        if is_missing {
            state.note_fault(&error)
        } else {
            state.refuse(&error)
        }
        error
    })?;
    let fault = |source| FileError::Apply { path: path.to_owned(), source };
    match Snapshot::read(&bytes) {
        Ok(snapshot) => state.apply(&snapshot, built_in_ca).map_err(fault),
        Err(error) => {
            let error = fault(WireError::into(error));
            state.refuse(&error);
            Err(error)
        }
    }
}

/// One byte more than allowed is enough for the reader to refuse it.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Opening a pipe waits for somebody who writes, and nothing would be read again meanwhile.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    File::open(path)?.take(MAX_SNAPSHOT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}
