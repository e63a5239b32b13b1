//! Methods that a more specific path takes away from a broader one.
//!
//! Host and path alone choose the template, so `{path: /users, methods: [POST]}` beside `{path: /users/**}` refuses every
//! `GET /users`. That is safe, and hardly ever what was meant.

use std::collections::{BTreeMap, BTreeSet};

use super::Lowered;
use crate::diagnostic::Code;
use crate::lower::sink::Sink;

/// The rules of one template and one set of hosts.
struct Group<'a> {
    first: usize,
    path: &'a str,
    key: String,
    has_rest: bool,
    /// None where some rule is for all methods.
    methods: Option<BTreeSet<&'a str>>,
}

pub(super) fn check(rules: &[Lowered], sink: &mut Sink) {
    let groups = groups(rules);
    for (hosts, group) in &groups {
        let above = groups.iter().filter(|(others, other)| others == hosts && covers(other, group));
        let Some((_, above)) = above.max_by_key(|(_, other)| other.key.len()) else { continue };
        let Some(ours) = &group.methods else { continue };
        let lost = match &above.methods {
            None => "every other method".to_owned(),
            Some(theirs) => theirs.difference(ours).copied().collect::<Vec<_>>().join(", "),
        };
        if lost.is_empty() {
            continue;
        }
        let message = format!(
            "`{}` hides `{}` (rule {}) for this path: {lost} will be refused here",
            group.path, above.path, above.first
        );
        let hint = format!("add a rule with `path: {}` for those methods, or widen this one", group.path);
        sink.warning(&format!("/spec/rules/{}", group.first), Code::HiddenRule, message, &hint);
    }
}

fn groups(rules: &[Lowered]) -> Vec<(BTreeSet<&str>, Group<'_>)> {
    let mut groups: BTreeMap<(BTreeSet<&str>, String), Group> = BTreeMap::new();
    for (index, lowered) in rules.iter().enumerate() {
        let Some(template) = &lowered.template else { continue };
        let (rule, key) = (&lowered.rule, template.key(true));
        let hosts: BTreeSet<&str> = rule.hosts.iter().map(String::as_str).collect();
        let group = groups.entry((hosts, key.clone())).or_insert_with(|| Group {
            first: index,
            path: &rule.path,
            key,
            has_rest: template.has_rest(),
            methods: Some(BTreeSet::new()),
        });
        match &mut group.methods {
            Some(methods) if !rule.methods.is_empty() => {
                methods.extend(rule.methods.iter().map(String::as_str));
                // GET implies HEAD.
                methods.extend(rule.methods.iter().filter(|method| *method == "GET").map(|_| "HEAD"));
            }
            methods => *methods = None,
        }
    }
    groups.into_iter().map(|((hosts, _), group)| (hosts, group)).collect()
}

/// Whether every path of `group` would be `above`'s, were `group` not there.
fn covers(above: &Group, group: &Group) -> bool {
    let Some(prefix) = above.key.strip_suffix("/**").filter(|_| above.has_rest) else { return false };
    let rest = group.key.strip_prefix(prefix);
    above.key != group.key && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
