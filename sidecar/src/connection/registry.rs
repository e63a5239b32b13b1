//! The connections of one thread, for what concerns them from outside: a policy that would not take them any more, and
//! callers that wait while others hold every place and ask for nothing.

use super::Connection;
use crate::limits::{CROWDED_AT_ONCE, CROWDED_GRACE, STREAM_CHECK};
use crate::proxy::Worker;
use crate::state::Configuration;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, sleep};

/// The connections of one thread.
#[derive(Default)]
pub(crate) struct Registry {
    entries: RefCell<HashMap<u64, Entry>>,
    next: Cell<u64>,
}

struct Entry {
    since: Instant,
    task: AbortHandle,
    /// None until HTTP can be spoken on it.
    connection: Option<Weak<Connection>>,
}

impl Registry {
    /// A number for a connection that comes.
    pub(crate) fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        number
    }

    /// A connection has come, and this task serves it.
    pub(crate) fn came(&self, number: u64, task: AbortHandle) {
        self.entries.borrow_mut().insert(number, Entry { since: Instant::now(), task, connection: None });
    }

    /// HTTP can be spoken on it.
    pub(super) fn opened(&self, connection: &Rc<Connection>) {
        if let Some(entry) = self.entries.borrow_mut().get_mut(&connection.slot.number()) {
            entry.connection = Some(Rc::downgrade(connection));
        }
    }

    /// It is gone.
    pub(crate) fn left(&self, number: u64) {
        self.entries.borrow_mut().remove(&number);
    }

    /// Every place is taken and somebody waits: those go that have proven nothing and asked for nothing for a while, the
    /// oldest first.
    pub(crate) fn make_room(&self) {
        let entries = self.entries.borrow();
        let mut idle: Vec<_> = entries.values().filter(|entry| entry.may_go()).collect();
        idle.sort_unstable_by_key(|entry| entry.since);
        idle.into_iter().take(CROWDED_AT_ONCE).for_each(|entry| entry.task.abort());
    }

    fn open(&self) -> Vec<Weak<Connection>> {
        self.entries.borrow().values().filter_map(|entry| entry.connection.clone()).collect()
    }
}

impl Entry {
    fn may_go(&self) -> bool {
        let idles = |connection: Rc<Connection>| !connection.peer.is_known() && connection.is_at_rest(CROWDED_GRACE);
        self.since.elapsed() >= CROWDED_GRACE
            && self.connection.as_ref().is_none_or(|connection| connection.upgrade().is_some_and(idles))
    }
}

/// Looks at every connection of a thread again and again: one that waits for its next request is told by nobody else that
/// the policy changed or that its time is over.
pub(crate) async fn watch(worker: &Worker) {
    loop {
        sleep(STREAM_CHECK).await;
        let configuration = worker.state.load_full();
        for connection in worker.connections.open() {
            let Some(connection) = connection.upgrade() else { continue };
            if review(worker, &configuration, &connection) {
                // Thousands of chains to verify must not hold up requests.
                yield_now().await;
            }
        }
    }
}

/// Ends a connection that has to; tells whether that took a look at its chain.
fn review(worker: &Worker, configuration: &Configuration, connection: &Connection) -> bool {
    let Ok(in_force) = configuration.in_force() else { return false };
    let had_to_look = !connection.peer.was_judged_by(&in_force.client_cas);
    let peer = connection.peer.by(&in_force.client_cas, worker.clock);
    let ruleset = &in_force.ruleset;
    let takes = ruleset.is_audit() || (ruleset.tls().takes(&peer) && !connection.peer.lost_its_word());
    if !takes {
        connection.end_now();
    } else if connection.is_over(worker.clock) && (connection.is_h2 || connection.is_at_rest(STREAM_CHECK)) {
        // A busy HTTP/1 connection ends with its next answer, which says so.
        connection.end_gently();
    }
    had_to_look
}
