//! The thread that writes, and what it is handed.

use super::Target;
use crate::limits::{LOG_BATCH, LOG_LINGER, LOG_QUEUE};
use crate::metrics::Count;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Whole lines.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    text: Vec<u8>,
    lines: u64,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// In bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        if self.text.capacity() == 0 {
            self.text.reserve(LOG_BATCH);
        }
        self.text.extend_from_slice(line);
        self.lines += 1;
    }

    /// This batch, after a line that tells how many are missing before it.
    pub(super) fn after_dropped(self, dropped: u64) -> Self {
        if dropped == 0 {
            return self;
        }
        let mut text = format!("{{\"dropped\":{dropped}}}\n").into_bytes();
        text.extend_from_slice(&self.text);
        Self { text, lines: self.lines }
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.text.clone()).unwrap()
    }
}

/// The thread that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    batches: Option<SyncSender<Batch>>,
    /// Ends when the thread does. In a lock only because a receiver cannot be shared without one.
    ended: Mutex<Receiver<()>>,
}

impl Writer {
    /// Starts it; `lost` counts the lines that could not be written.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub(crate) fn start(target: Target, lost: Arc<Count>) -> io::Result<Self> {
        let (batches, received) = sync_channel::<Batch>(LOG_QUEUE);
        let (end, ended) = sync_channel(0);
        let body = move || {
            let Target(mut target) = target;
            for batch in received {
                if target.write_all(&batch.text).and_then(|()| target.flush()).is_err() {
                    lost.add(batch.lines);
                }
            }
            drop(end);
        };
        thread::Builder::new().name("access-log".to_owned()).spawn(body)?;
        Ok(Self { batches: Some(batches), ended: Mutex::new(ended) })
    }

    /// Where batches are put.
    pub(crate) fn batches(&self) -> Option<SyncSender<Batch>> {
        self.batches.clone()
    }
}

impl Drop for Writer {
    /// Lets it write what it has, but not for ever: whoever should read may be gone.
    fn drop(&mut self) {
        drop(self.batches.take());
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: the end of the thread ends the channel.
        let _ = ended.recv_timeout(LOG_LINGER);
    }
}
