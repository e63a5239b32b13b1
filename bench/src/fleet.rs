//! All simulated sidecars together: connected along a ramp, and asked how far each of them is.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::limits::{EVENTS, PATIENCE, RAMP};
use crate::operator::Operator;
use crate::sidecar::{Event, Sidecar, What};

/// How far one sidecar is: the last of each, and when.
#[derive(Clone, Debug, Default)]
struct State {
    synced: Option<Instant>,
    applied: Option<(i64, Instant)>,
    reported: Option<(i64, Instant)>,
}

/// What sidecars are waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Milestone {
    /// All that there is was sent to it.
    Synced,
    /// This generation, or a later one, is in force.
    Applied(i64),
    /// The operator was told so.
    Reported(i64),
}

/// The sidecars; they end when it is dropped.
pub(crate) struct Fleet {
    states: Vec<State>,
    events: mpsc::Receiver<Event>,
    /// What failed and was tried again.
    pub(crate) retries: usize,
    _sidecars: JoinSet<()>,
}

impl Fleet {
    /// Begins to connect one sidecar for each token.
    pub(crate) fn start(operator: &Arc<Operator>, tokens: Vec<String>) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        let (ramp, mut sidecars) = (Arc::new(Semaphore::new(RAMP)), JoinSet::new());
        let states = vec![State::default(); tokens.len()];
        for (index, token) in tokens.into_iter().enumerate() {
            let (operator, events) = (Arc::clone(operator), sender.clone());
            let sidecar = Sidecar { index, token, source: operator.source_of(index), operator, events };
            sidecars.spawn(sidecar.run(Arc::clone(&ramp)));
        }
        Self { states, events, retries: 0, _sidecars: sidecars }
    }

    /// Waits until every sidecar passed a milestone; gives the moments, of every sidecar one.
    pub(crate) async fn all(&mut self, milestone: Milestone) -> anyhow::Result<Vec<Instant>> {
        let end = Instant::now() + PATIENCE;
        let mut missing = self.states.iter().filter(|state| state.passed(milestone).is_none()).count();
        while missing > 0 {
            let event = timeout_at(end, self.events.recv()).await;
            let event = event.with_context(|| format!("{milestone:?}: {missing} sidecars are missing"))?;
            let event = event.context("all sidecars ended")?;
            let index = event.index;
            let passed = |fleet: &Self| fleet.states.get(index).and_then(|state| state.passed(milestone)).is_some();
            let before = passed(self);
            self.note(event)?;
            if !before && passed(self) {
                missing -= 1;
            }
        }
        Ok(self.states.iter().filter_map(|state| state.passed(milestone)).collect())
    }

    /// The moment that one sidecar had a generation in force, once it has.
    pub(crate) async fn one(&mut self, index: usize, generation: i64) -> anyhow::Result<Instant> {
        let end = Instant::now() + PATIENCE;
        loop {
            let state = self.states.get(index).context("an unknown sidecar")?;
            if let Some(at) = state.passed(Milestone::Applied(generation)) {
                return Ok(at);
            }
            let event = timeout_at(end, self.events.recv()).await.context("a sidecar did not get its rules")?;
            self.note(event.context("all sidecars ended")?)?;
        }
    }

    fn note(&mut self, event: Event) -> anyhow::Result<()> {
        let Event { index, at, what } = event;
        let state = self.states.get_mut(index).context("an unknown sidecar")?;
        match what {
            What::Synced => state.synced = Some(at),
            What::Applied(generation) => state.applied = Some((generation, at)),
            What::Reported(generation) => state.reported = Some((generation, at)),
            What::Retried => self.retries += 1,
            What::Failed(error) => return Err(error.context(format!("sidecar {index} lost its stream"))),
        }
        Ok(())
    }
}

impl State {
    fn passed(&self, milestone: Milestone) -> Option<Instant> {
        let of = |told: Option<(i64, Instant)>, least| told.filter(|(told, _)| *told >= least).map(|(_, at)| at);
        match milestone {
            Milestone::Synced => self.synced,
            Milestone::Applied(generation) => of(self.applied, generation),
            Milestone::Reported(generation) => of(self.reported, generation),
        }
    }
}
