//! One JSON line for every request, which no request ever waits for.
//!
//! Each worker gathers its lines and hands them over in batches to one thread that writes; a line of its own for every
//! request would cost a wake-up of that thread. Where it does not keep up, lines are dropped, counted, and told.
//!
//! A line holds nothing of a token, a header field but Host, or a query. What a caller chose is escaped and bounded.

mod line;
mod writer;

pub(crate) use line::Line;
pub(crate) use writer::{Batch, Writer};

use crate::events::Finished;
use crate::limits::{LOG_BATCH, LOG_FLUSH, LOG_LINE, LOG_LINGER, LOG_RETRY, LOG_SPARE};
use crate::metrics::Counters;
use http::request::Parts;
use line::Second;
use policy::time::Timestamp;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Write;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;
use tokio::sync::Notify;
use tokio::time::sleep;

/// Whether and where to every request is logged.
#[derive(Debug, Default)]
pub enum AccessLog {
    /// Nowhere.
    #[default]
    Off,
    /// As JSON, one line each.
    Json(Target),
}

/// Where lines are written.
pub struct Target(Box<dyn Write + Send>);

impl AccessLog {
    /// To standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::to(std::io::stdout())
    }

    /// To whatever can be written to. It may block: requests do not wait for it.
    #[must_use]
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self::Json(Target(Box::new(writer)))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Target")
    }
}

/// The log as one worker sees it.
pub(crate) struct Local {
    batches: SyncSender<Batch>,
    batch: RefCell<Batch>,
    /// Lines that were dropped and not told of.
    untold: Cell<u64>,
    counters: Arc<Counters>,
    begun: Notify,
    second: Second,
    /// Memory of lines that are through.
    spare: RefCell<Vec<Vec<u8>>>,
}

impl Local {
    pub(crate) fn new(batches: SyncSender<Batch>, counters: Arc<Counters>) -> Rc<Self> {
        let (untold, begun, second) = (Cell::new(0), Notify::new(), Second::default());
        let (batch, spare) = (RefCell::default(), RefCell::default());
        Rc::new(Self { batches, batch, untold, counters, begun, second, spare })
    }

    /// The line of a request that begins.
    pub(crate) fn begin(&self, now: Timestamp, head: &Parts, id: &str, client: IpAddr) -> Line {
        let memory = self.spare.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(LOG_LINE));
        Line::begin(memory, (&self.second, now), head, id, client)
    }

    /// A request is over.
    pub(crate) fn note(&self, line: Line, finished: &Finished) {
        let size = {
            let mut batch = self.batch.borrow_mut();
            if batch.is_empty() {
                self.begun.notify_one();
            }
            let text = line.end(finished);
            batch.push(&text);
            self.keep(text);
            batch.len()
        };
        if size >= LOG_BATCH {
            self.flush();
        }
    }

    /// Hands over what was gathered, in time and for ever.
    pub(crate) async fn keep_flushing(&self) {
        loop {
            self.begun.notified().await;
            sleep(LOG_FLUSH).await;
            self.flush();
            // Without further requests nobody else would tell.
            while self.untold.get() > 0 {
                sleep(LOG_RETRY).await;
                self.flush();
            }
        }
    }

    fn keep(&self, mut memory: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < LOG_SPARE && memory.capacity() <= LOG_LINE {
            memory.clear();
            spare.push(memory);
        }
    }

    fn flush(&self) {
        let batch = self.batch.take();
        let untold = self.untold.get();
        if batch.is_empty() && untold == 0 {
            return;
        }
        let lines = batch.lines();
        match self.batches.try_send(batch.after_dropped(untold)) {
            Ok(()) => self.untold.set(0),
            Err(_) => {
                self.untold.set(untold + lines);
                self.counters.log_dropped.add(lines);
            }
        }
    }
}

impl Drop for Local {
    /// The worker ends: nobody waits for this thread any more, so it may wait for room to tell what was dropped.
    fn drop(&mut self) {
        let until = Instant::now() + LOG_LINGER;
        self.flush();
        while self.untold.get() > 0 && Instant::now() < until {
            std::thread::sleep(LOG_RETRY);
            self.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Effect;
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::Duration;

    fn local(room: usize) -> (Rc<Local>, Receiver<Batch>, Arc<Counters>) {
        let (sender, receiver) = sync_channel(room);
        let counters = Arc::<Counters>::default();
        (Local::new(sender, Arc::clone(&counters)), receiver, counters)
    }

    fn log(local: &Local) {
        let head = http::Request::get("/a").body(()).unwrap().into_parts().0;
        let line = local.begin(Timestamp::from_millis(0), &head, "7", IpAddr::from([127, 0, 0, 1]));
        let finished =
            Finished { effect: Effect::Allow, reason: None, status: None, duration: Duration::ZERO, bytes: 0 };
        local.note(line, &finished);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_told_of_when_there_is_room_again() {
        let (local, receiver, counters) = local(1);
        for _ in 0..3 {
            log(&local);
            log(&local);
            local.flush();
        }
        assert_eq!((counters.log_dropped.get(), local.untold.get()), (4, 4));
        assert_eq!(receiver.recv().unwrap().text().lines().count(), 2);
        log(&local);
        local.flush();
        let text = receiver.recv().unwrap().text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[0], lines.len(), local.untold.get()), (r#"{"dropped":4}"#, 2, 0));
        local.flush();
        assert!(receiver.try_recv().is_err(), "nothing to tell, nothing sent");
    }

    #[test]
    fn a_batch_goes_when_it_is_full_and_the_last_one_at_the_end() {
        let (local, receiver, _) = local(100);
        let mut count = 0;
        while receiver.try_recv().is_err() {
            log(&local);
            count += 1;
            assert!(count < LOG_BATCH);
        }
        log(&local);
        drop(local);
        assert_eq!(receiver.recv().unwrap().lines(), 1);
    }
}
