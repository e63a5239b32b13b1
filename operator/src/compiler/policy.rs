//! One policy: compiled when it or what it names changed, with its last good rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use compile::diagnostic::{Code, Diagnostic};
use compile::source::{Document, Places};
use compile::{Compiled, ConfigMaps, Settings};
use crds::{IntOrString, LabelSelector, Mode};
use policy::keys::KeySource;
use policy::wire::{Body, KeysMessage, RulesetMessage};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::hub::Encoded;
use crate::limits::{KEYS_FIRST, RECHECK};
use crate::objects::{Key, Policy};
use crate::world::{ConfigMapData, World};

/// The rules of a policy that can be used.
#[derive(Debug)]
pub struct Rules {
    /// The generation that they are of.
    pub generation: i64,
    /// SHA-256 of their wire form.
    pub revision: String,
    /// The pods that they are for.
    pub selector: LabelSelector,
    /// The protected port, where the policy names one.
    pub port: Option<IntOrString>,
    /// Whether denials take effect.
    pub audit: bool,
    /// The issuers: the name of each in the policy and the id of its set of keys.
    pub issuers: Vec<(String, String)>,
    /// The keys that are part of the policy or of ConfigMaps.
    pub keys: Vec<Arc<KeysMessage>>,
    /// Where the others are fetched from.
    pub sources: Vec<KeySource>,
    body: Body,
    /// The message for each port, encoded once for all pods.
    encoded: Mutex<BTreeMap<u16, Arc<Encoded>>>,
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.generation == other.generation && self.revision == other.revision && self.port == other.port
    }
}

impl Rules {
    fn new(compiled: Compiled) -> Option<Self> {
        let Compiled { policy, body, keys, sources, port, generation, .. } = compiled;
        let revision = RulesetMessage::new(0, generation, &body).ok()?.revision;
        let audit = policy.spec.mode == Some(Mode::Audit);
        Some(Self {
            generation,
            revision,
            selector: policy.spec.selector,
            port,
            audit,
            issuers: body.issuers.iter().map(|issuer| (issuer.name.clone(), issuer.keys.clone())).collect(),
            keys: keys.into_iter().map(Arc::new).collect(),
            sources,
            body,
            encoded: Mutex::default(),
        })
    }

    /// Rules that allow nothing, for tests of what is said about rules.
    #[cfg(test)]
    pub(crate) fn for_test(generation: i64, revision: &str) -> Self {
        use compile::source::read;
        let text = "{apiVersion: doorward.dev/v1alpha1, kind: ApiAuthPolicy, metadata: {name: a, namespace: shop}, \
            spec: {selector: {matchLabels: {app: a}}, tls: {mode: Optional}}}";
        let document = read("test", text).unwrap().remove(0);
        let (compiled, found) = compile::compile(&document, &ConfigMaps::default(), &Settings::default());
        let rules = Self::new(compiled.unwrap_or_else(|| panic!("{found:?}"))).unwrap();
        Self { generation, revision: revision.to_owned(), ..rules }
    }

    /// The message for a port.
    pub(super) fn message(&self, port: u16) -> Option<Arc<Encoded>> {
        let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = encoded.get(&port) {
            return Some(Arc::clone(known));
        }
        let message = RulesetMessage::new(port, self.generation, &self.body).ok()?;
        let made = encode(&message, &format!("{}/{}", self.generation, self.revision))?;
        encoded.insert(port, Arc::clone(&made));
        Some(made)
    }
}

/// A message as one line. There is none only where plain data cannot be written as JSON.
pub(super) fn encode(message: &impl Serialize, revision: &str) -> Option<Arc<Encoded>> {
    let mut line = serde_json::to_vec(message).ok()?;
    line.push(b'\n');
    Some(Arc::new(Encoded { revision: revision.to_owned(), line: Bytes::from(line) }))
}

/// What is remembered of a policy.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// What the rules below were made of.
    source: Option<Source>,
    uid: String,
    generation: i64,
    /// The selector as it is written now; none where it cannot be read.
    written_selector: Option<LabelSelector>,
    /// The port as it is written now, where it can be read.
    written_port: Option<IntOrString>,
    diagnostics: Arc<[Diagnostic]>,
    accepted: bool,
    /// Whether it was compiled at all: what it names may not have been looked at yet.
    pending: bool,
    /// Whether there is something to be said of it.
    told: bool,
    /// When it was compiled last.
    compiled: Option<Instant>,
    rules: Option<Arc<Rules>>,
    /// Rules that take the place of those above once their keys can be there.
    next: Option<Next>,
}

/// Rules that name a source of keys from which nothing was tried yet. In force at once they would refuse everybody who shows a
/// token, until the keys come.
#[derive(Debug)]
struct Next {
    rules: Arc<Rules>,
    /// Until when they wait at most: a change that takes something away must not wait for a provider that is not there.
    until: Instant,
}

#[derive(Debug, PartialEq)]
struct Source {
    uid: String,
    generation: i64,
    config_maps: BTreeMap<Key, ConfigMapData>,
}

impl Entry {
    /// Compiles the policy where it or what it names changed; where it is to be checked again, says what is true now.
    pub(super) fn update(
        &mut self,
        object: &Policy,
        namespace: &str,
        world: &World,
        settings: &Settings,
        (now, recheck): (Instant, bool),
    ) {
        let names = compile::config_maps_of(&object.object);
        let keys: Vec<Key> = names.into_iter().map(|name| Key { namespace: namespace.to_owned(), name }).collect();
        let looked_at: Option<BTreeMap<Key, ConfigMapData>> =
            keys.iter().map(|key| world.config_maps.get(key).map(|data| (key.clone(), data.clone()))).collect();
        if self.uid != object.uid {
            // Another object under the same name: what the first one allowed is gone with it.
            *self = Self { uid: object.uid.clone(), ..Self::default() };
        }
        self.generation = object.generation;
        self.written_selector = selector(&object.object);
        let port = object.object.pointer("/spec/port");
        self.written_port = port.and_then(|port| serde_json::from_value(port.clone()).ok());
        let Some(config_maps) = looked_at else {
            self.pending = true;
            self.unreadable(&keys, world);
            return;
        };
        let source = Source { uid: object.uid.clone(), generation: object.generation, config_maps };
        (self.pending, self.told) = (false, true);
        let is_same = self.source.as_ref() == Some(&source);
        if is_same && !recheck {
            return;
        }
        self.compiled = Some(now);
        let document = Document { file: Arc::from(""), value: object.object.clone(), places: Places::default() };
        let (compiled, diagnostics) = compile::compile(&document, &config_maps_in(&source.config_maps), settings);
        self.diagnostics = diagnostics.into();
        if is_same {
            return;
        }
        let rules = compiled.and_then(Rules::new);
        self.accepted = rules.is_some();
        if let Some(rules) = rules.map(Arc::new) {
            // Applied again and again, it does not wait longer.
            let until = self.next.as_ref().map_or(now + KEYS_FIRST, |next| next.until);
            self.next = Some(Next { rules, until });
        }
        self.source = Some(source);
    }

    /// Says what cannot be looked at; where that is only not known yet, says nothing.
    fn unreadable(&mut self, keys: &[Key], world: &World) {
        let of = |key: &Key| {
            let message = format!("ConfigMap `{}` cannot be read: {}", key.name, world.unreadable.get(key)?);
            Some(Diagnostic::error(Code::MissingReference, "", message))
        };
        let found: Vec<Diagnostic> = keys.iter().filter_map(of).collect();
        self.told = !found.is_empty();
        if self.told {
            (self.source, self.accepted, self.diagnostics) = (None, false, found.into());
        }
    }

    /// When it is to be checked again: what it says of times may not be true any more. One that waits for what it names is
    /// looked at when that comes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.compiled.filter(|_| !self.pending).map(|at| at + RECHECK)
    }

    /// Puts the next rules in force where nothing was before, where each of their sources of keys was tried, or where they have
    /// waited long enough. Tells until when they wait.
    pub(super) fn settle(&mut self, tried: &BTreeSet<String>, now: Instant) -> Option<Instant> {
        let next = self.next.take()?;
        let is_known = |source: &KeySource| tried.contains(source.id());
        if self.rules.is_none() || now >= next.until || next.rules.sources.iter().all(is_known) {
            self.rules = Some(next.rules);
            return None;
        }
        let until = next.until;
        self.next = Some(next);
        Some(until)
    }

    /// Where the keys of the rules in force, and of the next ones, are fetched from.
    pub(super) fn sources(&self) -> impl Iterator<Item = &KeySource> {
        let next = self.next.as_ref().map(|next| &next.rules);
        self.rules.iter().chain(next).flat_map(|rules| &rules.sources)
    }

    pub(super) fn rules(&self) -> Option<&Arc<Rules>> {
        self.rules.as_ref()
    }

    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    /// Whether it rules a pod with these labels: by the rules in force, which a refused update does not move to other pods; a
    /// policy that never had any rules, and refuses, where it says that it wants to.
    pub(super) fn rules_over(&self, labels: &BTreeMap<String, String>) -> bool {
        let selector = self.rules.as_ref().map_or(self.written_selector.as_ref(), |rules| Some(&rules.selector));
        selector.is_some_and(|selector| compile::selects(selector, labels))
    }

    /// Whether it had rules, perhaps for other pods, before anything here can remember: pods may still hold them.
    pub(super) fn may_have_had_rules(&self) -> bool {
        self.rules.is_none() && (self.generation > 1 || self.pending)
    }

    pub(super) fn diagnostics(&self) -> &Arc<[Diagnostic]> {
        &self.diagnostics
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.accepted
    }

    pub(super) fn is_told(&self) -> bool {
        self.told
    }

    /// The port of the rules in force; of a policy that has none, the one that it writes: that port is not free.
    pub(super) fn port(&self) -> Option<&IntOrString> {
        self.rules.as_ref().map_or(self.written_port.as_ref(), |rules| rules.port.as_ref())
    }
}

/// Read apart from the rest: a policy that cannot be used still says which pods it is for, and so that they are not free.
fn selector(object: &Value) -> Option<LabelSelector> {
    let selector = object.pointer("/spec/selector")?;
    let selector: LabelSelector = serde_json::from_value(selector.clone()).ok()?;
    let empty = selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
    (!empty).then_some(selector)
}

fn config_maps_in(found: &BTreeMap<Key, ConfigMapData>) -> ConfigMaps {
    let mut all = ConfigMaps::default();
    for (key, data) in found {
        if let Some(data) = data {
            let metadata = json!({"namespace": key.namespace, "name": key.name});
            all.add(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}));
        }
    }
    all
}
