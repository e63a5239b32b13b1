//! Characters that Unicode normalisation turns into one that has a meaning in paths.

/// Ranges of the non-ASCII characters whose NFKC form holds one of `/ \ . ; % ? #`, and the two line separators
/// (Unicode 14 and 16 agree on them; the test compares with a Unicode library).
const RANGES: [(char, char); 27] = [
    ('\u{37E}', '\u{37E}'),
    ('\u{2024}', '\u{2026}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{2047}', '\u{2049}'),
    ('\u{2100}', '\u{2101}'),
    ('\u{2105}', '\u{2106}'),
    ('\u{2488}', '\u{249B}'),
    ('\u{33C2}', '\u{33C2}'),
    ('\u{33C7}', '\u{33C7}'),
    ('\u{33D8}', '\u{33D8}'),
    ('\u{FE14}', '\u{FE14}'),
    ('\u{FE16}', '\u{FE16}'),
    ('\u{FE19}', '\u{FE19}'),
    ('\u{FE30}', '\u{FE30}'),
    ('\u{FE52}', '\u{FE52}'),
    ('\u{FE54}', '\u{FE54}'),
    ('\u{FE56}', '\u{FE56}'),
    ('\u{FE5F}', '\u{FE5F}'),
    ('\u{FE68}', '\u{FE68}'),
    ('\u{FE6A}', '\u{FE6A}'),
    ('\u{FF03}', '\u{FF03}'),
    ('\u{FF05}', '\u{FF05}'),
    ('\u{FF0E}', '\u{FF0F}'),
    ('\u{FF1B}', '\u{FF1B}'),
    ('\u{FF1F}', '\u{FF1F}'),
    ('\u{FF3C}', '\u{FF3C}'),
    ('\u{1F100}', '\u{1F100}'),
];

/// Whether an application that normalises would read the character as a separator.
pub(super) fn is_confusable(character: char) -> bool {
    let after = RANGES.partition_point(|(_, last)| *last < character);
    RANGES.get(after).is_some_and(|(first, _)| *first <= character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_normalization::UnicodeNormalization;

    #[test]
    fn the_table_is_what_a_unicode_library_says() {
        for character in '\u{80}'..=char::MAX {
            let separator = character.nfkc().any(|c| matches!(c, '/' | '\\' | '.' | ';' | '%' | '?' | '#'));
            let line = matches!(character, '\u{2028}' | '\u{2029}');
            assert_eq!(is_confusable(character), separator || line, "U+{:04X}", u32::from(character));
        }
    }
}
