//! The names by which some applications would take a segment: Windows strips dots and spaces at the end, Rails and others
//! an extension.

use crate::request::Segment;

/// What is left of a segment after each step; the segment itself is not among them.
pub(super) fn names(segment: Segment<'_>) -> impl Iterator<Item = Segment<'_>> {
    let steps: [fn(&str) -> &str; 3] = [strip_end, strip_extension, strip_end];
    let mut current = segment.as_str();
    steps.into_iter().filter_map(move |step| {
        let before = current;
        current = step(before);
        (current.len() < before.len() && !current.is_empty()).then(|| Segment::of_canonical(current))
    })
}

/// Without dots and spaces at the end; in canonical form each has one spelling.
fn strip_end(mut name: &str) -> &str {
    while let Some(shorter) = name.strip_suffix('.').or_else(|| name.strip_suffix("%20")) {
        name = shorter;
    }
    name
}

fn strip_extension(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
