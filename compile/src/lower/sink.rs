//! Where faults are collected: each at the JSON Pointer of its field.

use crate::diagnostic::{Code, Diagnostic, Severity, field_path};
use crate::source::Document;

/// Collects what is found in one document.
pub(super) struct Sink<'a> {
    document: &'a Document,
    found: Vec<Diagnostic>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        Self { document, found: Vec::new() }
    }

    /// A fault for which the policy is refused; an empty hint is none.
    pub(super) fn error(&mut self, pointer: &str, code: Code, message: impl Into<String>, hint: &str) {
        self.add(pointer, Diagnostic::error(code, field_path(pointer), message), hint);
    }

    /// Something that is probably not meant.
    pub(super) fn warning(&mut self, pointer: &str, code: Code, message: impl Into<String>, hint: &str) {
        self.add(pointer, Diagnostic::warning(code, field_path(pointer), message), hint);
    }

    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    pub(super) fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }

    fn add(&mut self, pointer: &str, diagnostic: Diagnostic, hint: &str) {
        let diagnostic = if hint.is_empty() { diagnostic } else { diagnostic.with_hint(hint) };
        self.found.push(self.document.locate(diagnostic, pointer));
    }
}
