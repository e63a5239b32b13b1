//! From worlds to what pods run.

use super::*;
use crate::limits::{KEYS_FIRST, RECHECK, RECHECKS};
use crate::objects::{DeclaredPort, Pod, Policy, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

fn key(name: &str) -> Key {
    Key { namespace: "shop".to_owned(), name: name.to_owned() }
}

fn options() -> Options {
    Options { compile: Settings::default(), cluster_domain: "cluster.local".to_owned() }
}

/// A policy for pods `app: APP` on port 3000; `second` orders policies by age.
fn policy(name: &str, generation: i64, second: i64, app: &str, spec: Value) -> (Key, Policy) {
    let mut whole = json!({
        "selector": {"matchLabels": {"app": app}},
        "port": 3000,
        "tls": {"mode": "Optional"},
        "rules": [{"path": "/health", "allow": "Anonymous"}],
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        whole[field] = value.clone();
    }
    let metadata = json!({"namespace": "shop", "name": name, "generation": generation, "uid": format!("uid-{name}")});
    let object =
        json!({"apiVersion": "doorward.dev/v1alpha1", "kind": "ApiAuthPolicy", "metadata": metadata, "spec": whole});
    let created = Some(Time(Timestamp::from_second(second).unwrap()));
    (key(name), Policy { uid: format!("uid-{name}"), generation, created, object, status: Arc::default() })
}

fn pod(name: &str, app: &str) -> (Key, Pod) {
    let id = PodId { namespace: "shop".to_owned(), name: name.to_owned(), uid: format!("uid-{name}") };
    let pod = Pod {
        id,
        labels: [("app".to_owned(), app.to_owned())].into(),
        service_account: "runner".into(),
        ports: vec![DeclaredPort { name: Some("http".into()), number: 3000 }],
        protected: None,
        injected: true,
        proxied: None,
        ended: false,
    };
    (key(name), pod)
}

fn world(policies: Vec<(Key, Policy)>, pods: Vec<(Key, Pod)>) -> World {
    let mut world = World::default();
    let service = Service { selector: [("app".to_owned(), "users".to_owned())].into() };
    list(&mut world.policies, policies);
    list(&mut world.pods, pods);
    list(&mut world.services, vec![(key("users"), service)]);
    world
}

fn list<T: PartialEq>(cache: &mut crate::cache::Cache<T>, objects: Vec<(Key, T)>) {
    cache.apply(Event::Init);
    objects.into_iter().for_each(|object| {
        cache.apply(Event::InitApply(object));
    });
    cache.apply(Event::InitDone);
}

fn desired<'a>(outcome: &'a Outcome, pod: &str) -> &'a Desired {
    outcome.desired.iter().find(|(id, _)| id.name == pod).map(|(_, desired)| &**desired).unwrap()
}

/// The generation of what a pod runs on port 3000.
fn generation(outcome: &Outcome, pod: &str) -> Option<i64> {
    let line = &desired(outcome, pod).rulesets.get(&3000)?.line;
    let message: policy_wire::RulesetMessage = serde_json::from_slice(line).unwrap();
    assert_eq!(message.port, 3000);
    message.body().unwrap();
    Some(message.generation)
}

use ::policy::wire as policy_wire;

/// Whether its port is absent.
fn is_absent(outcome: &Outcome, pod: &str) -> bool {
    let desired = desired(outcome, pod);
    desired.complete
        && desired.rulesets.is_empty()
        && desired.retained.is_empty()
        && desired.retained_elsewhere.is_empty()
}

/// Whose rules may stay on its port.
fn retained(outcome: &Outcome, pod: &str) -> Vec<String> {
    desired(outcome, pod).retained[&3000].iter().cloned().collect()
}

fn run(compiler: &mut Compiler, world: &World) -> Outcome {
    compiler.run(world, &FetchedKeys::new(), &BTreeSet::new(), Instant::now())
}

/// A policy with an issuer whose keys are fetched.
fn of_issuer(generation: i64, issuer: &str) -> Vec<(Key, Policy)> {
    let issuers = json!({"issuers": [{"name": "main", "issuer": issuer, "audiences": ["users"]}]});
    vec![policy("users", generation, 1, "users", issuers)]
}

#[test]
fn a_new_source_of_keys_is_tried_before_the_rules_that_name_it_are_in_force() {
    let mut compiler = Compiler::new(options());
    let begun = Instant::now();
    let mut at = |generation, issuer, tried: &BTreeSet<String>, late: Duration| {
        let world = world(of_issuer(generation, issuer), vec![pod("a", "users")]);
        let outcome = compiler.run(&world, &FetchedKeys::new(), tried, begun + late);
        let ids: BTreeSet<String> = compiler.sources().iter().map(|source| source.id().to_owned()).collect();
        let again = outcome.again.map(|again| again - begun).filter(|after| *after < RECHECK);
        (self::generation(&outcome, "a"), again, ids)
    };
    let (none, now) = (BTreeSet::new(), Duration::ZERO);
    let (first, again, one) = at(1, "https://a.example", &none, now);
    assert_eq!((first, again, one.len()), (Some(1), None, 1), "before the first rules nothing passes anyway");
    let (held, again, both) = at(2, "https://b.example", &none, now);
    assert_eq!((held, again, both.len()), (Some(1), Some(KEYS_FIRST), 2), "both are fetched");
    let (held, again, _) = at(3, "https://b.example", &none, KEYS_FIRST / 2);
    assert_eq!((held, again), (Some(1), Some(KEYS_FIRST)), "a further change waits no longer");
    assert_eq!(
        at(3, "https://b.example", &both, KEYS_FIRST / 2),
        (Some(3), None, &both - &one),
        "tried, in vain or not"
    );
    assert_eq!(at(4, "https://c.example", &none, KEYS_FIRST).0, Some(3));
    assert_eq!(at(4, "https://c.example", &none, KEYS_FIRST * 2).0, Some(4), "and it waits no longer than that");
}

#[test]
fn rules_that_wait_are_the_last_good_ones_of_what_cannot_be_used() {
    let mut compiler = Compiler::new(options());
    let mut at = |generation, issuer: &str, tried: &BTreeSet<String>| {
        let world = world(of_issuer(generation, issuer), vec![pod("a", "users")]);
        let outcome = compiler.run(&world, &FetchedKeys::new(), tried, Instant::now());
        let ids: BTreeSet<String> = compiler.sources().iter().map(|source| source.id().to_owned()).collect();
        (self::generation(&outcome, "a"), outcome.policies[&key("users")].accepted, ids)
    };
    let none = BTreeSet::new();
    at(1, "https://a.example", &none);
    let (held, accepted, both) = at(2, "https://b.example", &none);
    assert_eq!((held, accepted), (Some(1), true));
    assert_eq!(at(3, "no URL", &none).0, Some(1));
    let (last_good, accepted, _) = at(3, "no URL", &both);
    assert_eq!((last_good, accepted), (Some(2), false));
}

#[test]
fn selected_pods_run_the_policy_and_others_none() {
    let world = world(vec![policy("users", 3, 1, "users", json!({}))], vec![pod("a", "users"), pod("b", "other")]);
    let mut compiler = Compiler::new(options());
    let outcome = run(&mut compiler, &world);
    assert_eq!((generation(&outcome, "a"), generation(&outcome, "b")), (Some(3), None));
    assert!(desired(&outcome, "a").complete && is_absent(&outcome, "b"));
    let policy = &outcome.policies[&key("users")];
    assert!(policy.accepted);
    assert_eq!(policy.pods.iter().map(|pod| pod.id.name.as_str()).collect::<Vec<_>>(), ["a"]);
    let names = desired(&outcome, "a").names.as_deref().unwrap();
    assert_eq!(names.spiffe, "spiffe://cluster.local/ns/shop/sa/runner");
    assert_eq!(names.dns, ["users", "users.shop", "users.shop.svc", "users.shop.svc.cluster.local"]);
    assert!(desired(&outcome, "b").names.as_deref().unwrap().dns.is_empty());
}

#[test]
fn an_invalid_update_keeps_the_last_good_rules_and_a_deleted_policy_none() {
    let mut compiler = Compiler::new(options());
    let pods = || vec![pod("a", "users")];
    run(&mut compiler, &world(vec![policy("users", 1, 1, "users", json!({}))], pods()));
    let bad = policy("users", 2, 1, "users", json!({"rules": [{"path": "/x", "require": {"scope": ["admin"]}}]}));
    let outcome = run(&mut compiler, &world(vec![bad], pods()));
    let told = &outcome.policies[&key("users")];
    assert!(!told.accepted && told.generation == 2);
    assert_eq!(told.diagnostics[0].path, "spec.rules[0].require.scope");
    assert_eq!(generation(&outcome, "a"), Some(1));
    let outcome = run(&mut compiler, &world(Vec::new(), pods()));
    assert_eq!(generation(&outcome, "a"), None);
    assert!(is_absent(&outcome, "a"));
}

#[test]
fn a_policy_that_never_could_be_used_still_selects() {
    let bad = policy("users", 1, 1, "users", json!({"tls": {"mode": "Mutal"}}));
    let outcome = run(&mut Compiler::new(options()), &world(vec![bad], vec![pod("a", "users")]));
    assert_eq!(generation(&outcome, "a"), None);
    assert_eq!(retained(&outcome, "a"), ["uid-users"], "nobody may call the port absent");
    assert!(outcome.policies[&key("users")].rules.is_none());
}

#[test]
fn an_object_made_anew_has_no_last_good_rules() {
    let mut compiler = Compiler::new(options());
    let pods = || vec![pod("a", "users")];
    run(&mut compiler, &world(vec![policy("users", 1, 1, "users", json!({}))], pods()));
    let (name, mut bad) = policy("users", 1, 1, "users", json!({"rules": [{"path": "x", "allow": "Anonymous"}]}));
    bad.uid = "another".to_owned();
    let outcome = run(&mut compiler, &world(vec![(name, bad)], pods()));
    assert_eq!(generation(&outcome, "a"), None);
}

#[test]
fn of_two_policies_on_one_port_the_older_rules() {
    let policies = || {
        vec![
            policy("a-young", 7, 20, "users", json!({})),
            policy("z-old", 9, 10, "users", json!({})),
            policy("other", 1, 5, "other", json!({})),
        ]
    };
    let outcome = run(&mut Compiler::new(options()), &world(policies(), vec![pod("a", "users"), pod("b", "other")]));
    assert_eq!(generation(&outcome, "a"), Some(9));
    let conflict = |name: &str| outcome.policies[&key(name)].pods[0].conflict.clone();
    assert_eq!(conflict("a-young"), Some(Conflict { other: key("z-old"), other_rules: true }));
    assert_eq!(conflict("z-old"), Some(Conflict { other: key("a-young"), other_rules: false }));
    assert_eq!(conflict("other"), None);
    let mut same_age = policies();
    same_age[0].1.created = same_age[1].1.created.clone();
    let outcome = run(&mut Compiler::new(options()), &world(same_age, vec![pod("a", "users")]));
    assert_eq!(generation(&outcome, "a"), Some(7), "of one age: by name");
}

#[test]
fn what_a_policy_names_is_waited_for_and_its_changes_are_seen() {
    let keys = json!({"issuers": [{"name": "main", "issuer": "https://login.example.com", "audiences": ["a"],
        "keys": {"configMapName": "keys", "key": "jwks.json"}}]});
    let mut compiler = Compiler::new(options());
    let mut world = world(vec![policy("users", 1, 1, "users", keys)], vec![pod("a", "users")]);
    assert_eq!(Compiler::references(&world), BTreeSet::from([key("keys")]));
    let outcome = run(&mut compiler, &world);
    assert!(outcome.policies.is_empty(), "nothing is said before it was looked at");
    assert_eq!(retained(&outcome, "a"), ["uid-users"], "its rules may be there since before a restart");
    world.config_maps.insert(key("keys"), None);
    let outcome = run(&mut compiler, &world);
    assert!(!outcome.policies[&key("users")].accepted);
    world.config_maps.insert(key("keys"), Some([("jwks.json".to_owned(), JWKS.to_owned())].into()));
    let outcome = run(&mut compiler, &world);
    assert!(outcome.policies[&key("users")].accepted);
    assert_eq!(desired(&outcome, "a").keys.len(), 1);
    let before = desired(&outcome, "a").keys.values().next().unwrap().revision.clone();
    let other = JWKS.replace("\"a\"", "\"b\"");
    world.config_maps.insert(key("keys"), Some([("jwks.json".to_owned(), other)].into()));
    let outcome = run(&mut compiler, &world);
    let desired = desired(&outcome, "a");
    assert_ne!(desired.keys.values().next().unwrap().revision, before);
    assert_eq!(
        desired.rulesets[&3000].revision,
        outcome.policies[&key("users")].rules.as_ref().map(|rules| format!("1/{}", rules.revision)).unwrap()
    );
}

#[test]
fn ports_are_found_by_name_by_annotation_and_by_being_the_only_one() {
    let two = vec![
        DeclaredPort { name: Some("http".into()), number: 8080 },
        DeclaredPort { name: Some("metrics".into()), number: 9090 },
    ];
    let port_of = |port: Value, ports: Vec<DeclaredPort>, protected: Option<&str>| {
        let mut spec = json!({"port": port});
        if port.is_null() {
            spec = json!({});
        }
        let (name, mut object) = policy("users", 1, 1, "users", spec);
        if port.is_null() {
            object.object["spec"].as_object_mut().unwrap().remove("port");
        }
        let (pod_name, mut pod) = pod("a", "users");
        (pod.ports, pod.protected) = (ports, protected.map(Into::into));
        let outcome = run(&mut Compiler::new(options()), &world(vec![(name, object)], vec![(pod_name, pod)]));
        let elsewhere = desired(&outcome, "a").retained_elsewhere.len();
        (outcome.policies[&key("users")].pods[0].port, elsewhere)
    };
    assert_eq!(port_of(json!("http"), two.clone(), None), (Some(8080), 0));
    assert_eq!(port_of(json!(9090), two.clone(), None), (Some(9090), 0));
    assert_eq!(port_of(json!("nothing"), two.clone(), None), (None, 1), "and no port is absent");
    assert_eq!(port_of(Value::Null, two.clone(), None).0, None);
    assert_eq!(port_of(Value::Null, two.clone(), Some("metrics")).0, Some(9090));
    assert_eq!(port_of(Value::Null, two.clone(), Some("8080")).0, Some(8080));
    assert_eq!(port_of(Value::Null, two.clone(), Some("8080,metrics")).0, None);
    assert_eq!(port_of(Value::Null, two.clone(), Some("http,8080")).0, Some(8080), "one port, named twice");
    assert_eq!(port_of(Value::Null, two[..1].to_vec(), None).0, Some(8080));
    let twice = vec![two[0].clone(), DeclaredPort { name: Some("web".into()), number: 8080 }];
    assert_eq!(port_of(Value::Null, twice, None).0, Some(8080));
}

#[test]
fn the_port_before_which_the_sidecar_stands_counts_whatever_others_declare() {
    let ports = |numbers: &[u16]| numbers.iter().map(|number| DeclaredPort { name: None, number: *number }).collect();
    let (_, mut pod) = pod("a", "users");
    // A native sidecar of the application, or one that another injector added.
    (pod.ports, pod.proxied) = (ports(&[3000, 2020]), Some([3000].into()));
    assert_eq!(pod.only_port(), Some(3000));
    pod.proxied = Some([3000, 2020].into());
    assert_eq!(pod.only_port(), None);
}

#[test]
fn one_message_is_shared_by_all_pods_and_kept_while_nothing_changes() {
    let objects = || {
        let pods = (0..50).map(|number| pod(&format!("p{number}"), "users")).collect();
        world(vec![policy("users", 1, 1, "users", json!({}))], pods)
    };
    let mut compiler = Compiler::new(options());
    let first = run(&mut compiler, &objects());
    let again = run(&mut compiler, &objects());
    let pointers: BTreeSet<_> = first
        .desired
        .values()
        .chain(again.desired.values())
        .map(|desired| Arc::as_ptr(&desired.rulesets[&3000]))
        .collect();
    assert_eq!(pointers.len(), 1);
}

/// Whatever the order in which objects are seen, the same is made of them.
#[test]
fn the_order_of_objects_changes_nothing() {
    let policies = || {
        vec![
            policy("a", 1, 3, "users", json!({})),
            policy("b", 2, 2, "users", json!({})),
            policy("c", 3, 1, "users", json!({})),
        ]
    };
    let pods = || vec![pod("a", "users"), pod("b", "users")];
    let told = |outcome: Outcome| (outcome.desired, outcome.policies);
    let straight = told(run(&mut Compiler::new(options()), &world(policies(), pods())));
    let mut turned = (policies(), pods());
    turned.0.reverse();
    turned.1.reverse();
    assert_eq!(told(run(&mut Compiler::new(options()), &world(turned.0, turned.1))), straight);
}

/// Refused, or not looked at yet: the rules in force stay where they are, and go nowhere else.
#[test]
fn an_update_that_cannot_be_used_moves_no_rules_to_other_pods() {
    let pods = || vec![pod("a", "users"), pod("b", "other")];
    let first = || world(vec![policy("users", 1, 1, "users", json!({}))], pods());
    let unusable = json!({"rules": [{"path": "x", "allow": "Anonymous"}]});
    let waits =
        json!({"tls": {"mode": "Optional", "clientCAs": [{"name": "p", "configMapName": "ca", "key": "ca.crt"}]}});
    for spec in [unusable, waits, json!({"selector": {"matchLabels": 5}})] {
        let mut compiler = Compiler::new(options());
        run(&mut compiler, &first());
        let outcome = run(&mut compiler, &world(vec![policy("users", 2, 1, "other", spec.clone())], pods()));
        assert_eq!((generation(&outcome, "a"), generation(&outcome, "b")), (Some(1), None), "{spec}");
        assert!(is_absent(&outcome, "b"), "{spec}");
    }
}

#[test]
fn a_pod_whose_sidecar_stands_before_another_port_has_none_there() {
    let (name, mut elsewhere) = pod("a", "users");
    elsewhere.proxied = Some([8080].into());
    let (other, mut there) = pod("b", "users");
    there.proxied = Some([8080, 3000].into());
    let policies = vec![policy("users", 1, 1, "users", json!({}))];
    let outcome = run(&mut Compiler::new(options()), &world(policies, vec![(name, elsewhere), (other, there)]));
    let injected = outcome.policies[&key("users")].pods.iter().map(|pod| (pod.id.name.as_str(), pod.injected));
    assert_eq!(injected.collect::<Vec<_>>(), [("a", false), ("b", true)]);
}

/// The first run finds what is true then; no change tells that a certificate has grown old.
#[test]
fn what_has_expired_meanwhile_is_told_within_the_time_of_a_recheck() {
    static YEAR: AtomicU64 = AtomicU64::new(2025);
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let ca = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
    let partner = json!({"name": "partner", "configMapName": "partner", "key": "ca.crt"});
    let tls = json!({"tls": {"mode": "Optional", "clientCAs": [partner]}});
    let count = RECHECKS + 1;
    let policies = (0..count).map(|number| policy(&format!("p{number:03}"), 1, 1, "users", tls.clone())).collect();
    let mut world = world(policies, vec![pod("a", "users")]);
    world.config_maps.insert(key("partner"), Some([("ca.crt".to_owned(), ca)].into()));
    let now = || Duration::from_secs((YEAR.load(Ordering::Relaxed) - 1970) * 31_556_952);
    let compile = Settings { now: Some(now), ..Settings::default() };
    let mut compiler = Compiler::new(Options { compile, ..options() });
    let begun = Instant::now();
    let mut expired = |after| {
        let outcome = compiler.run(&world, &FetchedKeys::new(), &BTreeSet::new(), begun + after);
        let told = |policy: &Arc<PolicyOutcome>| policy.diagnostics.iter().any(|one| one.code.as_str() == "expired");
        let rules = outcome.policies.values().map(|policy| Arc::as_ptr(policy.rules.as_ref().unwrap())).collect();
        (outcome.policies.values().filter(|policy| told(policy)).count(), outcome.again, rules)
    };
    let (told, again, rules): (_, _, Vec<_>) = expired(Duration::ZERO);
    assert_eq!((told, again), (0, Some(begun + RECHECK)));
    YEAR.store(2031, Ordering::Relaxed);
    assert_eq!(expired(RECHECK / 2).0, 0);
    let (told, again, _) = expired(RECHECK);
    assert_eq!((told, again), (RECHECKS, Some(begun + RECHECK)), "the rest at once after what else is to be done");
    let (told, again, same) = expired(RECHECK);
    assert_eq!((told, again), (count, Some(begun + RECHECK * 2)));
    assert_eq!(same, rules, "what is in force is not touched");
}

#[test]
fn a_config_map_that_cannot_be_read_is_told_and_the_last_rules_stay() {
    let mut compiler = Compiler::new(options());
    let keys = |name: &str| {
        let jwks = json!({"configMapName": name, "key": "jwks.json"});
        json!({"issuers": [{"name": "main", "issuer": "https://a.example", "audiences": ["users"], "keys": jwks}]})
    };
    let mut world = world(vec![policy("users", 1, 1, "users", json!({}))], vec![pod("a", "users")]);
    assert_eq!(generation(&run(&mut compiler, &world), "a"), Some(1));
    list(&mut world.policies, vec![policy("users", 2, 1, "users", keys("keys"))]);
    assert!(!run(&mut compiler, &world).policies.contains_key(&key("users")), "not looked at yet: nothing is known");
    world.unreadable.insert(key("keys"), "forbidden".to_owned());
    let outcome = run(&mut compiler, &world);
    let told = &outcome.policies[&key("users")];
    assert!(!told.accepted && told.generation == 2, "{told:?}");
    assert_eq!(told.diagnostics[0].message, "ConfigMap `keys` cannot be read: forbidden");
    let late = Instant::now() + RECHECK * 2;
    let again = compiler.run(&world, &FetchedKeys::new(), &BTreeSet::new(), late).again;
    assert_eq!(again, None, "until it can be read there is nothing to check again");
    assert_eq!(generation(&outcome, "a"), Some(1), "the last good rules");
    world.config_maps.insert(key("keys"), Some([("jwks.json".to_owned(), JWKS.to_owned())].into()));
    let outcome = run(&mut compiler, &world);
    assert!(outcome.policies[&key("users")].accepted);
    assert_eq!(generation(&outcome, "a"), Some(2));
}

#[test]
fn a_pod_that_is_ending_keeps_its_rules_and_counts_no_longer() {
    let (name, mut ending) = pod("a", "users");
    ending.ended = true;
    let policies = vec![policy("users", 1, 1, "users", json!({}))];
    let outcome = run(&mut Compiler::new(options()), &world(policies, vec![(name, ending)]));
    assert_eq!(generation(&outcome, "a"), Some(1));
    assert!(outcome.policies[&key("users")].pods.is_empty());
}

/// What such a policy allowed before, if it ever did, may stay; what any other allowed may not.
#[test]
fn a_policy_that_cannot_be_used_is_named_where_it_rules() {
    let unusable = json!({"rules": [{"path": "x", "allow": "Anonymous"}]});
    let policies = vec![policy("old", 1, 1, "users", unusable), policy("young", 1, 2, "users", json!({}))];
    let outcome = run(&mut Compiler::new(options()), &world(policies, vec![pod("a", "users")]));
    assert_eq!(retained(&outcome, "a"), ["uid-old"]);
    assert_eq!(generation(&outcome, "a"), None, "the older rules, though it refuses");
}

/// After a restart nobody here knows for which pods the last good rules were: whoever holds them keeps them, and so does who
/// holds what a younger policy allows.
#[test]
fn an_update_that_could_not_be_used_before_a_restart_locks_nobody_out() {
    let unusable = json!({"rules": [{"path": "x", "allow": "Anonymous"}]});
    let policies = vec![policy("old", 2, 1, "other", unusable), policy("young", 1, 2, "other", json!({}))];
    let pods = vec![pod("a", "users"), pod("b", "other")];
    let outcome = run(&mut Compiler::new(options()), &world(policies, pods));
    assert_eq!(desired(&outcome, "a").retained_elsewhere, BTreeSet::from(["uid-old".to_owned()]));
    assert_eq!(retained(&outcome, "b"), ["uid-old", "uid-young"]);
}
