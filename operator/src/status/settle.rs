//! What is not said yet because pods are on their way from one replica to another: where one has just started, or a stream is
//! opened anew elsewhere. What gets better is said at once.

use crds::{ApiAuthPolicyStatus, Condition, ReplicaStatus};
use tokio::time::Instant;

use super::{cover, mine};
use crate::compiler::PolicyOutcome;
use crate::limits::MOVES;

/// The very pods with the very rules that were all enforced when it was looked at last.
#[derive(Debug, Default)]
pub(super) struct Moving {
    enforced: Option<Identity>,
    /// Since when some of them are connected nowhere.
    since: Option<Instant>,
}

/// Which rules, and the sum of the pods that they are for.
#[derive(Debug, PartialEq)]
struct Identity {
    generation: i64,
    revision: String,
    pods: cover::Sum,
}

impl Moving {
    /// Until when nothing is said, where all that speaks against `Enforced` is that some pods are connected nowhere, and that
    /// for less than [`MOVES`]: they hold their rules meanwhile. A pod that any replica saw run something else, and one that
    /// is new, is another matter.
    pub(super) fn until(
        &mut self,
        policy: &PolicyOutcome,
        status: &ApiAuthPolicyStatus,
        replicas: &[ReplicaStatus],
        now: Instant,
    ) -> Option<Instant> {
        let rules = policy.rules.as_ref().filter(|_| policy.accepted)?;
        let pods = cover::Sum::of(mine(policy).map(|pod| pod.id.uid.as_str()));
        let identity = Identity { generation: policy.generation, revision: rules.revision.clone(), pods };
        let enforced = status.conditions.iter().find(|condition| condition.type_ == "Enforced");
        if enforced.is_some_and(is_good) {
            *self = Self { enforced: Some(identity), since: None };
            return None;
        }
        let seen_otherwise = replicas.iter().any(|replica| replica.outdated_count + replica.not_captured_count > 0);
        if self.enforced.as_ref() != Some(&identity)
            || enforced.is_none_or(|condition| condition.reason != "Outdated")
            || seen_otherwise
        {
            *self = Self::default();
            return None;
        }
        Some(*self.since.get_or_insert(now) + MOVES).filter(|until| now < *until)
    }
}

/// Whether an entry has lost pods against the one that was written before, where both are about the same rules.
pub(super) fn loses(own: &ReplicaStatus, before: Option<&ReplicaStatus>) -> bool {
    let same = |before: &&ReplicaStatus| before.generation == own.generation && before.revision == own.revision;
    before.filter(same).is_some_and(|before| own.enforced < before.enforced)
}

/// Whether a status is worse than the one before it, where both are about the same generation.
pub(super) fn falls(status: &ApiAuthPolicyStatus, before: &ApiAuthPolicyStatus) -> bool {
    let enforced = |status: &ApiAuthPolicyStatus| status.pods.as_ref().map_or(0, |pods| pods.enforced);
    let fell = |old: &Condition| {
        let new = status.conditions.iter().find(|condition| condition.type_ == old.type_);
        is_good(old) && !new.is_some_and(is_good)
    };
    status.observed_generation == before.observed_generation
        && (enforced(status) < enforced(before) || before.conditions.iter().any(fell))
}

/// Whether a condition is as people want it.
pub(super) fn is_good(condition: &Condition) -> bool {
    (condition.status == "True") != (condition.type_ == "Conflicted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::{PodCounts, Time};
    use k8s_openapi::jiff::Timestamp;

    fn entry(generation: i64, revision: &str, enforced: u32) -> ReplicaStatus {
        ReplicaStatus { generation, revision: revision.to_owned(), enforced, ..ReplicaStatus::default() }
    }

    fn status(generation: i64, enforced: u32, conditions: &[(&str, &str)]) -> ApiAuthPolicyStatus {
        let conditions = conditions.iter().map(|(kind, status)| Condition {
            type_: (*kind).to_owned(),
            status: (*status).to_owned(),
            reason: "Any".to_owned(),
            message: String::new(),
            observed_generation: Some(generation),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        });
        ApiAuthPolicyStatus {
            observed_generation: Some(generation),
            pods: Some(PodCounts { selected: 4, enforced, ..PodCounts::default() }),
            conditions: conditions.collect(),
            ..ApiAuthPolicyStatus::default()
        }
    }

    #[test]
    fn an_entry_loses_only_against_one_of_the_same_rules() {
        let before = entry(7, "a", 2);
        assert!(loses(&entry(7, "a", 1), Some(&before)));
        for own in [entry(7, "a", 2), entry(7, "a", 3), entry(8, "a", 0), entry(7, "b", 0)] {
            assert!(!loses(&own, Some(&before)), "{own:?}");
        }
        assert!(!loses(&entry(7, "a", 0), None));
    }

    #[test]
    fn a_status_falls_where_pods_or_conditions_do() {
        let before = status(7, 4, &[("Enforced", "True"), ("Conflicted", "False")]);
        assert!(falls(&status(7, 3, &[("Enforced", "True"), ("Conflicted", "False")]), &before));
        assert!(falls(&status(7, 4, &[("Enforced", "False"), ("Conflicted", "False")]), &before));
        assert!(falls(&status(7, 4, &[("Enforced", "True"), ("Conflicted", "True")]), &before));
        assert!(!falls(&before, &before));
    }

    #[test]
    fn what_gets_better_or_is_about_another_generation_does_not_fall() {
        let before = status(7, 1, &[("Enforced", "False"), ("KeysReady", "False")]);
        assert!(!falls(&status(7, 4, &[("Enforced", "True"), ("KeysReady", "False")]), &before));
        let good = status(7, 4, &[("Enforced", "True")]);
        assert!(!falls(&status(8, 0, &[("Enforced", "False")]), &good));
    }
}
