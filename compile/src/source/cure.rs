//! What to write where a text is not YAML: the parser names its own rule, which tells few people what to do.

use serde_saphyr::granit_parser::ErrorKind;

/// What to write instead, for the faults that are met when policies are written; `line` is the text of the line in which it was found.
pub(super) fn cure(kind: &ErrorKind, line: &str) -> Option<&'static str> {
    use ErrorKind as Kind;
    Some(match kind {
        Kind::ExpectedFlowMappingSeparator | Kind::ExpectedFlowSequenceSeparator if line.contains("/{") => {
            "put a path with `{…}` in quotes where it stands between braces or brackets: `\"/users/{id}\"`"
        }
        Kind::ExpectedFlowMappingSeparator => "separate fields with a comma, or end the `{` above with `}`",
        Kind::ExpectedFlowSequenceSeparator => "separate entries with a comma, or end the `[` above with `]`",
        Kind::UnclosedFlowCollection { open: '[' } | Kind::UnexpectedEofFlowSequence => "end it with `]`",
        Kind::UnclosedFlowCollection { .. } | Kind::UnexpectedEofFlowMapping => "end it with `}`",
        Kind::MismatchedFlowCollectionEnd { .. } | Kind::MisplacedFlowCollectionEnd => {
            "each `{` ends with a `}` and each `[` with a `]`, the inner one first"
        }
        Kind::UnclosedQuotedScalar => "end the text with the quote that it begins with",
        Kind::ExpectedBlockMappingKey if line.contains('{') => {
            "a value that begins with `{` and is no mapping stands in quotes; if it is one, nothing may follow its `}`"
        }
        Kind::ExpectedBlockMappingKey | Kind::InvalidIndentation | Kind::SimpleKeyExpected => {
            "give the fields of one mapping the same indentation, each as `name: value`"
        }
        Kind::TabNotAllowed | Kind::TabInBlockIndentation | Kind::TabInIndentation | Kind::TabInPlainScalar => {
            "indent with spaces, not with tabs"
        }
        Kind::MappingValueNotAllowed => {
            "put a text that holds `: ` in quotes; begin a further field in a line of its own"
        }
        Kind::UnexpectedCharacter { .. } | Kind::MissingAnchorOrAliasName => {
            "put a text that begins with a special character in quotes"
        }
        Kind::DirectiveDisallowed => "take the line that begins with `%` out",
        Kind::UnknownAnchor => "aliases are not read: write the value out",
        _ => return None,
    })
}
