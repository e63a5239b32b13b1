//! The credential of a request: the one Authorization field (RFC 6750, section 2.1).

use crate::reason::BadRequest;
use http::{HeaderMap, header};

/// What the Authorization field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// No Authorization field, or one of another scheme.
    Absent,
    /// `Bearer` with nothing, or with something that is no token.
    Malformed,
    /// A bearer token, not yet looked at.
    Bearer(&'a str),
}

/// Reads the credential; two fields leave open which one an application would take.
pub(super) fn read(headers: &HeaderMap) -> Result<Credential<'_>, BadRequest> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(Credential::Absent) };
    if fields.next().is_some() {
        return Err(BadRequest::SeveralCredentials);
    }
    Ok(parse(field.as_bytes()))
}

/// The scheme ends where its characters do, whatever follows, and spaces around the value count for nothing (HTTP/2 passes
/// them on): an application that is less strict must not find a token where this function finds another scheme.
fn parse(field: &[u8]) -> Credential<'_> {
    let field = field.trim_ascii();
    let end = field.iter().position(|byte| !is_scheme(*byte)).unwrap_or(field.len());
    let (scheme, rest) = field.split_at(end);
    if scheme.is_empty() && !rest.is_empty() {
        return Credential::Malformed;
    }
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Credential::Absent;
    }
    // Spaces alone stand between scheme and token (RFC 9110, section 11.4).
    let begin = rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len());
    let (spaces, token) = rest.split_at(begin);
    match std::str::from_utf8(token) {
        Ok(text) if !spaces.is_empty() && !text.is_empty() && token.iter().all(|byte| is_token68(*byte)) => {
            Credential::Bearer(text)
        }
        _ => Credential::Malformed,
    }
}

/// The characters of `auth-scheme`, a token (RFC 9110, sections 5.6.2 and 11.1).
fn is_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The characters of `b64token` (RFC 6750, section 2.1).
fn is_token68(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_bearer_token() {
        for (field, wanted) in [
            ("Bearer a.b.c", Credential::Bearer("a.b.c")),
            ("bEARER  a.b.c ", Credential::Bearer("a.b.c")),
            ("Bearer", Credential::Malformed),
            ("Bearer ", Credential::Malformed),
            ("Bearer\ta.b.c", Credential::Malformed),
            ("Bearer \ta.b.c", Credential::Malformed),
            ("Bearer a b", Credential::Malformed),
            ("Bearer a,b", Credential::Malformed),
            ("Basic YTpi", Credential::Absent),
            ("\"Bearer\" a.b.c", Credential::Malformed),
            ("Bearerx a", Credential::Absent),
            ("", Credential::Absent),
            // HTTP/2 keeps spaces around a value, applications trim them
            (" Bearer a.b.c", Credential::Bearer("a.b.c")),
            ("\tBearer a.b.c\t", Credential::Bearer("a.b.c")),
            ("  ", Credential::Absent),
            // less strict applications find a token in these
            ("Bearer:a.b.c", Credential::Malformed),
            ("Bearer=a.b.c", Credential::Malformed),
            ("Bearer,a.b.c", Credential::Malformed),
            ("Bearer\"a.b.c\"", Credential::Malformed),
            ("Bearer/a.b.c", Credential::Malformed),
            ("Bearer-a.b.c", Credential::Absent),
        ] {
            assert_eq!(parse(field.as_bytes()), wanted, "{field}");
        }
        assert_eq!(parse(b"Bearer\xa0a.b.c"), Credential::Malformed, "Python splits at a no-break space");
    }
}
