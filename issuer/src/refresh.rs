//! The task of one issuer: when to fetch, and what becomes of what came.

mod pace;

use crate::fetch::Fetcher;
use crate::keys::Publish;
use crate::provider::Provider;
use futures_util::FutureExt;
use pace::Pace;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// One issuer's keys, kept fresh until the task is ended.
pub(crate) struct Refresh {
    pub(crate) provider: Provider,
    pub(crate) fetcher: Arc<Fetcher>,
    /// Told when a token names a key that is not there; any number of tellings is one.
    pub(crate) unknown: Arc<Notify>,
    /// How long keys are used after they were fetched last; without end where there is no such time.
    pub(crate) max_stale: Option<Duration>,
    pub(crate) publish: Publish,
}

/// Why something is done.
enum Cause {
    /// It is time.
    Due,
    /// A key is missed.
    UnknownKey,
    /// Keys have grown too old.
    Stale,
}

impl Refresh {
    pub(crate) async fn run(mut self) {
        let mut pace = Pace::new(Instant::now());
        // From the beginning: others may hold what was fetched before this process was there.
        let mut stale_at = self.max_stale.map(|most| Instant::now() + most);
        loop {
            let cause = tokio::select! {
                biased;
                () = sleep_until(pace.due()) => Cause::Due,
                () = missed(&self.unknown, pace.unknown_key_from()) => Cause::UnknownKey,
                () = at(stale_at) => Cause::Stale,
            };
            if matches!(cause, Cause::Stale) {
                stale_at = None;
                pace.forgot();
                self.publish.stale();
                continue;
            }
            if matches!(cause, Cause::UnknownKey) {
                pace.asked_for_unknown_key(Instant::now());
            }
            // Whoever missed a key until now is served by this fetch; whoever does from now on, by the next.
            let _ = self.unknown.notified().now_or_never();
            let rediscover = pace.must_rediscover(Instant::now());
            match self.provider.fetch(&self.fetcher, rediscover).await {
                Ok(obtained) => {
                    let now = Instant::now();
                    pace.succeeded(now, obtained.max_age, rediscover, random());
                    stale_at = self.max_stale.map(|most| now + most);
                    self.publish.obtained(obtained, now);
                }
                Err(error) => {
                    pace.failed(Instant::now(), random());
                    self.publish.failed(&error);
                }
            }
        }
    }
}

/// Waits until a key is missed, and then until it may be asked for.
async fn missed(unknown: &Notify, from: Instant) {
    unknown.notified().await;
    sleep_until(from).await;
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// A number from 0 to below 1, for spreading in time; the standard library seeds each of its hashers by chance.
fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(()) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}
