//! Faults that only two rules together have.

use policy::wire::{Access, Rule};

use super::Lowered;
use crate::diagnostic::Code;
use crate::lower::sink::Sink;

pub(super) fn check(rules: &[Lowered], sink: &mut Sink) {
    for (index, rule) in rules.iter().enumerate() {
        for (earlier, other) in rules.iter().take(index).enumerate() {
            compare(rule, index, other, earlier, sink);
        }
        check_below(rule, index, rules, sink);
    }
}

fn compare(rule: &Lowered, index: usize, other: &Lowered, earlier: usize, sink: &mut Sink) {
    let (Some(ours), Some(theirs)) = (&rule.template, &other.template) else { return };
    let pointer = format!("/spec/rules/{index}");
    if ours.key(true) != theirs.key(true) {
        return;
    }
    if ours.key(false) != theirs.key(false) {
        let message = format!("the path differs from that of rule {earlier} only in upper and lower case");
        return sink.error(
            &format!("{pointer}/path"),
            Code::DiffersInCase,
            message,
            "many applications take both as one: write them alike",
        );
    }
    if same_set(&rule.rule.hosts, &other.rule.hosts) && same_set(&rule.rule.methods, &other.rule.methods) {
        if rule.rule.access == other.rule.access && rule.rule.ips == other.rule.ips {
            return sink.error(
                &pointer,
                Code::DuplicateRule,
                format!("it says what rule {earlier} says"),
                "remove one of the two",
            );
        }
        shadowed(rule, index, other, earlier, sink);
    }
}

/// Beside a rule that lets everybody pass, another one of the same template never refuses anybody.
fn shadowed(rule: &Lowered, index: usize, other: &Lowered, earlier: usize, sink: &mut Sink) {
    let open = |rule: &Rule| rule.access == Access::Anonymous && rule.ips.is_empty();
    let (closed, open) = match (open(&rule.rule), open(&other.rule)) {
        (true, false) => (earlier, index),
        (false, true) => (index, earlier),
        _ => return,
    };
    let message = format!("whoever it refuses, rule {open} lets pass: that one allows everybody for the same path");
    sink.warning(
        &format!("/spec/rules/{closed}"),
        Code::ShadowedRule,
        message,
        "of several rules for one path, one that passes suffices",
    );
}

fn same_set(one: &[String], other: &[String]) -> bool {
    one.iter().all(|text| other.contains(text)) && other.iter().all(|text| one.contains(text))
}

/// An open path below a protected one is often a slip of the hand.
fn check_below(rule: &Lowered, index: usize, rules: &[Lowered], sink: &mut Sink) {
    let Some(template) = rule.template.as_ref().filter(|_| rule.rule.access == Access::Anonymous) else { return };
    let ours = template.key(true);
    let protects = |other: &&Lowered| {
        let above = other.template.as_ref().filter(|theirs| theirs.has_rest()).map(|theirs| theirs.key(true));
        let prefix = above.as_deref().and_then(|key| key.strip_suffix("/**")).filter(|prefix| !prefix.is_empty());
        other.rule.access != Access::Anonymous
            && prefix.is_some_and(|prefix| {
                ours.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    };
    if let Some(above) = rules.iter().find(protects) {
        let message = format!("everybody is let pass below `{}`, which is protected", above.rule.path);
        sink.warning(
            &format!("/spec/rules/{index}"),
            Code::AnonymousBelowProtected,
            message,
            "make sure that this is meant",
        );
    }
}
