//! A request in its one canonical form: the only place where method, target and Host are read.
//!
//! What comes out of here is what rules match on and, byte for byte, what the application receives; ambiguous input
//! never comes out.

mod authority;
mod credential;
mod framing;
mod path;

pub use authority::Host;
pub use credential::Credential;
pub use path::{Segment, is_canonical};

use crate::forward::names;
use crate::reason::{BadRequest, Reason};
use crate::ruleset::Paths;
use http::{HeaderMap, HeaderName, Method, Uri, Version};
use std::borrow::Cow;

/// The head of a request as the HTTP library parsed it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target, in whatever form it came.
    pub uri: &'a Uri,
    /// The HTTP version.
    pub version: Version,
    /// The fields.
    pub headers: &'a HeaderMap,
}

/// How large a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimits {
    /// Bytes of the request line and all fields, each field counted as name, value and 4.
    pub headers: u64,
    /// Bytes of the body.
    pub body: u64,
}

impl Default for SizeLimits {
    fn default() -> Self {
        Self { headers: 32 * 1024, body: 10 * 1024 * 1024 }
    }
}

/// A request that means one thing only.
#[derive(Clone, Debug)]
pub struct CanonicalRequest<'a> {
    method: &'a Method,
    host: Host<'a>,
    path: Cow<'a, str>,
    query: Option<&'a str>,
    credential: Credential<'a>,
}

impl<'a> CanonicalRequest<'a> {
    /// Reads a request head.
    ///
    /// # Errors
    /// The first fault in the order 431, 400 (method, target, Host, framing, other fields), 417, 413.
    pub fn read(head: &RequestHead<'a>, paths: Paths, limits: &SizeLimits) -> Result<Self, Reason> {
        if head_size(head) > limits.headers {
            return Err(Reason::HeadersTooLarge);
        }
        let request = Self::unambiguous(head, paths).map_err(Reason::BadRequest)?;
        if !framing::expectation_is_usual(head.headers) {
            return Err(Reason::Expectation);
        }
        limits.check(head)?;
        Ok(request)
    }

    fn unambiguous(head: &RequestHead<'a>, paths: Paths) -> Result<Self, BadRequest> {
        if !is_forwardable(head.method) {
            return Err(BadRequest::Method);
        }
        let named = authority::from_target(head)?;
        let path = path::canonical(head.uri.path(), paths)?;
        let query = head.uri.query();
        path::check_query(query.unwrap_or_default())?;
        let host = authority::agreed(named, head)?;
        framing::content_length(head)?;
        check_ours(head.headers)?;
        let credential = credential::read(head.headers)?;
        Ok(Self { method: head.method, host, path, query, credential })
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The host that the request is for.
    #[must_use]
    pub fn host(&self) -> &Host<'a> {
        &self.host
    }

    /// The canonical path, beginning with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The segments of the path, one trailing slash left out; none for `/`.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        path::segments(&self.path)
    }

    /// The target in origin form (RFC 9112, section 3.2.1) that the application receives.
    #[must_use]
    pub fn target(&self) -> Cow<'_, str> {
        match self.query {
            None => Cow::Borrowed(&*self.path),
            Some(query) => Cow::Owned(format!("{}?{query}", self.path)),
        }
    }

    /// The credential in the Authorization field.
    #[must_use]
    pub fn credential(&self) -> Credential<'a> {
        self.credential
    }
}

impl SizeLimits {
    /// Whether a head, and the body that it declares, are small enough; a length that cannot be read declares none.
    ///
    /// # Errors
    /// [`Reason::HeadersTooLarge`], [`Reason::BodyTooLarge`].
    pub fn check(&self, head: &RequestHead) -> Result<(), Reason> {
        if head_size(head) > self.headers {
            return Err(Reason::HeadersTooLarge);
        }
        match framing::content_length(head) {
            Ok(Some(length)) if length > self.body => Err(Reason::BodyTooLarge),
            _ => Ok(()),
        }
    }
}

/// Fields that are ours to set are ASCII: what two readers decode differently is not taken from anybody.
fn check_ours(headers: &HeaderMap) -> Result<(), BadRequest> {
    let is_ours = |name: &HeaderName| names::with_mapped(name.as_str(), names::is_ours);
    let foreign = headers.iter().any(|(name, value)| value.as_bytes().iter().any(|byte| *byte > 0x7f) && is_ours(name));
    if foreign { Err(BadRequest::Header) } else { Ok(()) }
}

fn head_size(head: &RequestHead) -> u64 {
    let target = head.uri.path_and_query().map_or(1, |target| target.as_str().len())
        + head.uri.authority().map_or(0, |authority| authority.as_str().len());
    let line = head.method.as_str().len() + target + " HTTP/1.1\r\n ".len();
    let fields: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (line + fields) as u64
}

/// TRACE and TRACK echo credentials (RFC 9110, section 9.3.8), CONNECT asks for a tunnel, and methods are compared byte
/// for byte, so a lower-case name can only be an attempt to slip past one of two readers.
pub(crate) fn is_forwardable(method: &Method) -> bool {
    let name = method.as_str();
    !matches!(name, "TRACE" | "TRACK" | "CONNECT") && !name.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// The credential of a head that could not be made canonical; of several none counts.
pub(crate) fn credential(headers: &HeaderMap) -> Credential<'_> {
    credential::read(headers).unwrap_or(Credential::Absent)
}
