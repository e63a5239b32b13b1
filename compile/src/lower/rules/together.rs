//! Faults that only two rules together have.

use std::collections::{BTreeSet, HashMap};

use policy::wire::{Access, Rule};

use super::{Lowered, weaker};
use crate::diagnostic::Code;
use crate::lower::sink::Sink;

/// A rule as it is compared with others. All of it is worked out once: with 500 rules there are 125,000 pairs.
struct Compared<'a> {
    index: usize,
    rule: &'a Rule,
    key: String,
    folded: String,
    hosts: BTreeSet<&'a str>,
    methods: BTreeSet<&'a str>,
    access: Access,
}

/// Each rule is told of one other at most for each kind of fault, so that what is found grows with the policy.
pub(super) fn check(rules: &[Lowered], sink: &mut Sink) {
    let rules: Vec<_> = rules.iter().enumerate().filter_map(|(index, rule)| Compared::new(index, rule)).collect();
    let mut alike: HashMap<&str, Vec<&Compared>> = HashMap::new();
    for rule in &rules {
        alike.entry(&rule.folded).or_default().push(rule);
    }
    for rule in &rules {
        check_alike(rule, alike.get(&*rule.folded).map_or(&[], Vec::as_slice), sink);
        check_below(rule, &rules, sink);
    }
}

impl<'a> Compared<'a> {
    fn new(index: usize, lowered: &'a Lowered) -> Option<Self> {
        let template = lowered.template.as_ref()?;
        let set = |texts: &'a [String]| texts.iter().map(String::as_str).collect();
        Some(Self {
            index,
            rule: &lowered.rule,
            key: template.key(false),
            folded: template.key(true),
            hosts: set(&lowered.rule.hosts),
            methods: set(&lowered.rule.methods),
            access: weaker::normal(&lowered.rule.access),
        })
    }

    fn says_the_same(&self, other: &Self) -> bool {
        self.hosts == other.hosts
            && self.methods == other.methods
            && self.access == other.access
            && self.rule.ips == other.rule.ips
    }

    /// Whether this rule lets pass everybody that the other one lets pass.
    fn asks_no_more(&self, other: &Self) -> bool {
        let anywhere = self.rule.ips.is_empty() || self.rule.ips == other.rule.ips;
        anywhere && weaker::asks_no_more(&self.access, &other.access)
    }

    /// Whether this rule is asked whenever the other one is.
    fn covers(&self, other: &Self) -> bool {
        let all_methods = self.methods.is_empty();
        self.hosts == other.hosts
            && (all_methods || (!other.methods.is_empty() && self.methods.is_superset(&other.methods)))
    }

    fn pointer(&self) -> String {
        format!("/spec/rules/{}", self.index)
    }
}

/// Compares a rule with those of the same template, upper and lower case taken as equal.
fn check_alike(rule: &Compared, alike: &[&Compared], sink: &mut Sink) {
    let mut earlier = alike.iter().take_while(|other| other.index < rule.index);
    if let Some(other) = earlier.clone().find(|other| other.key != rule.key) {
        let message = format!("the path differs from that of rule {} only in upper and lower case", other.index);
        return sink.error(
            &format!("{}/path", rule.pointer()),
            Code::DiffersInCase,
            message,
            "many applications take both as one: write them alike",
        );
    }
    if let Some(other) = earlier.find(|other| rule.says_the_same(other)) {
        let message = format!("it says what rule {} says", other.index);
        return sink.error(&rule.pointer(), Code::DuplicateRule, message, "remove one of the two");
    }
    // Of several rules one that passes suffices, so beside a weaker one the stronger never refuses anybody.
    let weaker = |other: &&&Compared| {
        other.index != rule.index && other.key == rule.key && other.covers(rule) && other.asks_no_more(rule)
    };
    let mutual = |other: &&Compared| rule.covers(other) && rule.asks_no_more(other);
    if let Some(weaker) = alike.iter().find(weaker).filter(|other| !mutual(other)) {
        let message =
            format!("it refuses nobody: whoever it lets pass, rule {} lets pass too, and others", weaker.index);
        sink.warning(
            &rule.pointer(),
            Code::ShadowedRule,
            message,
            "of several rules for one path, one that passes suffices",
        );
    }
}

/// An open path below a protected one is often a slip of the hand.
fn check_below(rule: &Compared, rules: &[Compared], sink: &mut Sink) {
    if rule.rule.access != Access::Anonymous {
        return;
    }
    let protects = |other: &&Compared| {
        let prefix = other.folded.strip_suffix("/**").filter(|prefix| !prefix.is_empty());
        let below =
            |prefix| rule.folded.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        other.rule.access != Access::Anonymous && prefix.is_some_and(below)
    };
    if let Some(above) = rules.iter().find(protects) {
        let message = format!("everybody is let pass below `{}`, which is protected", above.rule.path);
        sink.warning(&rule.pointer(), Code::AnonymousBelowProtected, message, "make sure that this is meant");
    }
}
