//! Where the fields of a document stand.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, unescape};

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1; 0 where it is not known.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

impl Place {
    /// Writes the place, where it is known, into a diagnostic.
    pub(crate) fn mark(self, diagnostic: Diagnostic) -> Diagnostic {
        if self.line == 0 {
            return diagnostic;
        }
        Diagnostic { line: Some(self.line), column: Some(self.column), ..diagnostic }
    }
}

/// The places of a value and of all that is in it. The default knows none, for objects that come from no file.
///
/// A tree, so that it grows with the file: a table of whole pointers could be larger by the product of a long key and
/// its many children.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    pub(super) key: Option<Place>,
    pub(super) value: Place,
    pub(super) plain: Option<Box<str>>,
    pub(super) children: Children,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Children {
    #[default]
    None,
    Entries(Vec<Places>),
    Fields(BTreeMap<String, Places>),
}

impl Places {
    /// The place of the value that a JSON Pointer leads to.
    pub fn value(&self, pointer: &str) -> Option<Place> {
        self.descend(pointer).map(|node| node.value)
    }

    /// The place of the key, or of the value where that has none.
    pub fn key(&self, pointer: &str) -> Option<Place> {
        self.descend(pointer).map(|node| node.key.unwrap_or(node.value))
    }

    /// The place of the value, or of the nearest value above it that is there.
    pub fn nearest(&self, pointer: &str) -> Place {
        let mut node = self;
        for segment in pointer.split('/').skip(1) {
            let Some(child) = node.child(segment) else { break };
            node = child;
        }
        node.value
    }

    /// The text of a scalar that was written without quotes.
    pub fn unquoted(&self, pointer: &str) -> Option<&str> {
        self.descend(pointer)?.plain.as_deref()
    }

    /// The places of a list's entries, taken out of here.
    pub(super) fn take_entries(&mut self, field: &str) -> Vec<Self> {
        let Children::Fields(fields) = &mut self.children else { return Vec::new() };
        match fields.get_mut(field).map(|list| std::mem::take(&mut list.children)) {
            Some(Children::Entries(entries)) => entries,
            _ => Vec::new(),
        }
    }

    fn descend(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |node, segment| node.child(segment))
    }

    fn child(&self, segment: &str) -> Option<&Self> {
        match &self.children {
            Children::None => None,
            Children::Entries(entries) => entries.get(segment.parse::<usize>().ok()?),
            Children::Fields(fields) => fields.get(&unescape(segment)),
        }
    }
}
