//! The names by which some applications would take a segment: Windows strips dots and spaces at the end, Rails and others
//! an extension.

use crate::request::Segment;

/// What is left of a segment after each step, folded; the segment itself is not among them.
pub(super) fn names(segment: Segment) -> Vec<String> {
    let whole: String = segment.folded().collect();
    let mut names = Vec::with_capacity(3);
    let mut current = whole.as_str();
    for step in [strip_end, strip_extension, strip_end] {
        let next = step(current);
        if next.len() < current.len() && !next.is_empty() {
            names.push(next.to_owned());
        }
        current = next;
    }
    names
}

fn strip_end(name: &str) -> &str {
    name.trim_end_matches(['.', ' '])
}

fn strip_extension(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
