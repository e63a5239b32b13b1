//! Values read with the field that a fault is about.

use serde::{Deserialize, Deserializer};
use serde_path_to_error::{Path, Segment};

/// A value that is none: which field of it, and why.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The field as a JSON pointer (RFC 6901); empty for the value as a whole.
    pub(crate) pointer: String,
    /// The field as people write it, and what is wrong with it.
    pub(crate) text: String,
}

/// Reads a value.
///
/// # Errors
/// The first field of it that is not as it must be.
pub(crate) fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let text = match error.path().to_string().as_str() {
            "." => error.inner().to_string(),
            path => format!("{path}: {}", error.inner()),
        };
        Fault { pointer: pointer(error.path()), text }
    })
}

fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { .. } | Segment::Unknown => pointer,
    })
}
