//! Requests without end while something happens, and the judge who says afterwards whether one was lost or decided wrongly.
//!
//! Generation N of the policy lets `/g/N` pass beside `/always`, and nothing else. So an answer tells which generation decided, and
//! when each one came and was seen is known: what else could have decided is wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::client::{Answer, Connection, Target};

/// Between two requests of one connection: the machine has to do the work that is being looked at, too.
const PAUSE: Duration = Duration::from_millis(4);
/// Faults that are told in full.
const TOLD: usize = 10;

/// The rules of a generation.
#[must_use]
pub fn rules(generation: u64) -> Value {
    json!([
        {"path": "/always", "allow": "Anonymous"},
        {"path": format!("/g/{generation}"), "allow": "Anonymous"},
    ])
}

/// When each generation came, and when it was seen on each target.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<Times>>);

#[derive(Debug, Default)]
struct Times {
    begun: BTreeMap<u64, Instant>,
    seen: BTreeMap<(usize, u64), Instant>,
}

impl History {
    /// From now on a generation can decide.
    pub fn begins(&self, generation: u64) {
        self.with(|times| *times.begun.entry(generation).or_insert_with(Instant::now));
    }

    /// From now on no older one decides on a target.
    pub fn is_seen(&self, target: usize, generation: u64) {
        self.with(|times| *times.seen.entry((target, generation)).or_insert_with(Instant::now));
    }

    fn newest(&self) -> u64 {
        self.with(|times| times.begun.keys().next_back().copied().unwrap_or(0))
    }

    fn with<T>(&self, what: impl FnOnce(&mut Times) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Times {
    /// Whether a generation can have decided between two moments.
    fn could_decide(&self, generation: u64, target: usize, from: Instant, to: Instant) -> bool {
        let began = self.begun.get(&generation).is_some_and(|began| *began <= to);
        let newer = self.seen.iter().filter(|((seen_on, seen), _)| *seen_on == target && *seen > generation);
        began && newer.map(|(_, at)| *at).min().is_none_or(|superseded| superseded >= from)
    }

    fn judge(&self, record: &Record) -> bool {
        let could = |generation| self.could_decide(generation, record.target, record.from, record.to);
        match record.verdict {
            Verdict::Allowed => could(record.asked),
            Verdict::Denied => self.begun.keys().any(|generation| *generation != record.asked && could(*generation)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Allowed,
    Denied,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    target: usize,
    asked: u64,
    from: Instant,
    to: Instant,
    verdict: Verdict,
}

/// Requests that go on until they are ended.
#[derive(Debug)]
pub struct Load {
    callers: JoinSet<Vec<Record>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    history: History,
    stop: AtomicBool,
    sent: AtomicU64,
    lost: Mutex<Vec<String>>,
}

/// What came of a load.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Requests that were sent, all answered and rightly.
    pub requests: u64,
    /// Those of them that passed.
    pub allowed: u64,
}

impl Load {
    /// Begins to send, over so many connections to each target. The targets are numbered as in the history.
    #[must_use]
    pub fn start(targets: &[Target], connections: usize, history: &History) -> Self {
        let shared = Shared {
            history: history.clone(),
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            lost: Mutex::default(),
        };
        let (mut callers, shared) = (JoinSet::new(), Arc::new(shared));
        for (index, target) in targets.iter().enumerate() {
            for _ in 0..connections {
                callers.spawn(call(index, target.clone(), Arc::clone(&shared)));
            }
        }
        Self { callers, shared }
    }

    /// Requests until now.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Waits until so many were sent.
    pub async fn at_least(&self, requests: u64) {
        while self.sent() < requests {
            sleep(PAUSE).await;
        }
    }

    /// Ends it, and judges.
    ///
    /// # Errors
    /// Where a request was lost, or decided by what could not decide it.
    pub async fn end(mut self) -> anyhow::Result<Summary> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut records = Vec::new();
        while let Some(called) = self.callers.join_next().await {
            records.extend(called.context("a caller panicked")?);
        }
        let lost = std::mem::take(&mut *self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner));
        let first: Vec<_> = lost.iter().take(TOLD).collect();
        ensure!(lost.is_empty(), "{} of {} requests are lost: {first:#?}", lost.len(), self.sent());
        self.shared.history.with(|times| {
            let wrong: Vec<_> = records.iter().filter(|record| !times.judge(record)).collect();
            let first: Vec<_> = wrong.iter().take(TOLD).collect();
            ensure!(wrong.is_empty(), "{} requests are decided wrongly: {first:#?} {times:#?}", wrong.len());
            Ok(())
        })?;
        let allowed = records.iter().filter(|record| matches!(record.verdict, Verdict::Allowed)).count();
        let number = |count| u64::try_from(count).unwrap_or(u64::MAX);
        Ok(Summary { requests: number(records.len()), allowed: number(allowed) })
    }
}

async fn call(index: usize, target: Target, shared: Arc<Shared>) -> Vec<Record> {
    let (mut records, mut connection) = (Vec::new(), None);
    while !shared.stop.load(Ordering::Relaxed) {
        let number = shared.sent.fetch_add(1, Ordering::Relaxed);
        // The newest, the one before, and the one to come.
        let asked = (shared.history.newest() + number % 3).saturating_sub(1);
        let from = Instant::now();
        match one(&target, &mut connection, asked, number).await {
            Ok(verdict) => records.push(Record { target: index, asked, from, to: Instant::now(), verdict }),
            Err(error) => {
                connection = None;
                let told = format!("target {index}: {error:#}");
                shared.lost.lock().unwrap_or_else(PoisonError::into_inner).push(told);
            }
        }
        sleep(PAUSE).await;
    }
    records
}

async fn one(target: &Target, connection: &mut Option<Connection>, asked: u64, number: u64) -> anyhow::Result<Verdict> {
    let path = format!("/g/{asked}?n={number}");
    if connection.as_mut().is_none_or(|open| open.is_closed()) {
        *connection = Some(target.connect().await?);
    }
    let open = connection.as_mut().context("no connection")?;
    verdict(&open.get(&path).await?, &path)
}

fn verdict(answer: &Answer, path: &str) -> anyhow::Result<Verdict> {
    if answer.status == StatusCode::OK {
        let echoed = answer.body.get("target").and_then(Value::as_str);
        ensure!(echoed == Some(path), "the application was asked for {echoed:?} instead of {path}");
        return Ok(Verdict::Allowed);
    }
    ensure!((answer.status.as_u16(), answer.code()) == (403, "no_rule"), "{path}: {answer:?}");
    Ok(Verdict::Denied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_judge_knows_what_can_have_decided() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let times = Times {
            begun: BTreeMap::from([(1, at(0)), (2, at(10))]),
            seen: BTreeMap::from([((0, 1), at(1)), ((0, 2), at(11)), ((1, 2), at(20))]),
        };
        let judge = |target, asked, from, to, verdict| {
            times.judge(&Record { target, asked, from: at(from), to: at(to), verdict })
        };
        for (target, asked, from, to, allowed, denied) in [
            // Before the second came.
            (0, 1, 5, 6, true, false),
            (0, 2, 5, 6, false, true),
            // Between its coming and its being seen: either.
            (0, 1, 10, 10, true, true),
            (0, 2, 10, 10, true, true),
            // After it was seen; on the other target that was later.
            (0, 1, 12, 13, false, true),
            (0, 2, 12, 13, true, false),
            (1, 1, 12, 13, true, true),
            // What never was.
            (0, 3, 12, 13, false, true),
        ] {
            let case = (target, asked, from, to);
            assert_eq!(judge(target, asked, from, to, Verdict::Allowed), allowed, "{case:?}");
            assert_eq!(judge(target, asked, from, to, Verdict::Denied), denied, "{case:?}");
        }
    }
}
