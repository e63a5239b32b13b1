//! From the world to what every pod should run: deterministic, and remembering what it compiled before.
//!
//! A policy is compiled again when its generation or a ConfigMap that it names changed. One that cannot be used leaves its
//! last good rules where they are.

mod assign;
mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::policy::wire::KeysMessage;
use compile::Settings;
use compile::diagnostic::Diagnostic;
use tokio::time::Instant;

use crate::args::Args;
use crate::hub::{Desired, Encoded, PodId};
use crate::limits::RECHECKS;
use crate::objects::Key;
use crate::world::World;

pub use policy::Rules;

/// The keys that were fetched, by the id of their set.
pub type FetchedKeys = BTreeMap<String, Arc<KeysMessage>>;

/// What came of the world.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What every pod should run.
    pub desired: BTreeMap<PodId, Arc<Desired>>,
    /// What is to be said of every policy.
    pub policies: BTreeMap<Key, Arc<PolicyOutcome>>,
    /// When the world is to be compiled again though nothing changed in it: rules wait for their keys at most until then, or
    /// a policy is to be checked again.
    pub again: Option<Instant>,
}

/// What is to be said of one policy.
#[derive(Debug, PartialEq)]
pub struct PolicyOutcome {
    /// The object's UID.
    pub uid: String,
    /// The generation that this is about.
    pub generation: i64,
    /// What was found in it.
    pub diagnostics: Arc<[Diagnostic]>,
    /// Whether this generation can be used.
    pub accepted: bool,
    /// The rules in force: this generation's, or the last good ones.
    pub rules: Option<Arc<Rules>>,
    /// The pods that it selects, by name.
    pub pods: Vec<SelectedPod>,
}

/// A pod that a policy selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedPod {
    /// Which.
    pub id: PodId,
    /// The port that the policy protects on it; none where it cannot be told.
    pub port: Option<u16>,
    /// Whether the sidecar is part of it, and stands before that port.
    pub injected: bool,
    /// The other policy that selects it on that port, and whether that one rules.
    pub conflict: Option<Conflict>,
}

/// Another policy on the same pod and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Which.
    pub other: Key,
    /// Whether the other one is the older, whose rules hold there.
    pub other_rules: bool,
}

/// What the operator's settings decide for every policy and pod.
#[derive(Clone, Debug)]
pub struct Options {
    /// What policies are compiled with.
    pub compile: Settings,
    /// The DNS domain of the cluster.
    pub cluster_domain: String,
}

impl Options {
    /// Of the command line.
    #[must_use]
    pub fn of(args: &Args) -> Self {
        let compile = Settings {
            trust_domain: args.trust_domain.clone(),
            allowed_networks: args.issuer_networks.clone(),
            now: Some(compile::machine_time),
            ..Settings::default()
        };
        Self { compile, cluster_domain: args.cluster_domain.clone() }
    }
}

/// Compiles worlds.
#[derive(Debug)]
pub struct Compiler {
    options: Options,
    policies: BTreeMap<Key, policy::Entry>,
    encoded_keys: BTreeMap<String, Arc<Encoded>>,
}

impl Compiler {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, policies: BTreeMap::new(), encoded_keys: BTreeMap::new() }
    }

    /// The ConfigMaps that the policies of a world refer to.
    #[must_use]
    pub fn references(world: &World) -> BTreeSet<Key> {
        let of_policy = |(key, policy): (&Key, &crate::objects::Policy)| {
            let namespace = key.namespace.clone();
            compile::config_maps_of(&policy.object)
                .into_iter()
                .map(move |name| Key { namespace: namespace.clone(), name })
                .collect::<Vec<_>>()
        };
        world.policies.objects().iter().flat_map(of_policy).collect()
    }

    /// The sources of keys that the rules in force name, and those that are to be.
    #[must_use]
    pub fn sources(&self) -> BTreeSet<::policy::keys::KeySource> {
        self.policies.values().flat_map(policy::Entry::sources).cloned().collect()
    }

    /// Compiles a world with the keys that were fetched; `tried` are the sources from which they were asked for at least once.
    pub fn run(&mut self, world: &World, fetched: &FetchedKeys, tried: &BTreeSet<String>, now: Instant) -> Outcome {
        self.policies.retain(|key, _| world.policies.objects().contains_key(key));
        let mut again = None;
        let mut rechecks = 0;
        for (key, object) in world.policies.objects() {
            let entry = self.policies.entry(key.clone()).or_default();
            let recheck = rechecks < RECHECKS && entry.due().is_some_and(|due| due <= now);
            rechecks += usize::from(recheck);
            entry.update(object, &key.namespace, world, &self.options.compile, (now, recheck));
            again = again.into_iter().chain(entry.settle(tried, now)).chain(entry.due()).min();
        }
        let keys = self.keys(fetched);
        let assigned = assign::assign(world, &self.policies);
        let desired = assigned.desired(world, &self.options, &keys);
        Outcome { desired, policies: assigned.into_outcomes(world, &self.policies), again }
    }

    /// Every set of keys that the rules in force name, encoded once.
    fn keys(&mut self, fetched: &FetchedKeys) -> BTreeMap<String, Arc<Encoded>> {
        let rules = self.policies.values().filter_map(policy::Entry::rules);
        let own = rules.flat_map(|rules| rules.keys.iter());
        let messages: BTreeMap<&str, &Arc<KeysMessage>> =
            own.chain(fetched.values()).map(|message| (message.id.as_str(), message)).collect();
        let mut encoded = BTreeMap::new();
        for (id, message) in messages {
            let known = self.encoded_keys.get(id).filter(|known| known.revision == message.revision);
            let one = known.cloned().or_else(|| policy::encode(message, &message.revision));
            encoded.extend(one.map(|one| (id.to_owned(), one)));
        }
        self.encoded_keys.clone_from(&encoded);
        encoded
    }
}

#[cfg(test)]
mod tests;
