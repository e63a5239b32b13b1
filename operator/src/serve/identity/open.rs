//! The tokens of the streams that are open.

use super::{Identity, TokenHash};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The tokens of the streams that are open, with whose each is: whoever shows one again was asked about when the stream was opened.
/// After a change every sidecar reports at once, and a review of each report would keep the API server busy for minutes.
#[derive(Default)]
pub(super) struct OpenTokens(Mutex<HashMap<TokenHash, (Arc<Identity>, usize)>>);

/// A stream is open with a token; it is closed when this is dropped.
pub(in crate::serve) struct OpenToken {
    all: Arc<OpenTokens>,
    token: TokenHash,
}

impl OpenTokens {
    pub(super) fn hold(self: &Arc<Self>, identity: &Arc<Identity>) -> OpenToken {
        let mut open = self.lock();
        let (_, streams) = open.entry(identity.token).or_insert_with(|| (Arc::clone(identity), 0));
        *streams += 1;
        OpenToken { all: Arc::clone(self), token: identity.token }
    }

    pub(super) fn of(&self, token: &TokenHash) -> Option<Arc<Identity>> {
        self.lock().get(token).map(|(identity, _)| Arc::clone(identity))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenHash, (Arc<Identity>, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenToken {
    fn drop(&mut self) {
        let mut open = self.all.lock();
        let Some((_, streams)) = open.get_mut(&self.token) else { return };
        *streams = streams.saturating_sub(1);
        if *streams == 0 {
            open.remove(&self.token);
        }
    }
}
