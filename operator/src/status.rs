//! What is said of a policy: each replica counts its own pods, the leader sums up. Pure; times come in.

mod conditions;
mod cover;
mod settle;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use crds::{ApiAuthPolicyStatus, IssuerStatus, LISTED_PODS, PodCounts, ReplicaStatus, Summary};
use k8s_openapi::jiff::Timestamp;

use crate::compiler::{PolicyOutcome, Rules, SelectedPod};
use crate::hub::{PodId, Seen};

pub use write::{Statuses, Writer, WriterParts};

/// What is known of a set of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysSeen {
    /// Keys that can verify a token.
    pub keys: u32,
    /// When they were fetched last; none where they are not fetched, or were not yet.
    pub last_fetch: Option<Timestamp>,
    /// Why the last fetch failed, where it did: a stable code in CamelCase, and a message.
    pub error: Option<(String, String)>,
}

/// The sets of keys by id.
pub type AllKeysSeen = BTreeMap<String, KeysSeen>;

/// What a pod is to the policy that selects it.
enum Place {
    Enforced,
    NotCaptured,
    Outdated,
}

fn place(pod: &PodId, port: u16, rules: &Rules, generation: i64, seen: &BTreeMap<PodId, Seen>) -> Option<Place> {
    let report = seen.get(pod).map(|seen| seen.report.as_deref())?;
    let Some(report) = report else { return Some(Place::Outdated) };
    let runs = report
        .applied
        .iter()
        .any(|applied| applied.port == port && applied.generation == generation && applied.revision == rules.revision);
    Some(match (runs && rules.generation == generation, report.captured.contains(&port)) {
        (false, _) => Place::Outdated,
        (true, false) => Place::NotCaptured,
        (true, true) => Place::Enforced,
    })
}

/// What this replica says of a policy: the pods that are connected to it, counted.
#[must_use]
pub fn of_replica(name: &str, policy: &PolicyOutcome, seen: &BTreeMap<PodId, Seen>) -> ReplicaStatus {
    let mut sum = cover::Sum::default();
    let mut status = ReplicaStatus {
        name: name.to_owned(),
        generation: policy.generation,
        revision: policy.rules.as_ref().map(|rules| rules.revision.clone()).unwrap_or_default(),
        ..ReplicaStatus::default()
    };
    for pod in mine(policy) {
        let Some(port) = pod.port else { continue };
        let place = match &policy.rules {
            Some(rules) => place(&pod.id, port, rules, policy.generation, seen),
            None => seen.get(&pod.id).map(|_| Place::Outdated),
        };
        let (count, names) = match place {
            None => continue,
            Some(Place::Enforced) => {
                status.enforced += 1;
                sum.add(&pod.id.uid);
                continue;
            }
            Some(Place::NotCaptured) => (&mut status.not_captured_count, &mut status.not_captured),
            Some(Place::Outdated) => (&mut status.outdated_count, &mut status.outdated),
        };
        *count += 1;
        if names.len() < LISTED_PODS {
            names.push(pod.id.name.clone());
        }
    }
    status.enforced_sum = sum.to_string();
    status
}

/// The pods that this policy rules and that have a sidecar before its port.
fn mine(policy: &PolicyOutcome) -> impl Iterator<Item = &SelectedPod> {
    let ruled = |pod: &&SelectedPod| pod.conflict.as_ref().is_none_or(|conflict| !conflict.other_rules);
    policy.pods.iter().filter(|pod| pod.injected && pod.port.is_some()).filter(ruled)
}

/// What the leader says of a policy, all but the entries of replicas.
#[must_use]
pub fn of_leader(
    policy: &PolicyOutcome,
    replicas: &[ReplicaStatus],
    keys: &AllKeysSeen,
    before: &ApiAuthPolicyStatus,
    now: Timestamp,
) -> ApiAuthPolicyStatus {
    let pods = counts(policy, replicas);
    let issuers = issuers(policy, keys);
    let audit = policy.rules.as_ref().is_some_and(|rules| rules.audit);
    let names: Vec<&str> = issuers.iter().map(|issuer| issuer.name.as_str()).collect();
    let mut summary = Summary {
        mode: if audit { "Audit" } else { "Enforce" }.to_owned(),
        pods: format!("{}/{}", pods.enforced, pods.selected),
        issuers: names.join(","),
    };
    if summary.issuers.len() > 256 {
        summary.issuers = format!("{} issuers", issuers.len());
    }
    let conditions = conditions::of(policy, pods, replicas, &issuers, keys);
    ApiAuthPolicyStatus {
        observed_generation: Some(policy.generation),
        conditions: conditions::timed(conditions, policy.generation, &before.conditions, now),
        summary: Some(summary),
        pods: Some(pods),
        issuers,
        replicas: Vec::new(),
    }
}

/// Entries about another generation or other rules count for nothing: their pods have still to say that they run this one.
fn counts(policy: &PolicyOutcome, replicas: &[ReplicaStatus]) -> PodCounts {
    let revision = policy.rules.as_ref().map_or("", |rules| rules.revision.as_str());
    let is_current = |replica: &&ReplicaStatus| replica.generation == policy.generation && replica.revision == revision;
    let current = || replicas.iter().filter(is_current);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let selected = count(policy.pods.len());
    let not_injected = count(policy.pods.iter().filter(|pod| !pod.injected || pod.port.is_none()).count());
    let most = count(mine(policy).count());
    // A pod that has streams to two replicas is in both entries: all are there only where the sums say so.
    let whole = cover::Sum::of(mine(policy).map(|pod| pod.id.uid.as_str()));
    let enforced = match cover::is_whole(current(), most, whole) {
        true => most,
        false => current().map(|replica| replica.enforced).sum::<u32>().min(most.saturating_sub(1)),
    };
    let not_captured = current().map(|replica| replica.not_captured_count).sum::<u32>().min(most - enforced);
    PodCounts { selected, enforced, outdated: most - enforced - not_captured, not_injected, not_captured }
}

fn issuers(policy: &PolicyOutcome, keys: &AllKeysSeen) -> Vec<IssuerStatus> {
    let Some(rules) = &policy.rules else { return Vec::new() };
    let fetched: BTreeSet<&str> = rules.sources.iter().map(policy::keys::KeySource::id).collect();
    let of = |(name, id): &(String, String)| {
        let seen = keys.get(id).cloned().unwrap_or_default();
        let time = seen.last_fetch.filter(|_| fetched.contains(id.as_str())).map(crds::Time);
        let error = seen.error.map(|(_, message)| cut(message, 1024));
        IssuerStatus { name: name.clone(), keys: seen.keys, last_fetch: time, last_error: error }
    };
    rules.issuers.iter().map(of).collect()
}

/// At most so many bytes, at a boundary of characters.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = text.floor_char_boundary(most.saturating_sub('…'.len_utf8()));
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
