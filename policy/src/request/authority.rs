//! The host that a request is for: target and Host field must name the same one (RFC 9110, section 7.2).

use super::RequestHead;
use crate::reason::BadRequest;
use http::{Version, header};
use std::borrow::Cow;
use std::net::Ipv6Addr;

/// The longest host name in bytes (RFC 1035, section 2.3.4, without the final dot).
const MAX_NAME: usize = 253;
/// The longest label of a host name in bytes (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// A host in canonical form: lower case, no final dot; with its port where the request named one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    text: Cow<'a, str>,
    name_length: usize,
}

impl<'a> Host<'a> {
    /// Parses an authority without user information.
    ///
    /// # Errors
    /// [`BadRequest::Host`] where it is no host name, IP literal and optional port.
    pub fn parse(text: &'a str) -> Result<Self, BadRequest> {
        let (name, port) = split_port(text)?;
        let valid_port = port.is_none_or(|port| {
            !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
        });
        let bare = name.strip_suffix('.').filter(|_| !name.starts_with('[')).unwrap_or(name);
        if !valid_port || !is_name(bare) {
            return Err(BadRequest::Host);
        }
        let untouched = bare.len() == name.len() && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let text = if untouched {
            Cow::Borrowed(text)
        } else {
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            Cow::Owned(bare.to_ascii_lowercase() + &port)
        };
        Ok(Self { text, name_length: bare.len() })
    }

    /// The host without its port, as rules compare it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.get(..self.name_length).unwrap_or(&self.text)
    }

    /// Host and port, as the application receives them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Splits off the port; the colons of an IPv6 literal stand inside its brackets.
fn split_port(text: &str) -> Result<(&str, Option<&str>), BadRequest> {
    let end_of_literal = match text.starts_with('[') {
        true => text.find(']').ok_or(BadRequest::Host)? + 1,
        false => 0,
    };
    let (literal, rest) = text.split_at(end_of_literal);
    match rest.split_once(':') {
        None => Ok((text, None)),
        Some((before, port)) => Ok((text.get(..literal.len() + before.len()).unwrap_or(text), Some(port))),
    }
}

fn is_name(name: &str) -> bool {
    if let Some(literal) = name.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    name.len() <= MAX_NAME
        && name.split('.').all(|label| {
            (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}

/// The authority that the target names: HTTP/2 has it always or leaves it to Host, HTTP/1 only in absolute form.
pub(super) fn from_target<'a>(head: &RequestHead<'a>) -> Result<Option<&'a str>, BadRequest> {
    if !head.uri.path().starts_with('/') {
        return Err(BadRequest::TargetForm);
    }
    let foreign = |scheme: &str| !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http");
    if head.uri.scheme_str().is_some_and(foreign) {
        return Err(BadRequest::TargetForm);
    }
    let Some(authority) = head.uri.authority() else {
        return if head.uri.scheme().is_none() || head.version == Version::HTTP_2 {
            Ok(None)
        } else {
            Err(BadRequest::TargetForm)
        };
    };
    if head.uri.scheme().is_none() || authority.as_str().contains('@') {
        return Err(BadRequest::TargetForm);
    }
    Ok(Some(authority.as_str()))
}

/// The one host that target and Host field agree on.
pub(super) fn agreed<'a>(named: Option<&'a str>, head: &RequestHead<'a>) -> Result<Host<'a>, BadRequest> {
    let mut fields = head.headers.get_all(header::HOST).iter();
    let field = fields.next().map(|value| value.to_str().map_err(|_| BadRequest::Host)).transpose()?;
    if fields.next().is_some() {
        return Err(BadRequest::Host);
    }
    let field = field.map(Host::parse).transpose()?;
    let named = named.map(Host::parse).transpose()?;
    match (named, field) {
        (Some(named), Some(field)) if named == field => Ok(named),
        (Some(_), Some(_)) => Err(BadRequest::AuthorityMismatch),
        (Some(named), None) if head.version == Version::HTTP_2 => Ok(named),
        (None, Some(field)) => Ok(field),
        (_, None) => Err(BadRequest::Host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_hosts() {
        let long = ["a"; 127].join(".");
        for (text, name, whole) in [
            ("Example.COM", "example.com", "example.com"),
            ("example.com.:8443", "example.com", "example.com:8443"),
            ("a_b-c:0", "a_b-c", "a_b-c:0"),
            ("192.0.2.1:80", "192.0.2.1", "192.0.2.1:80"),
            ("[2001:DB8::1]:80", "[2001:db8::1]", "[2001:db8::1]:80"),
            (&long, &long, &long),
        ] {
            let host = Host::parse(text).unwrap();
            assert_eq!((host.name(), host.as_str()), (name, whole));
        }
    }

    #[test]
    fn refused_hosts() {
        let long_label = "a".repeat(64);
        let long = ["a"; 128].join(".");
        for text in [
            "",
            ".",
            "a..b",
            "a b",
            "a/b",
            "a:",
            "a:+1",
            "a:65536",
            "a:80:80",
            "[::1",
            "[::1]x",
            "[fe80::1%eth0]",
            "a@b",
            "a,b",
            "é",
            &long_label,
            &long,
            "*.a",
        ] {
            assert_eq!(Host::parse(text), Err(BadRequest::Host), "{text}");
        }
    }
}
