//! A path template: literals, `{name}` for one segment, `/**` at the end for the rest.

use crate::request::{Segment, is_canonical};

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
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
pub(crate) enum TemplateError {
    #[error("a template begins with `/`")]
    Start,
    #[error("a template has no trailing slash: it matches with and without one")]
    TrailingSlash,
    #[error("`*` stands only at the end, as `/**`; `{{name}}` matches one segment, `%2A` is the character")]
    Rest,
    #[error("`{{name}}` is a whole segment of letters, digits, `_` and `-`")]
    Parameter,
    #[error("a parameter has the name of another one")]
    RepeatedParameter,
    #[error("not in canonical form: escapes of letters, digits and `-._~` decoded, others in upper case, no `;`, no `.` or empty segments")]
    NotCanonical,
    #[error("paths below `/.doorward` and `/.well-known/oauth-protected-resource` are reserved")]
    Reserved,
    #[error("it differs from another template only in upper and lower case")]
    DiffersInCase,
}

impl Literal {
    pub(super) fn folded(&self) -> impl Iterator<Item = char> + Clone {
        Segment::of_canonical(&self.0).folded()
    }
}

impl Template {
    /// Parses a template.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
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
        let segments = inner.into_iter().flat_map(|inner| inner.split('/')).map(segment).collect::<Result<Vec<_>, _>>()?;
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
        let first = |position: usize, wanted: &str| match self.segments.get(position) {
            Some(TemplateSegment::Literal(literal)) => literal.folded().eq(wanted.chars()),
            _ => false,
        };
        if first(0, ".doorward") || (first(0, ".well-known") && first(1, "oauth-protected-resource")) {
            return Err(TemplateError::Reserved);
        }
        Ok(())
    }

    pub(super) fn segments(&self) -> &[TemplateSegment] {
        &self.segments
    }

    pub(super) fn has_rest(&self) -> bool {
        self.rest
    }

    /// The parameters with the positions of their segments.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (usize, &str)> {
        self.segments.iter().enumerate().filter_map(|(position, segment)| match segment {
            TemplateSegment::Parameter(name) => Some((position, &**name)),
            TemplateSegment::Literal(_) => None,
        })
    }

    /// Whether the literals are equal, upper and lower case told apart.
    pub(super) fn same_literals(&self, other: &Self) -> bool {
        let literals = |template: &Self| {
            template.segments.iter().map(|segment| match segment {
                TemplateSegment::Literal(literal) => Some(Segment::of_canonical(&literal.0).decoded().collect::<String>()),
                TemplateSegment::Parameter(_) => None,
            }).collect::<Vec<_>>()
        };
        literals(self) == literals(other)
    }

    /// Whether the literals of a template that was found are those of the path without folding.
    pub(super) fn matches_exactly<'a>(&self, path: impl Iterator<Item = Segment<'a>>) -> bool {
        self.segments.iter().zip(path).all(|(ours, theirs)| match ours {
            TemplateSegment::Literal(literal) => Segment::of_canonical(&literal.0).decoded().eq(theirs.decoded()),
            TemplateSegment::Parameter(_) => true,
        })
    }
}

fn segment(text: &str) -> Result<TemplateSegment, TemplateError> {
    if let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
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
