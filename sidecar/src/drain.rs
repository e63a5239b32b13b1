//! The end of a proxy without loss.
//!
//! First callers are told to go elsewhere while everything is still accepted: probes fail, HTTP/1 answers close their
//! connection, HTTP/2 connections get GOAWAY. Then nothing new is accepted, what waits in the kernel is taken in, and what
//! is in flight has its time to end.

use crate::limits::{DRAIN_DELAY, DRAIN_FINISH, DRAIN_QUIET};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long a drain may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainTimes {
    /// Still accepting, while callers learn to go elsewhere.
    pub delay: Duration,
    /// From then on, for what is in flight.
    pub finish: Duration,
}

impl Default for DrainTimes {
    fn default() -> Self {
        Self { delay: DRAIN_DELAY, finish: DRAIN_FINISH }
    }
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Drained {
    /// Every connection ended by itself.
    Whole,
    /// So many did not end in time.
    Cut(usize),
}

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// There is none.
    Serving,
    /// Callers are told to go elsewhere; new connections are served.
    Leaving,
    /// Nothing new is accepted.
    Closing,
}

/// The drain of a proxy, shared by its threads.
#[derive(Debug)]
pub(crate) struct Drain {
    stage: watch::Sender<Stage>,
    begun: OnceLock<Instant>,
    /// Workers that may still accept a connection.
    accepting: watch::Sender<usize>,
}

impl Drain {
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        let (stage, accepting) = (watch::Sender::new(Stage::Serving), watch::Sender::new(workers));
        Arc::new(Self { stage, begun: OnceLock::new(), accepting })
    }

    /// Whether callers are to go elsewhere.
    pub(crate) fn has_begun(&self) -> bool {
        *self.stage.borrow() > Stage::Serving
    }

    /// Tells callers to go elsewhere from now on.
    pub(crate) fn begin(&self) {
        self.begun.get_or_init(Instant::now);
        self.advance(Stage::Leaving);
    }

    /// Waits until the drain has begun, and for as long after that as new connections are served; then none is.
    pub(crate) async fn close(&self, delay: Duration) {
        // The sender stands in `self`.
        let _ = self.stage.subscribe().wait_for(|stage| *stage > Stage::Serving).await;
        sleep_until(*self.begun.get_or_init(Instant::now) + delay).await;
        self.advance(Stage::Closing);
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let is_next = *stage < to;
            *stage = to.max(*stage);
            is_next
        });
    }

    /// From the first sign to callers, where there was none yet, to the end of the last connection; `slots` were `all` before
    /// the first one came.
    pub(crate) async fn run(&self, times: DrainTimes, slots: &Semaphore, all: usize) -> Drained {
        self.begin();
        self.close(times.delay).await;
        let empty = async {
            // A slot that is free before its worker has stopped accepting says nothing. (Both can only fail where what they
            // wait for is gone.)
            let _ = self.accepting.subscribe().wait_for(|count| *count == 0).await;
            let _ = slots.acquire_many(u32::try_from(all).unwrap_or(u32::MAX)).await;
        };
        match timeout(times.finish, empty).await {
            Ok(()) => Drained::Whole,
            Err(_) => Drained::Cut(all.saturating_sub(slots.available_permits())),
        }
    }
}

/// The drain as one thread sees it: requests look at a cell, connections wait without a lock.
#[derive(Debug)]
pub(crate) struct Local {
    shared: Arc<Drain>,
    stage: Cell<Stage>,
    waiting: RefCell<HashMap<u64, Waker>>,
    next: Cell<u64>,
}

/// A worker that may accept connections, until this is dropped.
#[derive(Debug)]
pub(crate) struct Accepting(Rc<Local>);

impl Local {
    pub(crate) fn new(shared: Arc<Drain>) -> Rc<Self> {
        Rc::new(Self { shared, stage: Cell::new(Stage::Serving), waiting: RefCell::default(), next: Cell::new(0) })
    }

    /// Whether the caller of a request is to go elsewhere for its next one.
    pub(crate) fn has_begun(&self) -> bool {
        self.stage.get() > Stage::Serving
    }

    /// Tells this thread what happens, for ever.
    pub(crate) async fn follow(&self) {
        let mut stages = self.shared.stage.subscribe();
        loop {
            self.stage.set(*stages.borrow_and_update());
            let waiting = self.waiting.take();
            waiting.into_values().for_each(Waker::wake);
            if stages.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ready at this stage and after it.
    pub(crate) fn reaches(self: &Rc<Self>, stage: Stage) -> Reaches {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        Reaches { local: Rc::clone(self), stage, number, waker: None }
    }

    /// To be asked once, by the worker that accepts on this thread.
    pub(crate) fn accepting(self: &Rc<Self>) -> Accepting {
        Accepting(Rc::clone(self))
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.shared.accepting.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// See [`Local::reaches`].
pub(crate) struct Reaches {
    local: Rc<Local>,
    stage: Stage,
    number: u64,
    waker: Option<Waker>,
}

impl Future for Reaches {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<()> {
        if self.local.stage.get() >= self.stage {
            return Poll::Ready(());
        }
        // Taken out and woken at an earlier stage, it has to be there again; at no other time does the table change.
        let is_known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !is_known || self.local.has_begun() {
            self.local.waiting.borrow_mut().insert(self.number, cx.waker().clone());
            self.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Reaches {
    fn drop(&mut self) {
        if self.waker.is_some() {
            self.local.waiting.borrow_mut().remove(&self.number);
        }
    }
}

/// Ends when an HTTP/1 connection should: nothing new is accepted, and nothing happened on it for a while. `activity` is how
/// many requests it had; none while one is under way.
pub(crate) async fn quiet(local: &Rc<Local>, activity: impl Fn() -> Option<u64>) {
    local.reaches(Stage::Closing).await;
    let mut seen = None;
    loop {
        let now = activity();
        if now.is_some() && now == seen {
            return;
        }
        seen = now;
        sleep(DRAIN_QUIET).await;
    }
}

/// Ends when an HTTP/2 connection should get GOAWAY: once the drain has begun, but a new connection not before its first
/// request, for its caller would have nowhere else to go yet.
pub(crate) async fn goes_away(local: &Rc<Local>, is_used: impl Fn() -> bool) {
    local.reaches(Stage::Leaving).await;
    // Whatever is answered on a connection wakes its task, and that looks here again.
    let used = poll_fn(|_| if is_used() { Poll::Ready(()) } else { Poll::Pending });
    let unused = async {
        local.reaches(Stage::Closing).await;
        sleep(DRAIN_QUIET).await;
    };
    tokio::select! {
        () = used => {}
        () = unused => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::LocalSet;

    #[tokio::test(start_paused = true)]
    async fn stages_wake_those_who_wait_and_are_seen_by_those_who_come_later() {
        LocalSet::new()
            .run_until(async {
                let shared = Drain::new(1);
                let local = Local::new(Arc::clone(&shared));
                let follower = Rc::clone(&local);
                tokio::task::spawn_local(async move { follower.follow().await });
                let waits = |stage| tokio::task::spawn_local(local.reaches(stage));
                let (leaving, closing) = (waits(Stage::Leaving), waits(Stage::Closing));
                let accepting = local.accepting();
                let slots = Arc::new(Semaphore::new(3));
                let held = Arc::clone(&slots).acquire_owned().await.unwrap();
                let times = DrainTimes { delay: Duration::from_secs(5), finish: Duration::from_secs(25) };
                let draining = tokio::task::spawn_local(async move { shared.run(times, &slots, 3).await });
                leaving.await.unwrap();
                assert!(local.has_begun() && !closing.is_finished());
                let start = Instant::now();
                closing.await.unwrap();
                assert_eq!(start.elapsed(), times.delay);
                local.reaches(Stage::Closing).await;
                drop(accepting);
                assert_eq!(draining.await.unwrap(), Drained::Cut(1));
                assert_eq!(start.elapsed(), times.delay + times.finish);
                drop(held);
                assert!(local.waiting.borrow().is_empty());
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_the_last_connection_ends_but_not_before_the_last_worker_stopped_accepting() {
        LocalSet::new()
            .run_until(async {
                let shared = Drain::new(1);
                let local = Local::new(Arc::clone(&shared));
                let accepting = local.accepting();
                let slots = Arc::new(Semaphore::new(3));
                let times = DrainTimes { delay: Duration::ZERO, finish: Duration::from_secs(25) };
                let taken = Arc::clone(&slots);
                let draining = tokio::task::spawn_local(async move { shared.run(times, &slots, 3).await });
                sleep(Duration::from_secs(1)).await;
                let held = taken.try_acquire_owned().unwrap();
                drop(accepting);
                sleep(Duration::from_secs(1)).await;
                assert!(!draining.is_finished());
                drop(held);
                assert_eq!(draining.await.unwrap(), Drained::Whole);
            })
            .await;
    }
}
