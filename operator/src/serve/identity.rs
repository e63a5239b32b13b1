//! Which pod a request comes from: what the API server says about its service-account token, and nothing else.

mod claims;
mod open;
mod reviewer;

pub(super) use open::OpenToken;
pub use reviewer::{KubeReviewer, ReviewError, Reviewer};

use super::answer::Refusal;
use super::bounds::{Queues, Rates};
use crate::hub::PodId;
use crate::limits::{Limits, REVIEWS_CACHED};
use crate::metrics::Metrics;
use aws_lc_rs::digest::{SHA256, digest};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use open::OpenTokens;
use policy::token::MAX_TOKEN_BYTES;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// A pod that showed who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pod: PodId,
    pub(super) service_account: String,
    /// When the token ends.
    pub(super) expires: Timestamp,
    token: TokenHash,
}

/// Finds out who sends a request.
pub(super) struct Identities {
    reviewer: Arc<dyn Reviewer>,
    metrics: Arc<Metrics>,
    patience: Duration,
    kept_for: Duration,
    known: Mutex<HashMap<TokenHash, (Arc<Identity>, Instant)>>,
    open: Arc<OpenTokens>,
    all: Semaphore,
    queues: Queues<IpAddr>,
    failures: Rates<IpAddr>,
    reviews: Rates<PodId>,
}

/// What stands for a token where it is remembered.
type TokenHash = [u8; 32];

impl Identities {
    pub(super) fn new(reviewer: Arc<dyn Reviewer>, metrics: Arc<Metrics>, limits: &Limits) -> Self {
        Self {
            reviewer,
            metrics,
            patience: limits.review,
            kept_for: limits.review_cache,
            known: Mutex::default(),
            open: Arc::default(),
            all: Semaphore::new(limits.reviews),
            queues: Queues::new(limits.reviews_per_address),
            failures: Rates::new(limits.failures),
            reviews: Rates::new(limits.reviews_per_pod),
        }
    }

    /// The pod that sends these header fields.
    pub(super) async fn identify(&self, headers: &HeaderMap, address: IpAddr) -> Result<Arc<Identity>, Refusal> {
        let token = bearer(headers)?;
        let hash = hash(token)?;
        let identity = match self.remembered(&hash) {
            Some(identity) => identity,
            None => timeout(self.patience, self.review(token, hash, address)).await.unwrap_or_else(|_| {
                self.metrics.reviewed("timeout");
                Err(Refusal::unavailable("reviews_busy", "the API server did not say in time who this is"))
            })?,
        };
        in_time(identity)
    }

    /// The same for a report, which changes nothing but what is known of its own pod: the token of a stream that is open is enough.
    pub(super) async fn identify_reporter(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
    ) -> Result<Arc<Identity>, Refusal> {
        match self.open.of(&hash(bearer(headers)?)?) {
            Some(identity) => in_time(identity),
            None => self.identify(headers, address).await,
        }
    }

    /// Notes that a stream is open, until what is returned is dropped.
    pub(super) fn opened(&self, identity: &Arc<Identity>) -> OpenToken {
        self.open.hold(identity)
    }

    async fn review(&self, token: &str, hash: TokenHash, address: IpAddr) -> Result<Arc<Identity>, Refusal> {
        // Whoever guesses is held off before the API server is asked; semaphores of ours are never closed.
        let queue = self.queues.of(&address);
        let _place = queue.acquire().await;
        let _place = self.all.acquire().await;
        if let Some(identity) = self.remembered(&hash) {
            return Ok(identity);
        }
        if !self.failures.has_room(&address, Instant::now()) {
            return Err(Refusal::too_many("too_many_failures", "too many tokens from this address were refused"));
        }
        let status = self.reviewer.review(token).await.map_err(|error| {
            self.metrics.reviewed("unavailable");
            tracing::warn!(%error, "a token cannot be reviewed");
            Refusal::unavailable("reviews_unavailable", "the API server cannot be asked who this is")
        })?;
        let identity = claims::judge(status, token).inspect_err(|refusal| {
            self.metrics.reviewed(refusal.code);
            self.failures.charge(&address, Instant::now());
        })?;
        self.metrics.reviewed("ok");
        if !self.reviews.take(&identity.pod, Instant::now()) {
            return Err(Refusal::too_many("too_many_reviews", "this pod shows too many tokens"));
        }
        let identity = Arc::new(identity);
        self.remember(hash, &identity);
        Ok(identity)
    }

    fn remembered(&self, hash: &TokenHash) -> Option<Arc<Identity>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|(_, since)| since.elapsed() < self.kept_for).map(|(identity, _)| Arc::clone(identity))
    }

    fn remember(&self, hash: TokenHash, identity: &Arc<Identity>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REVIEWS_CACHED {
            known.retain(|_, (_, since)| since.elapsed() < self.kept_for);
        }
        if known.len() < REVIEWS_CACHED {
            known.insert(hash, (Arc::clone(identity), Instant::now()));
        }
    }
}

fn in_time(identity: Arc<Identity>) -> Result<Arc<Identity>, Refusal> {
    if identity.expires <= Timestamp::now() {
        return Err(Refusal::unauthorized("token_expired", "the token has expired"));
    }
    Ok(identity)
}

/// The token of the one `Authorization` field (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (field, None) = (fields.next(), fields.next()) else {
        return Err(Refusal::unauthorized("token_malformed", "one `authorization` field, please"));
    };
    let missing =
        || Refusal::unauthorized("token_missing", "the pod's service-account token is needed as bearer token");
    let text = field.map(HeaderValue::to_str).ok_or_else(missing)?;
    let malformed = || Refusal::unauthorized("token_malformed", "the bearer token cannot be read");
    let (scheme, token) = text.map_err(|_| malformed())?.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if token.len() > MAX_TOKEN_BYTES || token.is_empty() || !token.bytes().all(plain) {
        return Err(malformed());
    }
    Ok(token)
}

fn hash(token: &str) -> Result<TokenHash, Refusal> {
    let internal = |_| Refusal::unavailable("internal", "the token cannot be hashed");
    digest(&SHA256, token.as_bytes()).as_ref().try_into().map_err(internal)
}

#[cfg(test)]
mod tests;
