//! URLs of providers: https, a host that means one thing, and nothing that a request does not carry.

use crate::request::Host;
use http::Uri;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest URL in bytes; those of providers stay below 200.
const MAX_LENGTH: usize = 2048;

/// An absolute `https:` or `http:` URL (RFC 9110, section 4.2) without user information and fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpUrl {
    secure: bool,
    /// In lower case, without final dot; an IPv6 literal in its brackets.
    host: String,
    port: u16,
    authority: String,
    target: String,
}

/// Why a text is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Not an absolute URL in ASCII, of another scheme, or longer than any is.
    #[error("it is no absolute `https:` URL")]
    Malformed,
    /// Plaintext: whoever is on the way could give his own keys.
    #[error("it is not https")]
    NotHttps,
    /// A user, and perhaps a password.
    #[error("it holds user information")]
    UserInfo,
    /// A fragment, which no request carries.
    #[error("it holds a fragment")]
    Fragment,
    /// Not a host name or an address with an optional port.
    #[error("its host is no host name or address")]
    Host,
    /// A number that some resolvers take for an address (`127.1`, `0x7f000001`).
    #[error("its host is a number that is no address in full")]
    Number,
}

impl HttpUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// See [`UrlFault`]. `http:` is read too: ask [`is_secure`](Self::is_secure).
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        if text.len() > MAX_LENGTH || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlFault::Malformed);
        }
        if text.contains('#') {
            return Err(UrlFault::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| UrlFault::Malformed)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(UrlFault::Malformed),
        };
        let authority = uri.authority().ok_or(UrlFault::Malformed)?.as_str();
        if authority.contains('@') {
            return Err(UrlFault::UserInfo);
        }
        let host = Host::parse(authority).map_err(|_| UrlFault::Host)?;
        if ends_in_a_number(host.name()) && host.name().parse::<Ipv4Addr>().is_err() {
            return Err(UrlFault::Number);
        }
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { secure, host: host.name().to_owned(), port, authority: host.as_str().to_owned(), target })
    }

    /// As [`parse`](Self::parse), and `http:` only for this machine where `loopback_http` lets it.
    ///
    /// # Errors
    /// See [`UrlFault`].
    pub fn parse_secure(text: &str, loopback_http: bool) -> Result<Self, UrlFault> {
        let url = Self::parse(text)?;
        if url.secure || (loopback_http && url.is_loopback()) { Ok(url) } else { Err(UrlFault::NotHttps) }
    }

    /// Whether it is `https:`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether the host is `localhost` or a loopback address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.address().is_some_and(|address| address.to_canonical().is_loopback())
    }

    /// The host in lower case, without final dot; an IPv6 literal without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The address, where the host is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        let six = || self.host().parse::<Ipv6Addr>().ok().filter(|_| self.host.starts_with('['));
        self.host.parse::<Ipv4Addr>().map(IpAddr::V4).ok().or_else(|| six().map(IpAddr::V6))
    }

    /// The port, the scheme's own where none is written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as the Host field carries them.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whether scheme, host and port are the same (RFC 6454, section 5).
    #[must_use]
    pub fn is_same_origin(&self, other: &Self) -> bool {
        (self.secure, &self.host, self.port) == (other.secure, &other.host, other.port)
    }

    /// The URL that a reference in an answer to this one means (RFC 9110, section 10.2.2). Dot segments stay: the server that
    /// wrote them reads them.
    ///
    /// # Errors
    /// See [`UrlFault`].
    pub fn join(&self, reference: &str) -> Result<Self, UrlFault> {
        let scheme = if self.secure { "https" } else { "http" };
        let origin = format!("{scheme}://{}", self.authority);
        let path = self.target.split('?').next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_absolute = reference.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'));
        match reference.chars().next() {
            _ if is_absolute => Self::parse(reference),
            _ if reference.starts_with("//") => Self::parse(&format!("{scheme}:{reference}")),
            Some('/') => Self::parse(&format!("{origin}{reference}")),
            Some('?') => Self::parse(&format!("{origin}{path}{reference}")),
            _ => Self::parse(&format!("{origin}{folder}/{reference}")),
        }
    }
}

/// Without the query: some put secrets there.
impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.target.split('?').next().unwrap_or_default())
    }
}

/// As browsers tell numbers from names (WHATWG URL, "ends in a number"): resolvers read `127.1` and `0x7f.1` as addresses.
fn ends_in_a_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    !last.is_empty() && (last.bytes().all(|byte| byte.is_ascii_digit()) || hexadecimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_https_and_name_one_host() {
        for (text, wanted) in [
            ("https://login.example.com", Ok("https://login.example.com/")),
            ("https://Login.Example.com./realms/a", Ok("https://login.example.com/realms/a")),
            ("HTTPS://a:8443/x?y=z", Ok("https://a:8443/x")),
            ("https://a?y", Ok("https://a/")),
            ("https://10.0.0.1/", Ok("https://10.0.0.1/")),
            ("https://[fd00::1]:1/", Ok("https://[fd00::1]:1/")),
            ("http://localhost:1/a", Ok("http://localhost:1/a")),
            ("http://127.0.0.1/a", Ok("http://127.0.0.1/a")),
            ("http://[::1]/a", Ok("http://[::1]/a")),
            ("http://a/", Err(UrlFault::NotHttps)),
            ("http://localhost.example.com/", Err(UrlFault::NotHttps)),
            ("ftp://a/", Err(UrlFault::Malformed)),
            ("a/b", Err(UrlFault::Malformed)),
            ("/b", Err(UrlFault::Malformed)),
            ("accounts.google.com", Err(UrlFault::Malformed)),
            ("", Err(UrlFault::Malformed)),
            ("https:///a", Err(UrlFault::Malformed)),
            ("https://a b", Err(UrlFault::Malformed)),
            ("https://a/é", Err(UrlFault::Malformed)),
            ("https://u@a/", Err(UrlFault::UserInfo)),
            ("https://u:p@a/", Err(UrlFault::UserInfo)),
            ("https://a/#b", Err(UrlFault::Fragment)),
            ("https://a!b/", Err(UrlFault::Host)),
            ("https://a:99999/", Err(UrlFault::Host)),
            ("https://127.1/", Err(UrlFault::Number)),
            ("https://2130706433/", Err(UrlFault::Number)),
            ("https://0x7f000001/", Err(UrlFault::Number)),
            ("https://a.0X7f/", Err(UrlFault::Number)),
            ("https://1.2.3.4.5/", Err(UrlFault::Number)),
            ("https://127.0.0.01/", Err(UrlFault::Number)),
        ] {
            let found = HttpUrl::parse_secure(text, true).map(|url| url.to_string());
            assert_eq!(found, wanted.map(str::to_owned), "{text}");
        }
        assert_eq!(HttpUrl::parse_secure("http://localhost/", false), Err(UrlFault::NotHttps));
        assert_eq!(HttpUrl::parse(&format!("https://a/{}", "a".repeat(MAX_LENGTH))).unwrap_err(), UrlFault::Malformed);
    }

    #[test]
    fn parts_are_those_of_a_request() {
        let url = HttpUrl::parse("https://[FD00::1]/a?b=c").unwrap();
        assert_eq!((url.host(), url.port(), url.target()), ("fd00::1", 443, "/a?b=c"));
        assert_eq!((url.authority(), url.address()), ("[fd00::1]", "fd00::1".parse().ok()));
        let url = HttpUrl::parse("http://a:81?b").unwrap();
        assert_eq!((url.host(), url.port(), url.target(), url.address()), ("a", 81, "/?b", None));
    }

    #[test]
    fn references_are_resolved() {
        let base = HttpUrl::parse("https://a:8443/x/y?q").unwrap();
        for (reference, wanted, same) in [
            ("/k", "https://a:8443/k", true),
            ("k", "https://a:8443/x/k", true),
            ("?k", "https://a:8443/x/y", true),
            ("", "https://a:8443/x/", true),
            ("https://a:8443/k", "https://a:8443/k", true),
            ("https://a/k", "https://a/k", false),
            ("http://a:8443/k", "http://a:8443/k", false),
            ("//b:8443/k", "https://b:8443/k", false),
        ] {
            let joined = base.join(reference).unwrap();
            assert_eq!((joined.to_string().as_str(), joined.is_same_origin(&base)), (wanted, same), "{reference}");
        }
        assert_eq!(base.join("?k").unwrap().target(), "/x/y?k");
        assert_eq!(base.join("file:///etc/passwd"), Err(UrlFault::Malformed));
        let explicit = HttpUrl::parse("https://a:443/").unwrap();
        assert!(explicit.is_same_origin(&HttpUrl::parse("https://a/b").unwrap()));
    }
}
