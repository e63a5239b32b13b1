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
pub(super) struct Assigned<'a> {
    /// For each pod and port the policies that select it, the ruling one first.
    ports: BTreeMap<(&'a PodId, u16), Vec<&'a Key>>,
    /// For each policy the pods that it selects, with the port on each.
    selected: BTreeMap<&'a Key, Vec<(&'a Pod, Option<u16>)>>,
    policies: &'a BTreeMap<Key, Entry>,
}

/// Finds out who is selected by whom.
pub(super) fn assign<'a>(world: &'a World, policies: &'a BTreeMap<Key, Entry>) -> Assigned<'a> {
    let mut by_age: Vec<(&Option<Time>, &Key)> =
        world.policies.objects().iter().map(|(key, policy)| (&policy.created, key)).collect();
    by_age.sort();
    let mut assigned = Assigned { ports: BTreeMap::new(), selected: BTreeMap::new(), policies };
    for (_, key) in by_age {
        let Some(entry) = policies.get(key) else { continue };
        // A pod that is ending serves on until it has ended.
        let pods = of_namespace(world.pods.objects(), &key.namespace).map(|(_, pod)| pod);
        let mine = pods.filter(|pod| entry.rules_over(&pod.labels));
        let selected: Vec<_> = mine.map(|pod| (pod, port_on(pod, entry))).collect();
        for (pod, port) in &selected {
            if let Some(port) = port {
                assigned.ports.entry((&pod.id, *port)).or_default().push(key);
            }
        }
        assigned.selected.insert(key, selected);
    }
    assigned
}

/// The objects of one namespace: keys are ordered by namespace first.
fn of_namespace<'a, T>(objects: &'a BTreeMap<Key, T>, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a T)> {
    let first = Key { namespace: namespace.to_owned(), name: String::new() };
    objects.range(first..).take_while(move |(key, _)| key.namespace == namespace)
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
        let mut all = BTreeMap::new();
        for pod in world.pods.objects().values().filter(|pod| !pod.ended || pod.injected) {
            let services = services.get(pod.id.namespace.as_str()).map_or(&[][..], Vec::as_slice);
            let names = Some(Arc::new(names(pod, services, options)));
            let retained_elsewhere = holders.get(pod.id.namespace.as_str()).cloned().unwrap_or_default();
            all.insert(pod.id.clone(), Desired { complete, names, retained_elsewhere, ..Desired::default() });
        }
        for ((pod, port), policies) in &self.ports {
            let Some(desired) = all.get_mut(*pod) else { continue };
            let Some(entry) = policies.first().and_then(|key| self.policies.get(*key)) else { continue };
            let Some(rules) = entry.rules() else {
                desired.retained.insert(*port, self.retained_on(policies, holders.get(pod.namespace.as_str())));
                continue;
            };
            desired.rulesets.extend(rules.message(*port).map(|message| (*port, message)));
            let known = rules.issuers.iter().filter_map(|(_, id)| Some((id.clone(), Arc::clone(keys.get(id)?))));
            desired.keys.extend(known);
        }
        // A policy with rules whose port cannot be told on a pod.
        for (key, selected) in &self.selected {
            let Some(uid) = self.policies.get(*key).map(Entry::uid) else { continue };
            for (pod, _) in selected.iter().filter(|(_, port)| port.is_none()) {
                if let Some(desired) = all.get_mut(&pod.id) {
                    desired.retained_elsewhere.insert(uid.to_owned());
                }
            }
        }
        all.into_iter().map(|(pod, desired)| (pod, Arc::new(desired))).collect()
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
            let Some(entry) = policies.get(key).filter(|entry| !entry.is_pending()) else { continue };
            let selected = self.selected.get(key).map_or(&[][..], Vec::as_slice);
            let pods = selected.iter().filter(|(pod, _)| !pod.ended).map(|(pod, port)| SelectedPod {
                id: pod.id.clone(),
                port: *port,
                injected: pod.injected,
                conflict: port.and_then(|port| self.conflict(key, &pod.id, port)),
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

    fn conflict(&self, key: &Key, pod: &PodId, port: u16) -> Option<Conflict> {
        let policies = self.ports.get(&(pod, port))?;
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
