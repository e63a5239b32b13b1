//! Files of policies and ConfigMaps: read once, into JSON and the place of every field.

mod cure;
mod list;
mod places;
mod reader;
mod scalar;

use std::sync::Arc;

use serde_json::Value;

pub use list::objects;
pub use places::{Place, Places};

use crate::diagnostic::{Diagnostic, ObjectRef};

/// The largest file that is read, in bytes. The API server takes no object above 1.5 MiB, and a file may hold the
/// policy and the ConfigMaps that it refers to.
pub const MAX_FILE: usize = 4 * 1024 * 1024;

/// One object of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The name of the file, as diagnostics show it.
    pub file: Arc<str>,
    /// The object.
    pub value: Value,
    /// Where its fields stand.
    pub places: Places,
}

impl Document {
    /// The object's kind, namespace and name, where it has them.
    pub fn object(&self) -> Option<ObjectRef> {
        let text = |pointer| self.value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Some(ObjectRef { kind: text("/kind")?, namespace: text("/metadata/namespace"), name: text("/metadata/name")? })
    }

    /// Adds to a diagnostic what this document knows: the object, the file, and the place of a field, or of the
    /// nearest one above it that is there.
    #[must_use]
    pub fn locate(&self, diagnostic: Diagnostic, pointer: &str) -> Diagnostic {
        self.sign(self.places.nearest(pointer).mark(diagnostic))
    }

    /// Adds the object and the file to a diagnostic.
    #[must_use]
    pub(crate) fn sign(&self, diagnostic: Diagnostic) -> Diagnostic {
        Diagnostic { object: self.object(), file: Some(self.file.clone()), ..diagnostic }
    }
}

/// Reads the objects of a YAML or JSON text; empty documents are skipped.
///
/// # Errors
/// All faults that could be found: what does not follow the syntax ends the search.
pub fn read(file: &str, text: &str) -> Result<Vec<Document>, Vec<Diagnostic>> {
    reader::read(&Arc::from(file), text)
}
