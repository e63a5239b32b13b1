//! What the head of an answer says.

use super::FetchError;
use http::{HeaderMap, StatusCode, header};
use policy::egress::UrlFault;
use std::time::Duration;

/// Where the answer sends us to, where it does (RFC 9110, section 15.4).
pub(super) fn redirect(status: StatusCode, headers: &HeaderMap) -> Result<Option<&str>, FetchError> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    location.map(Some).ok_or(FetchError::BadRedirect(UrlFault::Malformed))
}

/// Whether the body may be the document. Its type is not insisted on: many serve JSON as text, and what it is shows when it
/// is parsed; a page for people only gets a better word.
pub(super) fn check(status: StatusCode, headers: &HeaderMap) -> Result<(), FetchError> {
    if status != StatusCode::OK {
        return Err(FetchError::Status(status.as_u16()));
    }
    let is = |name, text: &str| {
        headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(text.as_bytes()))
    };
    if headers.contains_key(header::CONTENT_ENCODING) && !is(header::CONTENT_ENCODING, "identity") {
        return Err(FetchError::Encoded);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("text/html") { Err(FetchError::Html) } else { Ok(()) }
}

/// How long the answer may be used (RFC 9111, section 5.2.2); nothing where it must be asked for again at once.
pub(super) fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let fields = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|field| field.to_str().ok());
    let mut found = None;
    for directive in fields.flat_map(|field| field.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let seconds = || value.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            "max-age" => found = found.or_else(seconds),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn ages_are_read_leniently() {
        for (value, wanted) in [
            ("max-age=300", Some(300)),
            ("public, Max-Age = 60 , must-revalidate", Some(60)),
            ("max-age=\"60\"", Some(60)),
            ("max-age=60, max-age=90", Some(60)),
            ("max-age=60, no-cache", Some(0)),
            ("no-store", Some(0)),
            ("max-age=-1", None),
            ("max-age", None),
            ("s-maxage=10", None),
            ("", None),
        ] {
            let found = max_age(&headers(&[(header::CACHE_CONTROL, value)]));
            assert_eq!(found, wanted.map(Duration::from_secs), "{value}");
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }

    #[test]
    fn only_what_can_be_the_document_is_read() {
        let verdict = |status: u16, fields: &[(HeaderName, &'static str)]| {
            check(StatusCode::from_u16(status).unwrap(), &headers(fields)).map_err(|error| error.to_string())
        };
        let kind = |value| [(header::CONTENT_TYPE, value)];
        assert_eq!(verdict(200, &[]), Ok(()));
        assert_eq!(verdict(200, &kind("application/jwk-set+json; charset=utf-8")), Ok(()));
        assert_eq!(verdict(200, &kind("text/plain")), Ok(()));
        assert!(verdict(200, &kind("Text/HTML; charset=utf-8")).unwrap_err().contains("HTML"));
        assert!(verdict(204, &[]).unwrap_err().contains("204"));
        assert!(verdict(500, &[]).unwrap_err().contains("500"));
        assert!(verdict(200, &[(header::CONTENT_ENCODING, "gzip")]).unwrap_err().contains("compressed"));
        assert_eq!(verdict(200, &[(header::CONTENT_ENCODING, "Identity")]), Ok(()));
    }

    #[test]
    fn redirects_need_a_place() {
        let redirected = |status: u16, fields: &[(HeaderName, &'static str)]| {
            redirect(StatusCode::from_u16(status).unwrap(), &headers(fields)).map(|to| to.map(str::to_owned)).ok()
        };
        assert_eq!(redirected(302, &[(header::LOCATION, "/a")]), Some(Some("/a".to_owned())));
        assert_eq!(redirected(302, &[]), None);
        assert_eq!(redirected(304, &[(header::LOCATION, "/a")]), Some(None));
        assert_eq!(redirected(200, &[(header::LOCATION, "/a")]), Some(None));
    }
}
