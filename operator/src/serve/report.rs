//! What a sidecar reports about itself.

use super::Shared;
use super::answer::{Answer, Refusal, no_content};
use super::identity::Identity;
use crate::hub::PodId;
use crate::limits::{KID, REPORT_TEXT};
use http::StatusCode;
use policy::wire::{MAX_PORTS, MAX_UNKNOWN_KEYS, Report, UnknownKey};
use tokio::time::Instant;

/// Whoever fetches keys.
pub trait UnknownKeys: Send + Sync + 'static {
    /// Tokens named these keys, and the sets of that pod have none of them. Must not wait.
    fn unknown(&self, pod: &PodId, keys: &[UnknownKey]);
}

impl<F: Fn(&PodId, &[UnknownKey]) + Send + Sync + 'static> UnknownKeys for F {
    fn unknown(&self, pod: &PodId, keys: &[UnknownKey]) {
        self(pod, keys);
    }
}

/// Takes a report, or nothing of it.
pub(super) fn take(shared: &Shared, identity: &Identity, body: &[u8]) -> Result<Answer, Refusal> {
    let pod = &identity.pod;
    if !shared.reports.take(pod, Instant::now()) {
        return Err(Refusal::too_many("too_many_reports", "this pod reports too often"));
    }
    let report: Report =
        serde_json::from_slice(body).map_err(|_| Refusal::bad("report_invalid", "the body is no report"))?;
    check(&report)?;
    let hub = &shared.parts.hub;
    let desired = hub.desired(pod).unwrap_or_default();
    let is_named = |id: &str| desired.keys.contains_key(id) || desired.awaited.contains(id);
    if report.unknown_keys.iter().any(|key| !is_named(&key.issuer)) {
        let message = "a key is reported for a set of keys that no ruleset of this pod names";
        return Err(Refusal::forbidden("stranger_issuer", message));
    }
    let unknown = report.unknown_keys.clone();
    let before = hub.last_report(pod);
    let new_errors: Vec<(u16, String)> = errors(&report)
        .filter(|error| before.as_deref().is_none_or(|before| errors(before).all(|known| known != *error)))
        .map(|(port, error)| (port, error.to_owned()))
        .collect();
    if !hub.report(pod, report) {
        let message = "this replica has no stream of this pod: report where the stream is, over a new connection";
        return Err(Refusal::new(StatusCode::CONFLICT, "no_stream", message).closing());
    }
    shared.parts.metrics.reports.inc();
    for (port, error) in new_errors {
        tracing::warn!(%pod, port, error, "a sidecar cannot put in force what it was sent");
    }
    if !unknown.is_empty() {
        shared.parts.unknown_keys.unknown(pod, &unknown);
    }
    Ok(no_content())
}

/// What could not be put in force, by port.
fn errors(report: &Report) -> impl Iterator<Item = (u16, &str)> {
    report.applied.iter().filter_map(|applied| Some((applied.port, applied.error.as_deref()?)))
}

fn check(report: &Report) -> Result<(), Refusal> {
    let bounds = [
        ("applied", report.applied.len(), MAX_PORTS),
        ("captured", report.captured.len(), MAX_PORTS),
        ("unknownKeys", report.unknown_keys.len(), MAX_UNKNOWN_KEYS),
    ];
    if let Some((name, _, most)) = bounds.into_iter().find(|(_, count, most)| count > most) {
        return Err(Refusal::bad("report_invalid", format!("`{name}` has more than {most} elements")));
    }
    let texts = report
        .applied
        .iter()
        .flat_map(|applied| [Some(applied.revision.as_str()), applied.error.as_deref()].into_iter().flatten());
    if texts.chain(report.unknown_keys.iter().map(|key| key.issuer.as_str())).any(|text| text.len() > REPORT_TEXT) {
        return Err(Refusal::bad("report_invalid", format!("a text has more than {REPORT_TEXT} bytes")));
    }
    if report.unknown_keys.iter().any(|key| key.kid.is_empty() || key.kid.len() > KID) {
        return Err(Refusal::bad("report_invalid", format!("a `kid` has no or more than {KID} bytes")));
    }
    Ok(())
}
