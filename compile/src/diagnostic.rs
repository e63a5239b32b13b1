//! What is wrong with an object, said so that people and tools can act on it.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// One finding about an object: where it is, what is wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The object that it is about, where one could be told.
    pub object: Option<ObjectRef>,
    /// The file that the object was read from.
    pub file: Option<Arc<str>>,
    /// The line in the file, from 1.
    pub line: Option<u32>,
    /// The column in the line, from 1, in characters.
    pub column: Option<u32>,
    /// The field as kubectl prints it: `spec.rules[0].require.scope`. Empty for the object as a whole.
    pub path: String,
    /// Whether the object can be used all the same.
    pub severity: Severity,
    /// What kind of fault it is; stable, for tools.
    pub code: Code,
    /// What is wrong: lower-case, no final period, what the user wrote in backticks.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A fault for which the object is refused.
    pub fn error(code: Code, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, path.into(), message.into())
    }

    /// Something that is probably not meant.
    pub fn warning(code: Code, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, path.into(), message.into())
    }

    /// Something that is good to know.
    pub fn info(code: Code, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, path.into(), message.into())
    }

    /// Says what to write instead.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn new(severity: Severity, code: Code, path: String, message: String) -> Self {
        Self { object: None, file: None, line: None, column: None, path, severity, code, message, hint: None }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, &self.object) {
            (Some(file), _) => {
                write!(f, "{file}:")?;
                for number in [self.line, self.column].into_iter().flatten() {
                    write!(f, "{number}:")?;
                }
                f.write_str(" ")?;
            }
            (None, Some(object)) => write!(f, "{object}: ")?,
            (None, None) => {}
        }
        write!(f, "{}[{}]: ", self.severity, self.code)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

/// An object by its kind and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ObjectRef {
    /// The kind, as in `ApiAuthPolicy`.
    pub kind: String,
    /// The namespace, where the object names one.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        self.namespace.iter().try_for_each(|namespace| write!(f, "{namespace}/"))?;
        f.write_str(&self.name)
    }
}

/// Whether an object can be used in spite of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object is refused.
    Error,
    /// The object is accepted; what it says is probably not what is meant.
    Warning,
    /// The object is accepted; this is good to know.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

/// Declares the codes, each with its stable text beside it.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $text:literal,)*) => {
        /// What kind of fault a diagnostic is about; the texts are a contract with tools.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $code,)* }

        impl Code {
            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text,)* }
            }
        }
    };
}

codes! {
    /// The text is not YAML, or uses a part of YAML that is not read.
    YamlSyntax = "yaml_syntax",
    /// The text is larger or deeper than any policy is.
    YamlLimit = "yaml_limit",
    /// A key stands twice in one mapping.
    DuplicateKey = "duplicate_key",
    /// A word that other YAML readers take for true or false stands unquoted where a string is meant.
    YamlWord = "yaml_word",
    /// The object is of another kind.
    WrongKind = "wrong_kind",
    /// A field that does not exist.
    UnknownField = "unknown_field",
    /// A field is given without a value.
    ExplicitNull = "explicit_null",
    /// A value is of another type.
    WrongType = "wrong_type",
    /// A field that must be there is not.
    MissingField = "missing_field",
    /// A value is too long, too short, too large or too small, or has too many or too few entries.
    OutOfBounds = "out_of_bounds",
    /// A string has not the form that it must have.
    BadFormat = "bad_format",
    /// A value is none of those that are known.
    NotOneOf = "not_one_of",
    /// Two entries of a list, or two objects, have the same name.
    DuplicateName = "duplicate_name",
    /// Another policy selects the same pods on the same port.
    SamePort = "same_port",
    /// Fields stand together that exclude each other, or none of those stands of which one must.
    WrongCombination = "wrong_combination",
    /// The selector selects every pod.
    EmptySelector = "empty_selector",
    /// A ConfigMap, or a key in it, is not there.
    MissingReference = "missing_reference",
    /// A CA bundle cannot be used.
    BadCertificate = "bad_certificate",
    /// A certificate or a revocation list is out of date, or soon will be.
    Expired = "expired",
    /// A CA has revocation lists, but none of one of its authorities.
    NotCovered = "not_covered",
    /// Two CAs have one trust anchor.
    SharedAnchor = "shared_anchor",
    /// An issuer that is not https.
    InsecureIssuer = "insecure_issuer",
    /// A text is no URL from which keys can be fetched.
    BadUrl = "bad_url",
    /// An address that the settings do not let anybody connect to.
    ForbiddenAddress = "forbidden_address",
    /// Two issuers have one identifier.
    DuplicateIssuer = "duplicate_issuer",
    /// A JSON Web Key Set cannot be used.
    BadKeys = "bad_keys",
    /// A key of a set is left out.
    IgnoredKey = "ignored_key",
    /// A text is no claim path.
    BadClaimPath = "bad_claim_path",
    /// A text is no path template.
    BadTemplate = "bad_template",
    /// A segment of a template that other routers take for a parameter stands for itself.
    LiteralParameter = "literal_parameter",
    /// A method that never passes.
    BadMethod = "bad_method",
    /// A text is no host.
    BadHost = "bad_host",
    /// A text is no network.
    BadNetwork = "bad_network",
    /// A rule names an issuer that is not there.
    UnknownIssuer = "unknown_issuer",
    /// A rule names a CA that is not there.
    UnknownCa = "unknown_ca",
    /// A rule does not say whose tokens it means.
    UnnamedIssuer = "unnamed_issuer",
    /// A token is asked for, and nobody issues any.
    NoIssuer = "no_issuer",
    /// A rule names a path parameter that is not there.
    UnknownParameter = "unknown_parameter",
    /// Two rules say the same.
    DuplicateRule = "duplicate_rule",
    /// Two templates differ only in case.
    DiffersInCase = "differs_in_case",
    /// A rule that can never refuse anybody.
    ShadowedRule = "shadowed_rule",
    /// A path whose rules take methods away from a broader path.
    HiddenRule = "hidden_rule",
    /// An open path below a protected one.
    AnonymousBelowProtected = "anonymous_below_protected",
    /// A header that is not the policy's to set.
    ReservedHeader = "reserved_header",
    /// A header that two issuers may fill alike for two people.
    AmbiguousSubject = "ambiguous_subject",
    /// A text is no resource identifier.
    BadResource = "bad_resource",
    /// Something that should not stay: Audit, Permissive TLS.
    Migration = "migration",
    /// The policy cannot be used for another reason.
    Unusable = "unusable",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The field that a JSON Pointer leads to, as kubectl prints it.
pub fn field_path(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        let name = unescape(segment);
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if !plain || name.is_empty() || name.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{}]", name.escape_debug()));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&name);
        }
    }
    path
}

/// A name as a segment of a JSON Pointer (RFC 6901).
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The name that a segment of a JSON Pointer stands for.
pub(crate) fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// What a user wrote, for a message: in backticks, on one line, and not longer than a line.
pub fn quoted(input: &str) -> String {
    const SHOWN: usize = 64;
    let mut shown: String = input.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if input.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Diagnostic {
        Diagnostic {
            file: Some("policy.yaml".into()),
            line: Some(12),
            column: Some(7),
            ..Diagnostic::error(Code::UnknownField, "spec.rules[0].require.scope", "unknown field `scope`")
                .with_hint("did you mean `scopes`?")
        }
    }

    #[test]
    fn terminals_show_place_code_path_and_hint() {
        let expected = "policy.yaml:12:7: error[unknown_field]: spec.rules[0].require.scope: unknown field `scope`; \
                        did you mean `scopes`?";
        assert_eq!(example().to_string(), expected);
    }

    #[test]
    fn what_is_not_known_is_not_shown() {
        let object = ObjectRef { kind: "ApiAuthPolicy".into(), namespace: Some("shop".into()), name: "orders".into() };
        for (diagnostic, expected) in [
            (
                Diagnostic { line: None, column: None, hint: None, path: String::new(), ..example() },
                "policy.yaml: error[unknown_field]: unknown field `scope`",
            ),
            (
                Diagnostic { file: None, object: Some(object), hint: None, ..example() },
                "ApiAuthPolicy shop/orders: error[unknown_field]: spec.rules[0].require.scope: unknown field `scope`",
            ),
            (Diagnostic::warning(Code::YamlWord, "", "x"), "warning[yaml_word]: x"),
            (Diagnostic::info(Code::YamlWord, "", "x"), "info[yaml_word]: x"),
        ] {
            assert_eq!(diagnostic.to_string(), expected);
        }
    }

    #[test]
    fn tools_get_every_field() {
        let json = serde_json::to_value(example()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "object": null, "file": "policy.yaml", "line": 12, "column": 7,
                "path": "spec.rules[0].require.scope", "severity": "error", "code": "unknown_field",
                "message": "unknown field `scope`", "hint": "did you mean `scopes`?",
            })
        );
    }

    #[test]
    fn pointers_become_field_paths() {
        for (pointer, path) in [
            ("", ""),
            ("/spec", "spec"),
            ("/spec/rules/0/require/scope", "spec.rules[0].require.scope"),
            ("/spec/selector/matchLabels/app.kubernetes.io~1name", "spec.selector.matchLabels[app.kubernetes.io/name]"),
            ("/a/~01", "a[~1]"),
            ("/a/b\nc", "a[b\\nc]"),
        ] {
            assert_eq!(field_path(pointer), path, "{pointer}");
        }
    }

    #[test]
    fn input_is_shown_on_one_short_line() {
        assert_eq!(quoted("a"), "`a`");
        assert_eq!(quoted("a\n\u{1b}[31m"), "`a\\n\\u{1b}[31m`");
        assert_eq!(quoted(&"x".repeat(65)), format!("`{}…`", "x".repeat(64)));
        assert_eq!(quoted(&"x".repeat(64)), format!("`{}`", "x".repeat(64)));
    }
}
