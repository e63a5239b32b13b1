//! Loads the CA, keeps up with what other replicas and the user do to it, and rotates it where this replica leads.

use super::issue::IssueError;
use super::source::{self, Source};
use super::store::{Store, StoreError};
use super::{Authority, CaError, State, plan};
use crate::limits::{CA_CHECK, CA_RETRY};
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Attempts of one round to be the one that writes; whoever loses each time reads again in the next round.
const ATTEMPTS: usize = 5;

/// Why a round changed nothing.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl Fault {
    fn code(&self) -> &'static str {
        match self {
            Self::Store(StoreError::Conflict) => "ca_conflict",
            Self::Store(StoreError::Api(_)) => "ca_api",
            Self::Store(StoreError::Timeout) => "ca_api_timeout",
            Self::Ca(fault) => fault.code(),
            Self::Issue(fault) => fault.code(),
        }
    }
}

/// Runs for ever. What was loaded last stays in force where a round fails.
///
/// The first replica of an installation makes the built-in CA, whoever it is; only the leader rotates it and writes the
/// ConfigMap. A Secret that is deleted while a replica knows it is written again as it was: everybody trusts that CA. To get
/// rid of it, the Secret is deleted while no operator runs.
///
/// `is_leader` wakes; `leads` tells what holds at the very moment.
pub async fn run(
    store: impl Store,
    source: Source,
    authority: Arc<Authority>,
    mut is_leader: watch::Receiver<bool>,
    leads: impl Fn() -> bool + Send + Sync,
) {
    let mut keeper = Keeper { store, source, authority, known: None };
    let mut told = Some("ca_not_loaded");
    loop {
        is_leader.mark_unchanged();
        let fault = keeper.round(&leads, Timestamp::now()).await.err();
        let code = fault.as_ref().map(Fault::code);
        if code != told {
            match fault {
                Some(fault) => tracing::error!(
                    code,
                    error = %fault,
                    cause = std::error::Error::source(&fault).map(tracing::field::display),
                    "the CA cannot be kept up; what was loaded last stays in force"
                ),
                None => tracing::info!("the CA is in force"),
            }
            told = code;
        }
        let pause = if told.is_some() { CA_RETRY } else { CA_CHECK };
        // Where nobody tells who leads any more, the operator ends, and this task with it.
        if let Ok(Err(_)) = timeout(pause, is_leader.changed()).await {
            sleep(pause).await;
        }
    }
}

struct Keeper<S> {
    store: S,
    source: Source,
    authority: Arc<Authority>,
    /// The built-in CA as it was read or written last.
    known: Option<State>,
}

impl<S: Store> Keeper<S> {
    async fn round(&mut self, leads: &(impl Fn() -> bool + Send + Sync), now: Timestamp) -> Result<(), Fault> {
        let material = match self.source {
            Source::Given => {
                let stored = self.store.load().await?.ok_or(CaError::NoSecret)?;
                source::given(&stored.data, now)?
            }
            Source::BuiltIn => {
                let state = self.state(leads, now).await?;
                let material = source::built_in(&state);
                self.known = Some(state);
                material
            }
        };
        let bundle = Arc::clone(&material.bundle);
        self.authority.install(material, now)?;
        if leads() {
            self.store.publish(&bundle, leads).await?;
        }
        Ok(())
    }

    /// The state that is stored, after what is due was done to it.
    async fn state(&self, leads: &(impl Fn() -> bool + Send + Sync), now: Timestamp) -> Result<State, Fault> {
        for _ in 0..ATTEMPTS {
            let outcome = match self.store.load().await? {
                None => {
                    let state = self.known.clone().map_or_else(|| State::first(now), Ok)?;
                    self.store.create(&state.write()).await.map(|()| state)
                }
                Some(stored) => {
                    let state = State::read(&stored.data)?;
                    let Some(step) = plan(now, &state).filter(|_| leads()) else { return Ok(state) };
                    let state = state.after(step, now)?;
                    tracing::info!(?step, "the built-in CA is rotated");
                    self.store.replace(&state.write(), &stored.version).await.map(|()| state)
                }
            };
            match outcome {
                // Read again: what is stored counts, and more may be due.
                Ok(_) | Err(StoreError::Conflict) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }
}

#[cfg(test)]
mod tests;
