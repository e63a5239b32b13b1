//! Which header fields belong to whom.
//!
//! Many applications cannot tell `X-User` from `X_User` (CGI, WSGI and their heirs write both as `HTTP_X_USER`), so names are
//! compared after every character but letters and digits is mapped to `-`, without case.

use http::{HeaderName, header};

/// The address of the client.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme that the client used.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host that the client asked for.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The port that the client asked for, where a trusted proxy tells it.
pub const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
/// The client certificate.
pub const X_FORWARDED_CLIENT_CERT: &str = "x-forwarded-client-cert";
/// The identifier of the request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest name of an identity header, in bytes.
pub const MAX_NAME: usize = 64;

/// Why a field cannot carry an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReservedName {
    /// Not a field name in lower case, or too long.
    #[error("not a field name of at most {MAX_NAME} letters, digits and `-`")]
    NotAName,
    /// It has a meaning in HTTP, or is set or removed by the proxy.
    #[error("this field has a meaning in HTTP or belongs to the proxy")]
    Reserved,
    /// Two names that an application could not tell apart.
    #[error("another header has the same name, case and punctuation apart")]
    Repeated,
}

/// Whether a field may carry an identity.
///
/// # Errors
/// Where it is no name of ours to give.
pub fn check(name: &str) -> Result<(), ReservedName> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
        return Err(ReservedName::NotAName);
    }
    let reserved = matches!(name, "host" | "authorization" | "cookie" | "set-cookie" | "expect")
        || name.starts_with("content-")
        || name.starts_with("x-doorward-")
        || is_hop_by_hop_name(name)
        || is_ours(name)
        || is_always_removed(name);
    if reserved { Err(ReservedName::Reserved) } else { Ok(()) }
}

/// The name as an application sees it that maps characters.
#[must_use]
pub fn mapped(name: &str) -> Box<str> {
    name.bytes().map(map_byte).map(char::from).collect::<String>().into()
}

/// Calls `look` with the mapped name, copied only where mapping changes it.
pub(crate) fn with_mapped(name: &str, look: impl Fn(&str) -> bool) -> bool {
    if name.bytes().all(|byte| map_byte(byte) == byte) { look(name) } else { look(&mapped(name)) }
}

fn map_byte(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

/// Fields that only the proxy sets.
pub(crate) fn is_ours(mapped: &str) -> bool {
    mapped.starts_with("x-forwarded-") || matches!(mapped, "forwarded" | "x-real-ip" | "x-request-id")
}

/// Fields by which some applications let a client change what was decided.
pub(crate) fn is_always_removed(mapped: &str) -> bool {
    mapped.starts_with("proxy-")
        || mapped.starts_with("x-doorward-")
        || matches!(
            mapped,
            "proxy"
                | "x-original-url"
                | "x-rewrite-url"
                | "x-http-method-override"
                | "x-http-method"
                | "x-method-override"
        )
}

/// Names that only look like those of fields that were decided on: CGI and its heirs take `Content_Length` for the length
/// of the body and `Proxy` for a setting (CVE-2016-5385).
pub(crate) fn is_look_alike(name: &str) -> bool {
    let meant = |mapped: &str| {
        matches!(mapped, "content-length" | "content-type" | "transfer-encoding" | "host" | "authorization" | "cookie")
    };
    name.bytes().any(|byte| map_byte(byte) != byte) && with_mapped(name, meant)
}

/// Fields for one hop only (RFC 9110, section 7.6.1).
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(*name, header::CONNECTION | header::TE | header::TRAILER | header::TRANSFER_ENCODING | header::UPGRADE)
        || is_hop_by_hop_name(name.as_str())
}

fn is_hop_by_hop_name(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "http2-settings")
}

/// Fields that a client cannot declare to be for one hop: the application would miss what was decided on.
pub(crate) fn outlives_connection(name: &HeaderName) -> bool {
    matches!(*name, header::HOST | header::CONTENT_LENGTH | header::AUTHORIZATION | header::COOKIE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names() {
        for name in [
            "host",
            "content-type",
            "connection",
            "x-forwarded-user",
            "forwarded",
            "x-real-ip",
            "proxy-x",
            "x-original-url",
            "x-doorward-a",
            "expect",
        ] {
            assert_eq!(check(name), Err(ReservedName::Reserved), "{name}");
        }
        for name in ["", "X-User", "x_user", ":path", "x user", &"a".repeat(65)] {
            assert_eq!(check(name), Err(ReservedName::NotAName), "{name}");
        }
        assert_eq!(check("x-user"), Ok(()));
    }

    #[test]
    fn what_only_looks_like_a_field_of_http() {
        for name in ["content_length", "transfer_encoding", "content.type"] {
            assert!(is_look_alike(name), "{name}");
        }
        for name in ["content-length", "contentlength", "x_content_length", "host"] {
            assert!(!is_look_alike(name), "{name}");
        }
        assert!(is_always_removed("proxy") && is_always_removed("x-doorward-x") && !is_always_removed("proxied"));
    }

    #[test]
    fn look_alikes_are_one_name() {
        for name in ["x-user", "x_user", "X-User", "x.user", "X_USER"] {
            assert!(with_mapped(name, |mapped| mapped == "x-user"), "{name}");
        }
        assert!(!with_mapped("xuser", |mapped| mapped == "x-user"));
    }
}
