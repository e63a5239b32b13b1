//! What is said of policies.

use super::*;
use crate::compiler::{Conflict, SelectedPod};
use crate::limits::MOVES;
use crate::objects::Key;
use compile::diagnostic::{Code, Diagnostic};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use ::policy::keys::KeySource;
use ::policy::wire::{Applied, Report};

fn id(name: &str) -> PodId {
    PodId { namespace: "shop".to_owned(), name: name.to_owned(), uid: format!("uid-{name}") }
}

fn pod(name: &str) -> SelectedPod {
    SelectedPod { id: id(name), port: Some(3000), injected: true, conflict: None }
}

fn policy(pods: Vec<SelectedPod>) -> PolicyOutcome {
    let rules = Rules::for_test(7, "rev");
    PolicyOutcome {
        uid: "uid".to_owned(),
        generation: 7,
        diagnostics: Arc::new([]),
        accepted: true,
        rules: Some(Arc::new(rules)),
        pods,
    }
}

fn seen(name: &str, generation: i64, revision: &str, captured: bool) -> (PodId, Seen) {
    let applied = vec![Applied { port: 3000, generation, revision: revision.to_owned(), error: None }];
    let captured = if captured { vec![3000] } else { Vec::new() };
    let report = Report { applied, captured, unknown_keys: Vec::new() };
    (id(name), Seen { streams: 1, report: Some(Arc::new(report)), ..Seen::default() })
}

fn leader(policy: &PolicyOutcome, replicas: &[ReplicaStatus]) -> ApiAuthPolicyStatus {
    of_leader(policy, replicas, &AllKeysSeen::new(), &ApiAuthPolicyStatus::default(), Timestamp::UNIX_EPOCH)
}

fn condition<'a>(status: &'a ApiAuthPolicyStatus, kind: &str) -> (&'a str, &'a str, &'a str) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    (&found.status, &found.reason, &found.message)
}

#[test]
fn a_replica_counts_the_pods_that_are_connected_to_it() {
    let policy = policy(["a", "b", "c", "d", "e"].map(pod).into());
    let seen = BTreeMap::from([
        seen("a", 7, "rev", true),
        seen("b", 7, "rev", false),
        seen("c", 6, "rev", true),
        seen("d", 7, "another", true),
        (id("e"), Seen { streams: 1, ..Seen::default() }),
    ]);
    let status = of_replica("one", &policy, &seen);
    assert_eq!((status.generation, status.enforced, status.not_captured_count, status.outdated_count), (7, 1, 1, 3));
    assert_eq!(
        (status.not_captured, status.outdated),
        (vec!["b".to_owned()], vec!["c".to_owned(), "d".to_owned(), "e".to_owned()])
    );
}

#[test]
fn enforced_is_true_only_when_every_pod_runs_it_with_its_traffic_captured() {
    let all = policy(["a", "b"].map(pod).into());
    let both = BTreeMap::from([seen("a", 7, "rev", true), seen("b", 7, "rev", true)]);
    let status = leader(&all, &[of_replica("one", &all, &both)]);
    assert_eq!(condition(&status, "Enforced"), ("True", "Enforced", "2/2 pods at generation 7"));
    let one = BTreeMap::from([seen("a", 7, "rev", true)]);
    let status = leader(&all, &[of_replica("one", &all, &one)]);
    assert_eq!(condition(&status, "Enforced"), ("False", "Outdated", "1/2 pods at generation 7; 1 not yet"));
    let round = BTreeMap::from([seen("a", 7, "rev", true), seen("b", 7, "rev", false)]);
    let status = leader(&all, &[of_replica("one", &all, &round)]);
    assert_eq!(condition(&status, "Enforced").1, "NotCaptured");
    assert_eq!(condition(&leader(&policy(Vec::new()), &[]), "Enforced").1, "NoPods");
    let mut without = policy(["a", "b"].map(pod).into());
    without.pods[1].injected = false;
    let status = leader(&without, &[of_replica("one", &without, &one)]);
    assert_eq!(condition(&status, "Enforced").1, "NotInjected");
    assert_eq!(status.pods.unwrap().not_injected, 1);
    let mut ruled = policy(["a", "b"].map(pod).into());
    ruled.pods[1].conflict =
        Some(Conflict { other: Key { namespace: "shop".into(), name: "older".into() }, other_rules: true });
    let status = leader(&ruled, &[of_replica("one", &ruled, &both)]);
    assert_eq!(condition(&status, "Enforced").1, "Conflicted");
    assert_eq!(condition(&status, "Conflicted").0, "True");
    assert!(condition(&status, "Conflicted").2.contains("`shop/older`"));
    assert_eq!(condition(&status, "Accepted").0, "True", "`Accepted` does not change");
}

#[test]
fn entries_of_several_replicas_are_summed_and_those_of_another_generation_are_not() {
    let policy = policy(["a", "b", "c"].map(pod).into());
    let of = |name: &str, pods: &[&str]| {
        of_replica(name, &policy, &pods.iter().map(|pod| seen(pod, 7, "rev", true)).collect())
    };
    let old = ReplicaStatus { generation: 6, ..of("three", &["c"]) };
    let pods = leader(&policy, &[of("one", &["a"]), of("two", &["b"]), old]).pods.unwrap();
    assert_eq!((pods.selected, pods.enforced, pods.outdated), (3, 2, 1));
    let enforced = |replicas: &[ReplicaStatus]| condition(&leader(&policy, replicas), "Enforced").0 == "True";
    assert!(enforced(&[of("one", &["a"]), of("two", &["b", "c"])]));
    assert!(enforced(&[of("gone", &["a", "b", "c"]), of("two", &["a"])]), "pods on their way to another replica");
    assert!(!enforced(&[of("one", &["a", "b"]), of("two", &["b"])]), "`b` in two entries does not stand for `c`");
    assert!(!enforced(&[of("one", &["a", "b"]), of("two", &["a", "b"])]));
    assert!(!enforced(&[ReplicaStatus { enforced_sum: String::new(), ..of("one", &["a", "b", "c"]) }]));
}

#[test]
fn a_refused_generation_is_told_with_its_fields_and_the_one_that_holds() {
    let mut policy = policy(vec![pod("a")]);
    policy.generation = 8;
    policy.accepted = false;
    policy.diagnostics =
        Arc::new([Diagnostic::error(Code::UnknownField, "spec.rules[0].require.scope", "`scope` is no field")
            .with_hint("write `scopes`")]);
    let seen = BTreeMap::from([seen("a", 7, "rev", true)]);
    let status = leader(&policy, &[of_replica("one", &policy, &seen)]);
    assert_eq!(
        condition(&status, "Accepted"),
        ("False", "UnknownField", "spec.rules[0].require.scope: `scope` is no field; write `scopes`")
    );
    assert_eq!(
        condition(&status, "Enforced"),
        ("False", "Outdated", "generation 8 is not accepted; pods keep generation 7")
    );
    assert_eq!(status.observed_generation, Some(8));
}

/// The stream of a pod moves from one replica to another: it is open there before it ends here, and told of a little later.
#[test]
fn pods_on_their_way_to_another_replica_do_not_make_it_fall() {
    let both = policy(["a", "b"].map(pod).into());
    let entry = |pods: &[(&str, &str)]| {
        of_replica("one", &both, &pods.iter().map(|(name, revision)| seen(name, 7, revision, true)).collect())
    };
    let (whole, partly) = (entry(&[("a", "rev"), ("b", "rev")]), entry(&[("a", "rev")]));
    let begun = Instant::now();
    let mut moving = settle::Moving::default();
    let mut until = |policy: &PolicyOutcome, entry: &ReplicaStatus, after: Duration| {
        let replicas = std::slice::from_ref(entry);
        moving.until(policy, &leader(policy, replicas), replicas, begun + after).map(|until| until - begun)
    };
    let (now, later) = (Duration::ZERO, MOVES / 2);
    assert_eq!(until(&both, &partly, now), None, "they were never all enforced");
    assert_eq!(until(&both, &whole, now), None);
    assert_eq!(until(&both, &partly, now), Some(MOVES));
    assert_eq!(until(&both, &partly, later), Some(MOVES));
    assert_eq!(until(&both, &partly, MOVES), None, "it is gone");
    assert_eq!(until(&both, &whole, now), None);
    assert_eq!(until(&both, &partly, later), Some(later + MOVES));
    assert_eq!(until(&both, &entry(&[("a", "rev"), ("b", "old")]), later), None, "seen to run something else");
    assert_eq!(until(&both, &whole, now), None);
    let replaced = policy(["a", "c"].map(pod).into());
    assert_eq!(until(&replaced, &partly, now), None, "a new pod was never seen");
    assert_eq!(until(&both, &whole, now), None);
    let refused = PolicyOutcome { accepted: false, ..policy(["a", "b"].map(pod).into()) };
    assert_eq!(until(&refused, &partly, now), None);
}

#[test]
fn conditions_keep_when_they_began() {
    let policy = policy(vec![pod("a")]);
    let at = |second| Timestamp::from_second(second).unwrap();
    let none = AllKeysSeen::new();
    let first = of_leader(&policy, &[], &none, &ApiAuthPolicyStatus::default(), at(1));
    let later = of_leader(&policy, &[], &none, &first, at(2));
    assert_eq!(later, first);
    let seen = BTreeMap::from([seen("a", 7, "rev", true)]);
    let turned = of_leader(&policy, &[of_replica("one", &policy, &seen)], &none, &later, at(3));
    let since = |kind: &str| {
        turned.conditions.iter().find(|condition| condition.type_ == kind).map(|found| found.last_transition_time.0)
    };
    assert_eq!((since("Enforced"), since("Accepted")), (Some(at(3)), Some(at(1))));
}

#[test]
fn keys_are_ready_when_every_issuer_has_some() {
    let mut policy = policy(vec![pod("a")]);
    let mut rules = Rules::for_test(7, "rev");
    rules.issuers = vec![("main".to_owned(), "id-1".to_owned()), ("other".to_owned(), "id-2".to_owned())];
    policy.rules = Some(Arc::new(rules));
    let fine = KeysSeen { keys: 2, ..KeysSeen::default() };
    let failed =
        KeysSeen { error: Some(("AddressForbidden".to_owned(), "set this".to_owned())), ..KeysSeen::default() };
    let told =
        |keys: &AllKeysSeen| of_leader(&policy, &[], keys, &ApiAuthPolicyStatus::default(), Timestamp::UNIX_EPOCH);
    let status = told(&BTreeMap::from([("id-1".to_owned(), fine.clone()), ("id-2".to_owned(), failed)]));
    assert_eq!(
        condition(&status, "KeysReady"),
        ("False", "AddressForbidden", "main: 2 keys | other: no keys, set this")
    );
    assert_eq!(status.summary.as_ref().unwrap().issuers, "main,other");
    let status = told(&BTreeMap::from([("id-1".to_owned(), fine.clone())]));
    assert_eq!(condition(&status, "KeysReady").1, "Pending");
    let status = told(&BTreeMap::from([("id-1".to_owned(), fine.clone()), ("id-2".to_owned(), fine)]));
    assert_eq!(condition(&status, "KeysReady").0, "True");
}

#[test]
fn it_is_told_when_keys_were_fetched() {
    let mut policy = policy(vec![pod("a")]);
    let mut rules = Rules::for_test(7, "rev");
    rules.sources = vec![KeySource::new("https://login.example.com".to_owned(), None, None)];
    rules.issuers = vec![("main".to_owned(), rules.sources[0].id().to_owned())];
    let id = rules.sources[0].id().to_owned();
    policy.rules = Some(Arc::new(rules));
    let keys = BTreeMap::from([(id, KeysSeen { keys: 1, last_fetch: Some(Timestamp::UNIX_EPOCH), error: None })]);
    let status = of_leader(&policy, &[], &keys, &ApiAuthPolicyStatus::default(), Timestamp::UNIX_EPOCH);
    assert_eq!(condition(&status, "KeysReady").2, "main: 1 key, fetched at 1970-01-01T00:00:00Z");
}

#[test]
fn lists_are_bounded() {
    let policy = policy((0..30).map(|number| pod(&format!("p{number:02}"))).collect());
    let seen = (0..30).map(|number| seen(&format!("p{number:02}"), 1, "old", true)).collect();
    let status = of_replica("one", &policy, &seen);
    assert_eq!((status.outdated.len(), status.outdated_count), (LISTED_PODS, 30));
    assert_eq!(cut("ä".repeat(10), 9), format!("{}…", "ä".repeat(3)));
}
