//! The stream of one sidecar: what it should run, now and after every change, as long as it may listen.

mod query;
mod sent;

use super::answer::{Answer, Refusal, with_body};
use super::bounds::Place;
use super::identity::{Identity, OpenToken};
use super::listener::reaches;
use super::{Shared, Stage};
use crate::hub::{Desired, PodId, Subscription};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::moment::at;
use futures_util::stream::unfold;
use http::StatusCode;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use jiff::Timestamp;
use policy::wire::{FORMAT, STREAM_TYPE, certificate_revision};
use query::Query;
use sent::Sent;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

/// Opens the stream of a pod.
pub(super) fn open(shared: &Arc<Shared>, identity: &Arc<Identity>, query: Option<&str>) -> Result<Answer, Refusal> {
    let query = query::read(query.unwrap_or_default())?;
    if !query.formats.contains(&FORMAT) {
        shared.parts.hub.outdated(&identity.pod);
        let message =
            format!("this operator serves format {FORMAT} alone: replace the pod to get a sidecar that reads it");
        return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, "format_unsupported", message));
    }
    let place = shared
        .streams
        .take(&identity.pod)
        .ok_or_else(|| Refusal::too_many("too_many_streams", "this pod has as many streams as it may have"))?;
    let stream = Stream::new(shared, identity, query, place);
    let lines = unfold(stream, |mut stream| async move {
        let line = stream.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(line)), stream))
    });
    Ok(with_body(StatusCode::OK, STREAM_TYPE, StreamBody::new(lines).boxed_unsync()))
}

/// Everything that a stream keeps; closing it is dropping this.
struct Stream {
    subscription: Subscription,
    sent: Sent,
    lines: VecDeque<Bytes>,
    ping: Interval,
    ends: Instant,
    /// When a stream whose pod is not there any more ends.
    gone: Option<Instant>,
    grace: std::time::Duration,
    /// Who vouches: it comes to a sidecar with its certificate alone, so a change asks for another one.
    bundles: watch::Receiver<Option<Arc<str>>>,
    /// When the sidecar is told of that.
    renews: Option<Instant>,
    renew_spread: std::time::Duration,
    /// What the sidecar's certificate says; none where it has none, or after it was looked at.
    certificate: Option<String>,
    stopping: watch::Receiver<Stage>,
    counted: Counted,
}

/// What is counted as long as the stream is open.
struct Counted {
    metrics: Arc<Metrics>,
    reason: &'static str,
    _place: Place<PodId>,
    _token: OpenToken,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.streams.dec();
        self.metrics.stream_ended(self.reason);
    }
}

impl Stream {
    fn new(shared: &Shared, identity: &Arc<Identity>, query: Query, place: Place<PodId>) -> Self {
        let Limits { ping: every, stream, gone: grace, renew_spread, .. } = shared.parts.limits;
        let now = Instant::now();
        let mut ping = interval_at(now + every, every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        shared.parts.metrics.streams.inc();
        let metrics = Arc::clone(&shared.parts.metrics);
        let mut opened = Self {
            subscription: shared.parts.hub.subscribe(&identity.pod),
            sent: Sent::new(query.ports),
            lines: VecDeque::new(),
            ping,
            ends: now + remaining(identity.expires).min(stream),
            gone: None,
            grace,
            bundles: shared.parts.authority.bundles(),
            renews: None,
            renew_spread,
            certificate: query.certificate,
            stopping: shared.stage.subscribe(),
            // A peer that goes drops the stream wherever it is.
            counted: Counted { metrics, reason: "peer", _place: place, _token: shared.identities.opened(identity) },
        };
        opened.take();
        opened
    }

    /// The next line; none where the stream is at its end. Nothing new is looked at before all that was found is written, so
    /// a reader that is slow gets the latest state and never a backlog.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                self.counted.metrics.messages.inc();
                return Some(line);
            }
            let (gone, renews) = (at(self.gone), at(self.renews));
            let reason = tokio::select! {
                biased;
                () = reaches(&mut self.stopping, Stage::Stopping) => "stop",
                () = sleep_until(self.ends) => "expired",
                () = gone => "gone",
                changed = self.subscription.desired.changed() => match changed {
                    Ok(()) => {
                        self.take();
                        continue;
                    }
                    Err(_) => "stop",
                },
                // The authority lives as long as the server.
                Ok(()) = self.bundles.changed() => {
                    self.renew_soon();
                    continue;
                }
                () = renews => {
                    self.renews = None;
                    self.lines.push_back(sent::RENEW);
                    continue;
                }
                _ = self.ping.tick() => {
                    self.lines.push_back(sent::PING);
                    continue;
                }
            };
            self.counted.reason = reason;
            return None;
        }
    }

    /// Queues what differs from what was sent.
    fn take(&mut self) {
        let desired: Arc<Desired> = Arc::clone(&self.subscription.desired.borrow_and_update());
        self.gone = match (&desired.names, self.sent.was_known()) {
            (None, true) => self.gone.or_else(|| Some(Instant::now() + self.grace)),
            _ => None,
        };
        self.sent.differences(&desired, &mut self.lines);
        self.compare(&desired);
    }

    /// Has a certificate made anew that says something else than one of now would: names and CA may have changed while no
    /// stream was open.
    fn compare(&mut self, desired: &Desired) {
        let (Some(names), Some(bundle)) = (&desired.names, self.bundles.borrow().clone()) else { return };
        let Some(certificate) = self.certificate.take() else { return };
        let names = names.dns.iter().chain([&names.spiffe]).map(String::as_str);
        if certificate != certificate_revision(names, &bundle) {
            self.renew_soon();
        }
    }

    fn renew_soon(&mut self) {
        self.renews = self.renews.or_else(|| Some(Instant::now() + share(self.renew_spread)));
    }
}

/// A part of a time, another one each time: all sidecars hear of a new CA at once, and are not to come at once.
fn share(whole: std::time::Duration) -> std::time::Duration {
    // Each is keyed anew; this needs to be spread, not secret.
    let number = RandomState::new().hash_one(()) % 1024;
    whole.mul_f64(number as f64 / 1024.0)
}

/// Until a token ends.
fn remaining(expires: Timestamp) -> std::time::Duration {
    expires.duration_since(Timestamp::now()).try_into().unwrap_or_default()
}
