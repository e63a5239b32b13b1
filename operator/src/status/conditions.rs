//! The conditions of a policy, each with the reason that people and tools look for.

use compile::diagnostic::{Diagnostic, Severity};
use crds::{Condition, IssuerStatus, PodCounts, ReplicaStatus, Time};
use k8s_openapi::jiff::Timestamp;

use super::{AllKeysSeen, cut};
use crate::compiler::PolicyOutcome;
use crate::hub::PodId;
use crds::LISTED_PODS;

/// Bytes of a condition's message: a screen of text. The API server takes 32 KiB.
const MESSAGE: usize = 2048;
/// Faults that a message lists; the rest is counted.
const LISTED_FAULTS: usize = 5;

/// A condition before its times.
pub(super) struct Told {
    kind: &'static str,
    holds: bool,
    reason: String,
    message: String,
}

impl Told {
    fn new(kind: &'static str, holds: bool, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, holds, reason: reason.into(), message: message.into() }
    }
}

/// All conditions of a policy.
pub(super) fn of(
    policy: &PolicyOutcome,
    pods: PodCounts,
    replicas: &[ReplicaStatus],
    issuers: &[IssuerStatus],
    keys: &AllKeysSeen,
) -> Vec<Told> {
    vec![accepted(policy), keys_ready(policy, issuers, keys), enforced(policy, pods, replicas), conflicted(policy)]
}

fn accepted(policy: &PolicyOutcome) -> Told {
    let of = |severity| policy.diagnostics.iter().filter(move |found| found.severity == severity);
    if policy.accepted {
        let warnings: Vec<&Diagnostic> = of(Severity::Warning).collect();
        let message =
            if warnings.is_empty() { "can be used".to_owned() } else { listed("can be used; warnings: ", &warnings) };
        return Told::new("Accepted", true, "Accepted", message);
    }
    let faults: Vec<&Diagnostic> = of(Severity::Error).collect();
    let reason = faults.first().map_or_else(|| "Unusable".to_owned(), |fault| camel_case(fault.code.as_str()));
    Told::new("Accepted", false, reason, listed("", &faults))
}

fn listed(before: &str, found: &[&Diagnostic]) -> String {
    let texts: Vec<String> = found.iter().take(LISTED_FAULTS).map(|one| line(one)).collect();
    let more = found.len().saturating_sub(LISTED_FAULTS);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{before}{}{rest}", texts.join(" | "))
}

/// A diagnostic without file and place: the object is in the API server.
fn line(found: &Diagnostic) -> String {
    let path = if found.path.is_empty() { String::new() } else { format!("{}: ", found.path) };
    let hint = found.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{path}{}{hint}", found.message)
}

/// Stable codes are written in snake case, reasons of conditions in camel case.
fn camel_case(code: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    code.split('_').map(word).collect()
}

fn keys_ready(policy: &PolicyOutcome, issuers: &[IssuerStatus], keys: &AllKeysSeen) -> Told {
    let Some(rules) = &policy.rules else {
        return Told::new("KeysReady", false, "NotAccepted", "no generation of the policy could be used yet");
    };
    if issuers.is_empty() {
        return Told::new("KeysReady", true, "NoIssuers", "no issuer, no keys needed");
    }
    let tell = |issuer: &IssuerStatus| {
        let keys = match issuer.keys {
            0 => "no keys".to_owned(),
            1 => "1 key".to_owned(),
            several => format!("{several} keys"),
        };
        let fetched = issuer.last_fetch.as_ref().map(|time| format!(", fetched at {}", time.0)).unwrap_or_default();
        let error = issuer.last_error.as_ref().map(|error| format!(", {error}")).unwrap_or_default();
        format!("{}: {keys}{fetched}{error}", issuer.name)
    };
    let message = issuers.iter().map(tell).collect::<Vec<_>>().join(" | ");
    let lacking = rules.issuers.iter().zip(issuers).find(|(_, issuer)| issuer.keys == 0);
    let Some(((_, id), _)) = lacking else { return Told::new("KeysReady", true, "KeysReady", message) };
    let error = keys.get(id).and_then(|seen| seen.error.as_ref());
    Told::new("KeysReady", false, error.map_or("Pending", |(code, _)| code), message)
}

fn enforced(policy: &PolicyOutcome, pods: PodCounts, replicas: &[ReplicaStatus]) -> Told {
    let not = |reason: &str, message: String| Told::new("Enforced", false, reason, message);
    let share = format!("{}/{} pods at generation {}", pods.enforced, pods.selected, policy.generation);
    if !policy.accepted {
        let running = policy.rules.as_ref().map_or_else(
            || "no generation before could be used".to_owned(),
            |rules| format!("pods keep generation {}", rules.generation),
        );
        return not("Outdated", format!("generation {} is not accepted; {running}", policy.generation));
    }
    if policy.rules.as_ref().is_some_and(|rules| rules.audit) {
        return not("Audit", format!("nothing is refused while `mode` is Audit; {share}"));
    }
    if pods.selected == 0 {
        return not("NoPods", "no pod has the labels of `selector`".to_owned());
    }
    let names = |mut of: Box<dyn Iterator<Item = &str> + '_>| {
        let first: Vec<&str> = of.by_ref().take(LISTED_PODS).collect();
        first.join(", ")
    };
    if policy.pods.iter().any(|pod| pod.conflict.as_ref().is_some_and(|conflict| conflict.other_rules)) {
        return not("Conflicted", format!("{share}; an older policy rules on some, see condition Conflicted"));
    }
    if pods.not_injected > 0 {
        let without =
            policy.pods.iter().filter(|pod| !pod.injected || pod.port.is_none()).map(|pod| pod.id.name.as_str());
        let hint = "annotate the pod template with `doorward.dev/inject: \"true\"`, or name the port in `spec.port`";
        return not(
            "NotInjected",
            format!(
                "{share}; {} without the proxy before the port: {}; {hint}",
                pods.not_injected,
                names(Box::new(without))
            ),
        );
    }
    let current = || replicas.iter().filter(|replica| replica.generation == policy.generation);
    if pods.not_captured > 0 {
        let round = current().flat_map(|replica| &replica.not_captured).map(String::as_str);
        return not("NotCaptured", format!("{share}; traffic goes round the proxy on {}", names(Box::new(round))));
    }
    if pods.outdated > 0 {
        let late = current().flat_map(|replica| &replica.outdated).map(String::as_str);
        let late = names(Box::new(late));
        let list = if late.is_empty() { String::new() } else { format!(": {late}") };
        return not("Outdated", format!("{share}; {} not yet{list}", pods.outdated));
    }
    Told::new("Enforced", true, "Enforced", share)
}

fn conflicted(policy: &PolicyOutcome) -> Told {
    let mut conflicts =
        policy.pods.iter().filter_map(|pod| Some((&pod.id, pod.port?, pod.conflict.as_ref()?))).peekable();
    let Some((_, port, first)) = conflicts.peek() else {
        return Told::new("Conflicted", false, "NoConflict", "no other policy selects these pods on the same port");
    };
    let who = if first.other_rules { "is older and rules there" } else { "is younger and does not rule there" };
    let head = format!("`{}` selects the same pods on port {port} and {who}", first.other);
    let pods: Vec<&PodId> = conflicts.map(|(pod, ..)| pod).collect();
    let names: Vec<&str> = pods.iter().take(LISTED_PODS).map(|pod| pod.name.as_str()).collect();
    Told::new("Conflicted", true, "SamePort", format!("{head}: {} pods: {}", pods.len(), names.join(", ")))
}

/// Adds the times: a condition that holds as before keeps when it began to.
pub(super) fn timed(told: Vec<Told>, generation: i64, before: &[Condition], now: Timestamp) -> Vec<Condition> {
    let time = |told: Told| {
        let status = if told.holds { "True" } else { "False" };
        let same = before.iter().find(|old| old.type_ == told.kind && old.status == status);
        Condition {
            type_: told.kind.to_owned(),
            status: status.to_owned(),
            reason: told.reason,
            message: cut(told.message, MESSAGE),
            observed_generation: Some(generation),
            last_transition_time: same.map_or_else(|| Time(now), |old| old.last_transition_time.clone()),
        }
    };
    told.into_iter().map(time).collect()
}
