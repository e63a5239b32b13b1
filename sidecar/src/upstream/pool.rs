//! Connections to the application that wait for their next request.

use crate::body::Upload;
use hyper::client::conn::http1::SendRequest;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// Idle connections, the one that was used last at the back: it is taken first, so that the others can go.
pub(super) struct Pool {
    idle: RefCell<VecDeque<Idle>>,
    most: usize,
    keep: Duration,
}

struct Idle {
    sender: SendRequest<Upload>,
    until: Instant,
}

/// A connection on loan to one request.
pub(crate) struct Lease {
    sender: SendRequest<Upload>,
    pool: Rc<Pool>,
    keep: Duration,
}

impl Pool {
    pub(super) fn new(most: usize, keep: Duration) -> Self {
        Self { idle: RefCell::default(), most, keep }
    }

    /// A connection that is ready for a request.
    pub(super) fn take(&self) -> Option<SendRequest<Upload>> {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        while let Some(last) = idle.pop_back() {
            if last.until > now && last.sender.is_ready() {
                return Some(last.sender);
            }
        }
        None
    }

    fn put(&self, sender: SendRequest<Upload>, keep: Duration) {
        if sender.is_closed() || keep.is_zero() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.most {
            idle.pop_front();
        }
        idle.push_back(Idle { sender, until: Instant::now() + keep });
    }

    /// Closes what nobody took in time; without it a quiet proxy would hold connections that the application gave up.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.idle.borrow_mut().retain(|one| one.until > now && !one.sender.is_closed());
    }
}

impl Lease {
    /// `promised` is how long the application said that it keeps the connection.
    pub(super) fn new(sender: SendRequest<Upload>, pool: &Rc<Pool>, promised: Option<Duration>) -> Self {
        // A second less: its clock started earlier than ours.
        let promised = promised.map_or(pool.keep, |promised| promised.saturating_sub(Duration::from_secs(1)));
        Self { sender, pool: Rc::clone(pool), keep: promised.min(pool.keep) }
    }

    /// The answer was read to its end.
    pub(super) fn give_back(self) {
        self.pool.put(self.sender, self.keep);
    }
}
