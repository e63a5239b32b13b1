//! What the sidecar tells the operator: what is in force, which ports are captured, which keys are unknown.

use crate::backoff::Backoff;
use crate::limits::{REPORT_GATHER, REPORT_INTERVAL, REPORT_REDIALS, STREAM_RETRY, STREAM_RETRY_MOST};
use crate::link::{Dialled, Link, LinkError};
use crate::log::Log;
use crate::state::State;
use crate::unknown_key::Refetch;
use bytes::Bytes;
use http::StatusCode;
use policy::wire::{MAX_UNKNOWN_KEYS, REPORT_PATH, Report, UnknownKey};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The ports whose traffic is proven to come to this process now.
pub type Captured = Box<dyn Fn() -> Vec<u16> + Send + Sync>;

/// Gathers what there is to tell.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    told: Notify,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    /// Whether a stream is open: without one nobody takes a report.
    connected: bool,
    /// Since when something is in force that was not told.
    changed: Option<Instant>,
    unknown: BTreeSet<UnknownKey>,
}

/// Sends what there is to tell.
pub(super) struct Sender {
    pub(super) reporter: Arc<Reporter>,
    pub(super) link: Arc<Link>,
    pub(super) state: Arc<State>,
    pub(super) captured: Captured,
    pub(super) log: Log,
}

impl Reporter {
    /// Something is in force that was not, or the operator may have forgotten what it was told.
    pub(super) fn changed(&self) {
        self.pending().changed.get_or_insert_with(Instant::now);
        self.told.notify_one();
    }

    /// A stream is open, or none is.
    pub(super) fn connected(&self, connected: bool) {
        self.pending().connected = connected;
        self.told.notify_one();
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refetch for Reporter {
    fn refetch(&self, unknown: &UnknownKey) {
        let mut pending = self.pending();
        if pending.unknown.len() < MAX_UNKNOWN_KEYS {
            pending.unknown.insert(unknown.clone());
        }
        drop(pending);
        self.told.notify_one();
    }
}

/// When something was told last; keys have a turn of their own, because requests wait for them.
struct Turns {
    status: Instant,
    keys: Instant,
    not_before: Instant,
}

impl Turns {
    /// When the next report is due; none while there is nothing to tell.
    fn due(&self, pending: &Pending) -> Option<Instant> {
        let status = pending.changed.map(|since| (since + REPORT_GATHER).max(self.status));
        let keys = (!pending.unknown.is_empty()).then_some(self.keys);
        let first = [status, keys].into_iter().flatten().min()?;
        pending.connected.then_some(first.max(self.not_before))
    }
}

impl Sender {
    /// For ever.
    pub(super) async fn run(self) {
        let (mut backoff, now) = (Backoff::new(STREAM_RETRY, STREAM_RETRY_MOST), Instant::now());
        let mut turns = Turns { status: now, keys: now, not_before: now };
        let (mut connection, mut captured) = (None, Vec::new());
        loop {
            let due = turns.due(&self.reporter.pending());
            let look = Instant::now() + REPORT_INTERVAL;
            tokio::select! {
                () = sleep_until(due.unwrap_or(look)), if due.is_some() => {}
                () = self.reporter.told.notified() => continue,
                // A port can be taken back, and one that was lost can come back.
                () = sleep_until(look), if due.is_none() => {
                    if (self.captured)() != captured {
                        self.reporter.changed();
                    }
                    continue;
                }
            }
            let unknown = {
                let mut pending = self.reporter.pending();
                pending.changed = None;
                std::mem::take(&mut pending.unknown)
            };
            // A set that no policy names any more is nobody's.
            let unknown: BTreeSet<_> = unknown.into_iter().filter(|key| self.state.names_keys(&key.issuer)).collect();
            captured = (self.captured)();
            let next = Instant::now() + REPORT_INTERVAL;
            turns.status = next;
            if !unknown.is_empty() {
                turns.keys = next;
            }
            let report = Report {
                applied: self.state.status(),
                captured: captured.clone(),
                unknown_keys: unknown.iter().cloned().collect(),
            };
            match self.send(&mut connection, &report).await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    self.log.warn("the operator was not told what is in force", &error);
                    turns.not_before = Instant::now() + backoff.next();
                    // Keys that it does not want to hear of must not keep it from the rest.
                    let is_refused = matches!(error, LinkError::Status(_));
                    self.take_back(if is_refused { BTreeSet::new() } else { unknown });
                }
            }
        }
    }

    fn take_back(&self, unknown: BTreeSet<UnknownKey>) {
        let mut pending = self.reporter.pending();
        pending.changed.get_or_insert_with(Instant::now);
        let room = MAX_UNKNOWN_KEYS.saturating_sub(pending.unknown.len());
        pending.unknown.extend(unknown.into_iter().take(room));
    }

    /// Sends a report on the connection that the last one went over. A Service of several replicas leads each connection to one
    /// of them, and only the one that has our stream takes it: 409 says that it was another.
    async fn send(&self, connection: &mut Option<Dialled>, report: &Report) -> Result<(), LinkError> {
        let body = Bytes::from(serde_json::to_vec(report).unwrap_or_default());
        let mut redials = 0;
        loop {
            let (mut dialled, is_used) = match connection.take() {
                Some(dialled) => (dialled, true),
                None => (self.link.dial().await?, false),
            };
            match self.link.post(&mut dialled, REPORT_PATH, body.clone(), 0).await {
                Ok(_) => {
                    *connection = Some(dialled);
                    return Ok(());
                }
                // It was closed while it was idle.
                Err(LinkError::Http(_)) if is_used => {}
                Err(LinkError::Status(StatusCode::CONFLICT)) if redials < REPORT_REDIALS => redials += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.debug_struct("Sender").field("reporter", &self.reporter).finish_non_exhaustive()
    }
}
