//! Policy files are read again when they change.

use std::fs::Metadata;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Enforcer, Source};

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

/// Looks at the files of `source` and puts every change since `seen` in force that can be used; faults go to standard
/// error.
#[must_use]
pub fn watch(source: Source, mut seen: Fingerprint, enforcer: Arc<Enforcer>) -> Watching {
    let (stop, stopped) = channel();
    let thread = std::thread::spawn(move || {
        while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let now = Fingerprint::of(&source);
            if now != seen {
                seen = now;
                apply(&source, &enforcer);
            }
        }
    });
    Watching { stop, thread }
}

fn apply(source: &Source, enforcer: &Enforcer) {
    // Not written at once: the thread that fetches keys writes too, and this one may wait for it.
    let mut told = Vec::new();
    let applied = all_files(source).and_then(|()| source.apply(enforcer, &mut told));
    let said = match applied {
        Ok(_) => writeln!(told, "the changed policy is in force"),
        Err(error) => writeln!(told, "{error:#}\nthe changed policy is refused; the one before stays in force"),
    };
    // There is nowhere left to report to when standard error is gone.
    let _ = said.and_then(|()| std::io::stderr().write_all(&told));
}

/// A pipe in the place of a file would be waited for without end.
fn all_files(source: &Source) -> anyhow::Result<()> {
    for file in &source.files {
        let is_other = std::fs::metadata(file).is_ok_and(|metadata| !metadata.is_file());
        anyhow::ensure!(!is_other, "`{}` is no file any more", file.display());
    }
    Ok(())
}

/// What tells changed files from those that were read. Take it before reading: a change in between is then seen as one
/// more, never missed.
#[derive(Debug, PartialEq, Eq)]
pub struct Fingerprint(Vec<Option<[i64; 7]>>);

impl Fingerprint {
    /// Looks at the files; links are followed, so a replaced target shows too.
    #[must_use]
    pub fn of(source: &Source) -> Self {
        let of = |metadata: Metadata| {
            let [device, inode, size] = [metadata.dev(), metadata.ino(), metadata.size()].map(u64::cast_signed);
            let (modified, changed) =
                ((metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec()));
            [device, inode, size, modified.0, modified.1, changed.0, changed.1]
        };
        Self(source.files.iter().map(|file| std::fs::metadata(file).ok().map(of)).collect())
    }
}
