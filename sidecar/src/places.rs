//! How many connections there may be at once, and who goes where there are more.

use crate::limits::CROWDED_CHECK;
use crate::proxy::Worker;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The places for connections, of all threads together.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    /// Somebody waits for one: every thread looks whether it has callers that may go.
    wanted: Notify,
}

impl Places {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), wanted: Notify::new() }
    }

    /// Waits until somebody waits for one.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Those that are free.
    pub(crate) fn free(&self) -> &Semaphore {
        &self.free
    }

    /// One that is free now.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// A free place. Where there is none, those who hold one and do nothing with it have to go. (The semaphore is never closed.)
    pub(crate) async fn wait(&self, worker: &Worker) -> Option<OwnedSemaphorePermit> {
        if let Some(permit) = self.take() {
            return Some(permit);
        }
        let mut free = pin!(Arc::clone(&self.free).acquire_owned());
        loop {
            worker.connections.make_room();
            self.wanted.notify_waiters();
            if let Ok(permit) = timeout(CROWDED_CHECK, free.as_mut()).await {
                return permit.ok();
            }
        }
    }
}
