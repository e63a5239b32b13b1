//! From a policy as users write it to what decides: references resolved, defaults filled in, every fault found in one run.

mod access;
mod addresses;
mod certificates;
mod cors;
mod forward;
mod issuers;
mod limits;
mod rules;
mod sink;
mod tls;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crds::{ApiAuthPolicy, IntOrString};
use ipnet::IpNet;
use policy::keys::KeySource;
use policy::ruleset::Ruleset;
use policy::wire::{Body, KeysMessage, Mode, PathOptions, PolicyName};
use serde_json::Value;

use crate::diagnostic::{Code, Diagnostic, Severity, quoted};
use crate::shape::{self, is_object_name};
use crate::source::Document;
use sink::Sink;

pub use units::{duration, network};

/// What the operator's settings decide for every policy.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SPIFFE trust domain of the built-in CA.
    pub trust_domain: String,
    /// Whether issuers may be on this machine, and `http:` there, as only `doorward run` lets them.
    pub loopback_issuers: bool,
    /// Networks beside the public internet in which keys may be fetched.
    pub allowed_networks: Vec<IpNet>,
    /// The present moment, counted from 1970: what has expired is told. Without it nothing depends on when this is.
    pub now: Option<fn() -> Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".to_owned(),
            loopback_issuers: false,
            allowed_networks: Vec::new(),
            now: None,
        }
    }
}

/// The machine's clock, for [`Settings::now`].
#[must_use]
pub fn machine_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The ConfigMaps that policies may refer to.
#[derive(Clone, Debug, Default)]
pub struct ConfigMaps(BTreeMap<(String, String), BTreeMap<String, String>>);

impl ConfigMaps {
    /// Takes a ConfigMap from its JSON; false where it is another kind.
    pub fn add(&mut self, object: &Value) -> bool {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let (Some("v1"), Some("ConfigMap"), Some(name)) = (text("/apiVersion"), text("/kind"), text("/metadata/name"))
        else {
            return false;
        };
        let namespace = text("/metadata/namespace").unwrap_or(DEFAULT_NAMESPACE);
        let data = object.get("data").and_then(Value::as_object).into_iter().flatten();
        let data = data.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
        self.0.insert((namespace.to_owned(), name.to_owned()), data);
        true
    }

    fn get(&self, namespace: &str, name: &str) -> Option<&BTreeMap<String, String>> {
        self.0.get(&(namespace.to_owned(), name.to_owned()))
    }
}

/// The names of the ConfigMaps that a policy refers to, in its own namespace, whether or not it can be used otherwise.
#[must_use]
pub fn config_maps_of(object: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open: Vec<&Value> = object.get("spec").into_iter().collect();
    while let Some(node) = open.pop() {
        match node {
            Value::Object(fields) => {
                let name = fields.get("configMapName").and_then(Value::as_str);
                // What is no name is in no cluster; it would stand in URLs and selectors.
                names.extend(name.filter(|name| is_object_name(name)).map(str::to_owned));
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    names
}

/// The namespace of an object that names none, as `kubectl` takes it without a context.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A policy that can decide.
#[derive(Debug)]
pub struct Compiled {
    /// The policy as written.
    pub policy: ApiAuthPolicy,
    /// What travels.
    pub body: Body,
    /// What decides.
    pub ruleset: Ruleset,
    /// The keys that are part of the policy or of ConfigMaps.
    pub keys: Vec<KeysMessage>,
    /// Where the other keys are fetched from; each is named by its id in `body.issuers[].keys`.
    pub sources: Vec<KeySource>,
    /// The protected port, where the policy names one.
    pub port: Option<IntOrString>,
    /// The generation of the object; 0 where it has none.
    pub generation: i64,
}

/// Compiles a policy. There is none where one of the diagnostics is an error.
pub fn compile(
    document: &Document,
    config_maps: &ConfigMaps,
    settings: &Settings,
) -> (Option<Compiled>, Vec<Diagnostic>) {
    let (policy, mut found) = shape::parse(document);
    let Some(policy) = policy else { return (None, found) };
    let mut sink = Sink::new(document);
    let compiled = lower(policy, config_maps, settings, &mut sink);
    found.extend(sink.into_found());
    let refused = found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    (compiled.filter(|_| !refused), found)
}

/// What the parts of a policy are lowered with.
struct Context<'a> {
    policy: &'a ApiAuthPolicy,
    namespace: &'a str,
    config_maps: &'a ConfigMaps,
    settings: &'a Settings,
}

impl Context<'_> {
    fn now(&self) -> Option<Duration> {
        self.settings.now.map(|now| now())
    }

    /// The text under a key of a ConfigMap; a fault where it is not there.
    fn text(&self, name: &str, key: &str, pointer: &str, sink: &mut Sink) -> Option<&str> {
        let Some(data) = self.config_maps.get(self.namespace, name) else {
            let hint = "create it, or give the file that holds it with -f";
            sink.error(
                &format!("{pointer}/configMapName"),
                Code::MissingReference,
                format!("there is no ConfigMap {} in namespace {}", quoted(name), quoted(self.namespace)),
                hint,
            );
            return None;
        };
        let text = data.get(key).map(String::as_str);
        if text.is_none() {
            let known = data.keys().map(|key| quoted(key)).collect::<Vec<_>>().join(", ");
            sink.error(
                &format!("{pointer}/key"),
                Code::MissingReference,
                format!("ConfigMap {} has no key {}", quoted(name), quoted(key)),
                &format!("it has {known}"),
            );
        }
        text
    }
}

fn lower(policy: ApiAuthPolicy, config_maps: &ConfigMaps, settings: &Settings, sink: &mut Sink) -> Option<Compiled> {
    let namespace = policy.metadata.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let context = Context { policy: &policy, namespace: &namespace, config_maps, settings };
    let spec = &policy.spec;
    check_name(&policy, sink);
    check_selector(&policy, sink);
    check_port(&policy, sink);
    check_expressions(&policy, sink);
    warn_of_migration(&policy, sink);
    let tls = tls::lower(&context, sink);
    let (issuers, keys, sources) = issuers::lower(&context, sink);
    let rules = rules::lower(&context, &tls, sink);
    check_resource(&policy, sink);
    let body = Body {
        mode: match spec.mode {
            None | Some(crds::Mode::Enforce) => Mode::Enforce,
            Some(crds::Mode::Audit) => Mode::Audit,
        },
        resource: spec.resource.clone(),
        cors: cors::lower(&context, sink),
        addresses: addresses::lower(&context, &tls, sink),
        limits: limits::lower(&context, sink),
        policy: PolicyName {
            namespace: namespace.clone(),
            name: policy.metadata.name.clone().unwrap_or_default(),
            uid: policy.metadata.uid.clone().unwrap_or_default(),
        },
        tls,
        issuers,
        rules,
        forward: forward::lower(&context, sink),
        paths: paths(spec.paths.as_ref()),
    };
    if sink.has_errors() {
        return None;
    }
    let ruleset = match Ruleset::new(&body) {
        Ok(ruleset) => ruleset,
        Err(fault) => {
            // Everything that it looks for was looked for above, with places; what slips through is still refused.
            sink.error("/spec", Code::Unusable, fault.to_string(), "");
            return None;
        }
    };
    let (port, generation) = (spec.port.clone(), policy.metadata.generation.unwrap_or(0));
    Some(Compiled { body, ruleset, keys, sources, port, generation, policy })
}

/// The API server takes no other names; the policy's name also stands in challenges, between quotes.
fn check_name(policy: &ApiAuthPolicy, sink: &mut Sink) {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let edges = [label.bytes().next(), label.bytes().last()];
        edges.into_iter().all(|edge| edge.is_some_and(plain)) && label.bytes().all(|byte| plain(byte) || byte == b'-')
    };
    for (field, name) in [("name", &policy.metadata.name), ("namespace", &policy.metadata.namespace)] {
        if let Some(name) = name.as_ref().filter(|name| name.len() > 253 || !name.split('.').all(is_label)) {
            sink.error(
                &format!("/metadata/{field}"),
                Code::BadFormat,
                format!("{} is no name", quoted(name)),
                "write lower-case letters, digits, `-` and `.`, a letter or digit at either end",
            );
        }
    }
}

/// The form of the ports' names of containers (RFC 6335, section 5.1): another one would select no port of any pod.
fn check_port(policy: &ApiAuthPolicy, sink: &mut Sink) {
    let Some(IntOrString::String(name)) = &policy.spec.port else { return };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let has_form = name.bytes().all(plain)
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if !has_form {
        let hint = if name.bytes().all(|byte| byte.is_ascii_digit()) {
            "write a number without quotes"
        } else {
            "write the container port's number, or its name: lower-case letters, digits and `-`"
        };
        sink.error("/spec/port", Code::BadFormat, format!("{} is no name of a port", quoted(name)), hint);
    }
}

fn check_selector(policy: &ApiAuthPolicy, sink: &mut Sink) {
    let selector = &policy.spec.selector;
    let labels = selector.match_labels.as_ref().is_some_and(|labels| !labels.is_empty());
    let expressions = selector.match_expressions.as_ref().is_some_and(|expressions| !expressions.is_empty());
    if !labels && !expressions {
        let hint = "name the pods' labels: `selector: {matchLabels: {app: NAME}}`";
        sink.error(
            "/spec/selector",
            Code::EmptySelector,
            "an empty selector would protect every pod of the namespace by accident",
            hint,
        );
    }
}

/// As the API server checks selectors of its own objects: `NotIn` without values would select every pod.
fn check_expressions(policy: &ApiAuthPolicy, sink: &mut Sink) {
    let expressions = policy.spec.selector.match_expressions.iter().flatten();
    for (index, expression) in expressions.enumerate() {
        let has_values = expression.values.as_ref().is_some_and(|values| !values.is_empty());
        let (wants, hint) = match expression.operator.as_str() {
            "In" | "NotIn" => (true, "list the values that are meant"),
            _ => (false, "leave `values` out, or write `In`"),
        };
        if has_values != wants {
            let message =
                format!("operator {} with{} values", quoted(&expression.operator), if wants { "out" } else { "" });
            sink.error(&format!("/spec/selector/matchExpressions/{index}/values"), Code::BadFormat, message, hint);
        }
    }
}

fn check_resource(policy: &ApiAuthPolicy, sink: &mut Sink) {
    let Some(resource) = &policy.spec.resource else { return };
    if let Err(fault) = policy::check_resource(resource) {
        let hint = "write the https URL by which clients know this API: `https://orders.example.com`";
        sink.error("/spec/resource", Code::BadResource, format!("{} is no resource: {fault}", quoted(resource)), hint);
    }
}

/// What is safe only for a while.
fn warn_of_migration(policy: &ApiAuthPolicy, sink: &mut Sink) {
    if policy.spec.tls.mode == crds::TlsMode::Permissive {
        let hint = "write `Optional` or `Mutual` when the last caller uses TLS";
        sink.warning(
            "/spec/tls/mode",
            Code::Migration,
            "tokens and answers cross the network in the clear for callers without TLS",
            hint,
        );
    }
    if policy.spec.mode == Some(crds::Mode::Audit) {
        let hint = "leave `mode` out when the audited denials are those that you want";
        sink.warning("/spec/mode", Code::Migration, "nothing is refused while the policy is in Audit", hint);
    }
    for (index, _) in policy.spec.rules.iter().enumerate().filter(|(_, rule)| rule.mode.is_some()) {
        let hint = "leave `mode` out when the audited denials are those that you want";
        let pointer = format!("/spec/rules/{index}/mode");
        sink.warning(&pointer, Code::Migration, "what this rule would refuse is let pass while it is in Audit", hint);
    }
}

fn paths(paths: Option<&crds::Paths>) -> PathOptions {
    PathOptions {
        case_insensitive: paths.and_then(|paths| paths.case) == Some(crds::PathCase::Insensitive),
        encoded_slash: paths.and_then(|paths| paths.encoded_slash) == Some(crds::EncodedSlash::Verbatim),
    }
}

#[cfg(test)]
mod tests;
