//! One segment of a canonical path, decoded on the way without being copied.

use std::iter;

/// One segment of a canonical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a>(&'a str);

impl<'a> Segment<'a> {
    /// Wraps a segment, which must come from a canonical path.
    pub(crate) fn of_canonical(canonical: &'a str) -> Self {
        Self(canonical)
    }

    /// Its canonical text.
    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }

    /// Its characters, escapes decoded. An encoded slash comes out as `/`, which no literal can hold otherwise.
    pub fn decoded(self) -> impl Iterator<Item = char> + Clone {
        let mut rest = self.0;
        iter::from_fn(move || {
            let (character, tail) = next_decoded(rest)?;
            rest = tail;
            Some(character)
        })
    }

    /// Its characters, decoded and folded: two segments that differ only in case give the same.
    pub fn folded(self) -> impl Iterator<Item = char> + Clone {
        self.decoded().map(fold)
    }

    /// Whether its decoded bytes are those of `text`. A segment with an encoded slash equals nothing: the application
    /// may split it there.
    #[must_use]
    pub fn is(self, text: &str) -> bool {
        !self.0.contains("%2F") && self.decoded().eq(text.chars())
    }

    /// Whether some applications would take it for another name: by a dot or space at its end, or an extension.
    #[must_use]
    pub fn may_be_alias(self) -> bool {
        self.0.contains('.') || self.0.contains("%20")
    }
}

fn next_decoded(rest: &str) -> Option<(char, &str)> {
    let Some(escaped) = rest.strip_prefix('%') else {
        let mut chars = rest.chars();
        return Some((chars.next()?, chars.as_str()));
    };
    let (first, mut tail) = hex_byte(escaped)?;
    let length = match first {
        0..=0x7f => return Some((char::from(first), tail)),
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    let mut bytes = [first, 0, 0, 0];
    for slot in bytes.iter_mut().take(length).skip(1) {
        (*slot, tail) = hex_byte(tail.strip_prefix('%')?)?;
    }
    let character = std::str::from_utf8(bytes.get(..length)?).ok()?.chars().next()?;
    Some((character, tail))
}

fn hex_byte(text: &str) -> Option<(u8, &str)> {
    let (digits, rest) = text.split_at_checked(2)?;
    Some((u8::from_str_radix(digits, 16).ok()?, rest))
}

/// Simple case folding (Unicode, CaseFolding.txt, status C and S).
pub(crate) fn fold(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    unicode_case_mapping::case_folded(character).and_then(|folded| char::from_u32(folded.get())).unwrap_or(character)
}
