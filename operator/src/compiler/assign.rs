//! Which policy rules on which port of which pod: of several the oldest, by creation and then by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::IntOrString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::policy::Entry;
use super::{Conflict, Options, PolicyOutcome, SelectedPod};
use crate::hub::{Desired, Encoded, Names, PodId};
use crate::limits::DNS_NAMES;
use crate::objects::{Key, Pod, Service};
use crate::world::World;

/// Who is selected by whom.
///
/// Pods are called by their place: comparing their names again and again would take most of the time.
pub(super) struct Assigned<'a> {
    /// All pods, in order.
    pods: Vec<&'a Pod>,
    /// For each pod and port the policies that select it, the ruling one first.
    ports: BTreeMap<(usize, u16), Vec<&'a Key>>,
    /// For each policy the pods that it selects, with the port on each.
    selected: BTreeMap<&'a Key, Vec<(usize, Option<u16>)>>,
    policies: &'a BTreeMap<Key, Entry>,
}

/// Finds out who is selected by whom.
pub(super) fn assign<'a>(world: &'a World, policies: &'a BTreeMap<Key, Entry>) -> Assigned<'a> {
    let mut by_age: Vec<(&Option<Time>, &Key)> =
        world.policies.objects().iter().map(|(key, policy)| (&policy.created, key)).collect();
    by_age.sort();
    let pods = world.pods.objects().values().collect();
    let mut assigned = Assigned { pods, ports: BTreeMap::new(), selected: BTreeMap::new(), policies };
    for (_, key) in by_age {
        let Some(entry) = policies.get(key) else { continue };
        // A pod that is ending serves on until it has ended.
        let pods = of_namespace(&assigned.pods, &key.namespace);
        let mine = pods.filter(|(_, pod)| entry.rules_over(&pod.labels));
        let selected: Vec<_> = mine.map(|(place, pod)| (place, port_on(pod, entry))).collect();
        for (place, port) in &selected {
            if let Some(port) = port {
                assigned.ports.entry((*place, *port)).or_default().push(key);
            }
        }
        assigned.selected.insert(key, selected);
    }
    assigned
}

/// The pods of one namespace with their places: they are ordered by namespace first.
fn of_namespace<'a>(pods: &[&'a Pod], namespace: &str) -> impl Iterator<Item = (usize, &'a Pod)> {
    let first = pods.partition_point(|pod| pod.id.namespace.as_str() < namespace);
    let from_there = pods.iter().copied().enumerate().skip(first);
    from_there.take_while(move |(_, pod)| pod.id.namespace == namespace)
}

fn port_on(pod: &Pod, entry: &Entry) -> Option<u16> {
    match entry.port() {
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => pod.port_named(name),
        None => pod.only_port(),
    }
}

impl Assigned<'_> {
    /// What every pod should run.
    pub(super) fn desired(
        &self,
        world: &World,
        options: &Options,
        keys: &BTreeMap<String, Arc<Encoded>>,
    ) -> BTreeMap<PodId, Arc<Desired>> {
        let complete = world.is_complete();
        let (services, holders) = (by_namespace(world.services.objects()), self.unknown_holders());
        let begin = |pod: &&Pod| {
            let services = services.get(pod.id.namespace.as_str()).map_or(&[][..], Vec::as_slice);
            let names = || Some(Arc::new(names(pod, services, options)));
            let elsewhere = || holders.get(pod.id.namespace.as_str()).cloned().unwrap_or_default();
            (!pod.ended || pod.injected).then(|| Desired {
                complete,
                names: names(),
                retained_elsewhere: elsewhere(),
                ..Desired::default()
            })
        };
        let mut all: Vec<Option<Desired>> = self.pods.iter().map(begin).collect();
        for ((place, port), policies) in &self.ports {
            let (Some(Some(desired)), Some(pod)) = (all.get_mut(*place), self.pods.get(*place)) else { continue };
            let Some(entry) = policies.first().and_then(|key| self.policies.get(*key)) else { continue };
            let Some(rules) = entry.rules() else {
                desired.retained.insert(*port, self.retained_on(policies, holders.get(pod.id.namespace.as_str())));
                continue;
            };
            desired.rulesets.extend(rules.message(*port).map(|message| (*port, message)));
            for (_, id) in &rules.issuers {
                match keys.get(id) {
                    Some(known) => drop(desired.keys.insert(id.clone(), Arc::clone(known))),
                    None => drop(desired.awaited.insert(id.clone())),
                }
            }
        }
        // A policy with rules whose port cannot be told on a pod.
        for (key, selected) in &self.selected {
            let Some(uid) = self.policies.get(*key).map(Entry::uid) else { continue };
            for (place, _) in selected.iter().filter(|(_, port)| port.is_none()) {
                if let Some(Some(desired)) = all.get_mut(*place) {
                    desired.retained_elsewhere.insert(uid.to_owned());
                }
            }
        }
        self.pods.iter().zip(all).filter_map(|(pod, desired)| Some((pod.id.clone(), Arc::new(desired?)))).collect()
    }

    /// The policies of each namespace of which a pod may hold rules that are not known here: after a restart the last good rules
    /// of a policy that cannot be used now, and the pods that they were for, are known to the sidecars alone.
    fn unknown_holders(&self) -> BTreeMap<&str, BTreeSet<String>> {
        let mut holders: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (key, entry) in self.policies.iter().filter(|(_, entry)| entry.may_have_had_rules()) {
            holders.entry(key.namespace.as_str()).or_default().insert(entry.uid().to_owned());
        }
        holders
    }

    /// What may stay on a port whose oldest policy has no rules: that policy's; and where it may have had others before, for
    /// other pods perhaps, what younger ones allow there.
    fn retained_on(&self, policies: &[&Key], holders: Option<&BTreeSet<String>>) -> BTreeSet<String> {
        let entries = || policies.iter().filter_map(|key| self.policies.get(*key));
        let had_rules = entries().next().is_some_and(Entry::may_have_had_rules);
        let claims = entries().take(if had_rules { policies.len() } else { 1 });
        claims.map(|entry| entry.uid().to_owned()).chain(holders.into_iter().flatten().cloned()).collect()
    }

    /// What is to be said of every policy; nothing of those that were not compiled yet.
    pub(super) fn into_outcomes(
        self,
        world: &World,
        policies: &BTreeMap<Key, Entry>,
    ) -> BTreeMap<Key, Arc<PolicyOutcome>> {
        let mut outcomes = BTreeMap::new();
        for (key, object) in world.policies.objects() {
            let Some(entry) = policies.get(key).filter(|entry| entry.is_told()) else { continue };
            let selected = self.selected.get(key).map_or(&[][..], Vec::as_slice);
            let pods = selected.iter().filter_map(|(place, port)| {
                let pod = self.pods.get(*place).filter(|pod| !pod.ended)?;
                let conflict = port.and_then(|port| self.conflict(key, *place, port));
                let injected = pod.injected && port.is_none_or(|port| pod.has_proxy_before(port));
                Some(SelectedPod { id: pod.id.clone(), port: *port, injected, conflict })
            });
            let outcome = PolicyOutcome {
                uid: object.uid.clone(),
                generation: object.generation,
                diagnostics: Arc::clone(entry.diagnostics()),
                accepted: entry.is_accepted(),
                rules: entry.rules().cloned(),
                pods: pods.collect(),
            };
            outcomes.insert(key.clone(), Arc::new(outcome));
        }
        outcomes
    }

    fn conflict(&self, key: &Key, place: usize, port: u16) -> Option<Conflict> {
        let policies = self.ports.get(&(place, port))?;
        let ruling = policies.first()?;
        let other = policies.iter().find(|other| **other != key)?;
        let other_rules = *ruling != key;
        Some(Conflict { other: if other_rules { (*ruling).clone() } else { (*other).clone() }, other_rules })
    }
}

fn by_namespace(services: &BTreeMap<Key, Service>) -> BTreeMap<&str, Vec<(&Key, &Service)>> {
    let mut sorted: BTreeMap<&str, Vec<(&Key, &Service)>> = BTreeMap::new();
    for (key, service) in services {
        sorted.entry(key.namespace.as_str()).or_default().push((key, service));
    }
    sorted
}

/// The forms in which DNS knows a Service.
const NAMES_OF_SERVICE: usize = 4;

/// What a pod may call itself: from what the API server knows, never from what it asks for.
fn names(pod: &Pod, services: &[(&Key, &Service)], options: &Options) -> Names {
    let namespace = &pod.id.namespace;
    let mut dns = BTreeSet::new();
    // A pod behind more Services than a certificate may name has the first of them.
    let selecting = services.iter().filter(|(_, service)| service.selects(&pod.labels));
    for (key, _) in selecting.take(DNS_NAMES / NAMES_OF_SERVICE) {
        let name = &key.name;
        dns.insert(name.clone());
        dns.insert(format!("{name}.{namespace}"));
        dns.insert(format!("{name}.{namespace}.svc"));
        dns.insert(format!("{name}.{namespace}.svc.{}", options.cluster_domain));
    }
    Names {
        spiffe: format!("spiffe://{}/ns/{namespace}/sa/{}", options.compile.trust_domain, pod.service_account),
        dns: dns.into_iter().collect(),
    }
}
