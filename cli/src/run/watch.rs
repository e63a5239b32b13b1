//! Policy files are read again when they change.

use std::fs::Metadata;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use sidecar::State;

use super::Source;

/// How often files are looked at: an editor's save is in force before a hand reaches the next window.
const INTERVAL: Duration = Duration::from_millis(200);

/// A thread that looks at the files.
pub struct Watching {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watching {
    /// Ends it.
    pub fn stop(self) {
        drop(self.stop);
        // A thread that panicked has said so on standard error.
        let _ = self.thread.join();
    }
}

/// Looks at the files of `source` and puts every change in force that can be used; faults go to standard error.
#[must_use]
pub fn watch(source: Source, state: Arc<State>) -> Watching {
    let (stop, stopped) = channel();
    let thread = std::thread::spawn(move || {
        let mut seen = fingerprint(&source);
        while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let now = fingerprint(&source);
            if now != seen {
                seen = now;
                apply(&source, &state);
            }
        }
    });
    Watching { stop, thread }
}

fn apply(source: &Source, state: &State) {
    let mut errors = std::io::stderr().lock();
    let said = match source.apply(state, &mut errors) {
        Ok(_) => writeln!(errors, "the changed policy is in force"),
        Err(error) => writeln!(errors, "{error:#}\nthe changed policy is refused; the one before stays in force"),
    };
    // There is nowhere left to report to when standard error is gone.
    let _ = said;
}

/// What tells a changed file from the one that was read; links are followed, so a replaced target shows too.
fn fingerprint(source: &Source) -> Vec<Option<[i64; 5]>> {
    let of = |metadata: Metadata| {
        let numbers = [metadata.dev(), metadata.ino(), metadata.size()].map(u64::cast_signed);
        [numbers[0], numbers[1], numbers[2], metadata.mtime(), metadata.mtime_nsec()]
    };
    source.files.iter().map(|file| std::fs::metadata(file).ok().map(of)).collect()
}
