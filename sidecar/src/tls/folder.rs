//! A certificate in a folder that Kubernetes fills from a Secret, read again when it changes.
//!
//! The kubelet swaps a link that leads to both files, so they are looked at by name, through the links.

use super::{CurrentCertificate, ServerCertificate};
use crate::limits::CERTIFICATE_CHECK;
use crate::log::Log;
use crate::source::file::Fingerprint;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

/// A folder that is watched until this is dropped.
#[derive(Debug)]
pub struct CertificateFolder {
    /// Dropping it ends the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The files of a Secret of type `kubernetes.io/tls`.
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl CertificateFolder {
    /// Shows the certificate in the folder (`tls.crt`, `tls.key`), now and after every change. What cannot be used changes
    /// nothing and is told.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn watch(folder: &Path, shown: Arc<CurrentCertificate>, log: Log) -> io::Result<Self> {
        let files = Files { chain: folder.join("tls.crt"), key: folder.join("tls.key") };
        let (stop, stopped) = mpsc::channel();
        // Looked at before it is read: a change in between is seen as one more, never missed.
        let mut seen = files.fingerprint();
        files.show(&shown, log);
        let body = move || {
            while stopped.recv_timeout(CERTIFICATE_CHECK) == Err(mpsc::RecvTimeoutError::Timeout) {
                let now = files.fingerprint();
                if now != seen {
                    seen = now;
                    files.show(&shown, log);
                }
            }
        };
        let thread = thread::Builder::new().name("certificate".to_owned()).spawn(body)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Files {
    fn fingerprint(&self) -> [Option<Fingerprint>; 2] {
        [&self.chain, &self.key].map(|path| Fingerprint::of(path).ok())
    }

    fn show(&self, shown: &CurrentCertificate, log: Log) {
        match ServerCertificate::from_files(&self.chain, &self.key) {
            Ok(certificate) => {
                shown.replace(certificate);
                log.info("the certificate from the folder is in use");
            }
            Err(error) => log.warn("the certificate in the folder", &error),
        }
    }
}

impl Drop for CertificateFolder {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}
