//! A path template: literals, `{name}` for one segment, `/**` at the end for the rest.

use crate::request::{Segment, is_canonical};

/// The longest template in bytes: the schema's bound for `path`, and what bounds the depth of the router's recursion.
const MAX_TEMPLATE: usize = 1024;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    segments: Vec<TemplateSegment>,
    rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TemplateSegment {
    Literal(Literal),
    Parameter(Box<str>),
}

/// A literal segment in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Literal(Box<str>);

/// What is wrong with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// More bytes than a path of the schema has.
    #[error("a template has at most {MAX_TEMPLATE} bytes")]
    TooLong,
    /// It does not begin with a slash.
    #[error("a template begins with `/`")]
    Start,
    /// It ends with a slash.
    #[error("a template has no trailing slash: it matches with and without one")]
    TrailingSlash,
    /// A `*` anywhere but at the end, as `/**`.
    #[error("`*` stands only at the end, as `/**`; `{{name}}` matches one segment, `%2A` is the character")]
    Rest,
    /// Braces that are no parameter.
    #[error("`{{name}}` is a whole segment of letters, digits, `_` and `-`")]
    Parameter,
    /// Two parameters of one name.
    #[error("a parameter has the name of another one")]
    RepeatedParameter,
    /// A literal that no canonical path holds.
    #[error(
        "not in canonical form: escapes of letters, digits and `-._~` decoded, others in upper case, no `;`, no `.` or empty segments"
    )]
    NotCanonical,
    /// Paths of the proxy itself.
    #[error(
        "paths below `/.doorward`, and with `spec.resource` below `/.well-known/oauth-protected-resource`, are the proxy's own"
    )]
    Reserved,
    /// Equal to another but for case.
    #[error("it differs from another template only in upper and lower case")]
    DiffersInCase,
}

impl Literal {
    fn decoded(&self) -> impl Iterator<Item = char> + Clone {
        Segment::of_canonical(&self.0).decoded()
    }

    pub(super) fn folded(&self) -> impl Iterator<Item = char> + Clone {
        Segment::of_canonical(&self.0).folded()
    }
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// Where it is none; see [`TemplateError`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE {
            return Err(TemplateError::TooLong);
        }
        let inner = text.strip_prefix('/').ok_or(TemplateError::Start)?;
        if inner.is_empty() {
            return Ok(Self { segments: Vec::new(), rest: false });
        }
        let (inner, rest) = match inner.strip_suffix("**") {
            Some("") => (None, true),
            Some(before) => (Some(before.strip_suffix('/').ok_or(TemplateError::Rest)?), true),
            None => (Some(inner), false),
        };
        if inner.is_some_and(|inner| inner.ends_with('/')) {
            return Err(TemplateError::TrailingSlash);
        }
        let segments =
            inner.into_iter().flat_map(|inner| inner.split('/')).map(segment).collect::<Result<Vec<_>, _>>()?;
        let template = Self { segments, rest };
        template.check()?;
        Ok(template)
    }

    fn check(&self) -> Result<(), TemplateError> {
        let mut names: Vec<_> = self.parameters().map(|(_, name)| name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(TemplateError::RepeatedParameter);
        }
        let reserved = |segment: &TemplateSegment| match segment {
            TemplateSegment::Literal(literal) => literal.folded().eq(".doorward".chars()),
            TemplateSegment::Parameter(_) => false,
        };
        if self.segments.first().is_some_and(reserved) { Err(TemplateError::Reserved) } else { Ok(()) }
    }

    /// Whether it is the metadata document's path or below it: the proxy's own where the policy has a `resource`.
    #[must_use]
    pub fn is_metadata(&self) -> bool {
        let key = self.key(true);
        key.strip_prefix(crate::metadata::WELL_KNOWN).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// A text that two templates share exactly when they match the same paths, parameter names apart; `folded` takes upper
    /// and lower case as equal.
    #[must_use]
    pub fn key(&self, folded: bool) -> String {
        let mut key = String::new();
        for segment in &self.segments {
            key.push('/');
            match segment {
                TemplateSegment::Literal(literal) if folded => push_literal(&mut key, literal.folded()),
                TemplateSegment::Literal(literal) => push_literal(&mut key, literal.decoded()),
                TemplateSegment::Parameter(_) => key.push_str("{}"),
            }
        }
        key.push_str(if self.rest { "/**" } else { "" });
        key
    }

    pub(super) fn segments(&self) -> &[TemplateSegment] {
        &self.segments
    }

    /// Whether it ends with `/**`.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        self.rest
    }

    /// The parameters with the positions of their segments.
    pub fn parameters(&self) -> impl Iterator<Item = (usize, &str)> {
        self.segments.iter().enumerate().filter_map(|(position, segment)| match segment {
            TemplateSegment::Parameter(name) => Some((position, &**name)),
            TemplateSegment::Literal(_) => None,
        })
    }

    /// Whether the literals of a template that was found are those of the path without folding.
    pub(super) fn matches_exactly<'a>(&self, path: impl Iterator<Item = Segment<'a>>) -> bool {
        self.segments.iter().zip(path).all(|(ours, theirs)| match ours {
            TemplateSegment::Literal(literal) => literal.decoded().eq(theirs.decoded()),
            TemplateSegment::Parameter(_) => true,
        })
    }
}

/// Writes a literal so that nothing in it can be taken for a parameter, for `/**` or for the end of its segment; it never
/// holds a backslash itself.
fn push_literal(key: &mut String, literal: impl Iterator<Item = char>) {
    for character in literal {
        if matches!(character, '/' | '{' | '*') {
            key.push('\\');
        }
        key.push(character);
    }
}

fn segment(text: &str) -> Result<TemplateSegment, TemplateError> {
    if let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        let valid =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        return if valid { Ok(TemplateSegment::Parameter(name.into())) } else { Err(TemplateError::Parameter) };
    }
    if text.contains(['{', '}']) {
        return Err(TemplateError::Parameter);
    }
    if text.contains('*') {
        return Err(TemplateError::Rest);
    }
    if text.is_empty() || !is_canonical(&format!("/{text}")) {
        return Err(TemplateError::NotCanonical);
    }
    Ok(TemplateSegment::Literal(Literal(text.into())))
}
