//! Which ports' traffic is proven to come to this process.

use crate::limits::CAPTURED_BYTES;
use crate::sockets::Sockets;
use policy::wire::{CAPTURED_FILE, Captured};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How traffic comes to this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capture {
    /// The kernel leads it here, as a file in this folder says.
    Redirect(PathBuf),
    /// This process listens where callers connect to.
    Bind,
}

/// Tells the ports whose traffic comes here now: those that are listened on, and under `redirect` proven to be led here too.
#[derive(Clone, Debug)]
pub(crate) struct CapturedPorts {
    capture: Capture,
    sockets: Arc<Sockets>,
}

impl CapturedPorts {
    pub(crate) fn new(capture: Capture, sockets: Arc<Sockets>) -> Self {
        Self { capture, sockets }
    }

    /// In order.
    pub(crate) fn now(&self) -> Vec<u16> {
        let mut ports = self.sockets.bound_ports();
        if let Capture::Redirect(folder) = &self.capture {
            let proven = read(folder).map_or_else(Vec::new, |captured| captured.ports);
            ports.retain(|port| proven.contains(port));
        }
        ports
    }
}

/// What the capture container wrote; none where it cannot be read.
fn read(folder: &Path) -> Option<Captured> {
    let mut bytes = Vec::new();
    File::open(folder.join(CAPTURED_FILE)).ok()?.take(CAPTURED_BYTES + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > CAPTURED_BYTES {
        return None;
    }
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_that_is_too_large_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let write = |spaces: usize| {
            let text = format!(r#"{{"ports":[3000]}}{}"#, " ".repeat(spaces));
            std::fs::write(folder.path().join(CAPTURED_FILE), text).unwrap();
        };
        write(0);
        assert_eq!(read(folder.path()).map(|captured| captured.ports), Some(vec![3000]));
        write(usize::try_from(CAPTURED_BYTES).unwrap());
        assert_eq!(read(folder.path()).map(|captured| captured.ports), None);
    }
}
