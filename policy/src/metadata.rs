//! The metadata document of a protected resource (RFC 9728): where a client without a token gets one.

use crate::request::CanonicalRequest;
use crate::ruleset::Issuer;
use http::Method;
use serde_json::json;

/// The well-known path, before the path of the resource (RFC 9728, section 3).
pub(crate) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// A protected resource.
#[derive(Debug)]
pub(crate) struct Resource {
    /// Where its document is found, as challenges tell it.
    pub(crate) location: Box<str>,
    /// The document.
    pub(crate) document: Box<str>,
    /// The path of the resource in canonical form; empty for the whole host.
    path: Box<str>,
}

/// What is wrong with a resource identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// Not https (RFC 9728, section 1.2).
    #[error("it is no https URL")]
    NotHttps,
    /// A fragment, a query or user information: the document could not be found.
    #[error("it has a query, a fragment or a user")]
    Extra,
    /// A path that no request can have.
    #[error("its path is not in canonical form")]
    Path,
    /// A host that no request can have.
    #[error("its host is not in canonical form: lower case, no final dot")]
    Host,
}

impl Resource {
    /// Parses a resource identifier; the issuers are those that it takes tokens of.
    pub(crate) fn new(identifier: &str, issuers: &[Issuer]) -> Result<Self, ResourceError> {
        let (authority, path) = split(identifier)?;
        let servers: Vec<&str> = issuers.iter().map(|issuer| &*issuer.issuer).collect();
        let document =
            json!({"resource": identifier, "authorization_servers": servers, "bearer_methods_supported": ["header"]});
        Ok(Self {
            location: format!("https://{authority}{WELL_KNOWN}{path}").into(),
            document: document.to_string().into(),
            path: path.into(),
        })
    }

    /// Whether a request asks for the document: with and without the path of the resource.
    pub(crate) fn is_asked_for(&self, request: &CanonicalRequest) -> bool {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let path = request.path();
        let is = |wanted: &str| path.strip_suffix('/').unwrap_or(path).eq_ignore_ascii_case(wanted);
        reads && (is(WELL_KNOWN) || is(&format!("{WELL_KNOWN}{}", self.path)))
    }
}

/// Looks whether a text is a resource identifier whose document can be found.
///
/// # Errors
/// See [`ResourceError`].
pub fn check_resource(identifier: &str) -> Result<(), ResourceError> {
    split(identifier).map(drop)
}

/// The authority and the path, without a final slash.
fn split(identifier: &str) -> Result<(&str, &str), ResourceError> {
    let rest = identifier.strip_prefix("https://").ok_or(ResourceError::NotHttps)?;
    if rest.contains(['?', '#', '@']) {
        return Err(ResourceError::Extra);
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = crate::request::Host::parse(authority).map_err(|_| ResourceError::Host)?;
    if host.as_str() != authority {
        return Err(ResourceError::Host);
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    if !path.is_empty() && !crate::request::is_canonical(path) {
        return Err(ResourceError::Path);
    }
    Ok((authority, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        assert_eq!(split("https://api.example.com"), Ok(("api.example.com", "")));
        assert_eq!(split("https://api.example.com:8443/orders/"), Ok(("api.example.com:8443", "/orders")));
        for (text, wanted) in [
            ("http://a.b", ResourceError::NotHttps),
            ("https://a.b/?x", ResourceError::Extra),
            ("https://u@a.b", ResourceError::Extra),
            ("https://A.b", ResourceError::Host),
            ("https:///x", ResourceError::Host),
            ("https://a.b/x//y", ResourceError::Path),
        ] {
            assert_eq!(split(text), Err(wanted), "{text}");
        }
        let resource = Resource::new("https://a.b/orders", &[]).unwrap();
        assert_eq!(&*resource.location, "https://a.b/.well-known/oauth-protected-resource/orders");
    }
}
