//! Objects that get in each other's way: each alone is right.

use std::collections::HashMap;

use compile::Compiled;
use compile::diagnostic::{Code, Diagnostic};
use compile::source::Document;

/// Policies by their namespace and name, to find one that stands twice.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<(String, String), String>);

impl Names {
    /// Takes a policy in. An error where another one has the same name: which of the two applies, its reader could not tell.
    pub(super) fn add(&mut self, document: &Document) -> Option<Diagnostic> {
        let object = document.object()?;
        let namespace = object.namespace.unwrap_or_else(|| compile::DEFAULT_NAMESPACE.to_owned());
        let line = document.places.value("/metadata/name").map(|place| format!(":{}", place.line)).unwrap_or_default();
        let place = format!("{}{line}", document.file);
        let name = format!("{namespace}/{}", object.name);
        if let Some(first) = self.0.get(&(namespace.clone(), object.name.clone())) {
            let message = format!("`{name}` stands twice, first in {first}");
            let fault = Diagnostic::error(Code::DuplicateName, "metadata.name", message)
                .with_hint("leave one of them out, or give it another name");
            return Some(document.locate(fault, "/metadata/name"));
        }
        self.0.insert((namespace, object.name), place);
        None
    }
}

/// A warning where a policy before selects the same pods by the same words, and protects the same port.
pub(super) fn same_pods(before: &[Compiled], policy: &Compiled, document: &Document) -> Option<Diagnostic> {
    let same = |other: &&Compiled| {
        other.body.policy.namespace == policy.body.policy.namespace
            && other.policy.spec.selector == policy.policy.spec.selector
            && other.port == policy.port
    };
    let other = &before.iter().find(same)?.body.policy.name;
    let message = format!(
        "`{other}` selects the same pods on the same port: there the older object rules, the other one does not"
    );
    let warning = Diagnostic::warning(Code::SamePort, "spec.selector", message)
        .with_hint("put the rules into one policy, or give each its own labels or `port`");
    Some(document.locate(warning, "/spec/selector"))
}
