//! Where the body ends, and what the client expects before it sends one (RFC 9112, section 6; RFC 9110, 10.1.1).

use super::RequestHead;
use crate::reason::BadRequest;
use http::{HeaderMap, Version, header};

/// The declared length of the body, where the head declares one.
pub(super) fn content_length(head: &RequestHead) -> Result<Option<u64>, BadRequest> {
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(BadRequest::Framing),
        (Some(first), None) => {
            let all_equal = lengths.all(|other| other == first);
            parse_length(first.as_bytes()).filter(|_| all_equal).map(Some).ok_or(BadRequest::Framing)
        }
        (None, Some(coding)) => {
            let alone = codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
            if alone && head.version == Version::HTTP_11 { Ok(None) } else { Err(BadRequest::Framing) }
        }
    }
}

fn parse_length(digits: &[u8]) -> Option<u64> {
    // `u64::from_str` takes a leading plus, RFC 9110 does not.
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

/// Whether nothing is expected, or exactly `100-continue`.
pub(super) fn expectation_is_usual(headers: &HeaderMap) -> bool {
    headers.get_all(header::EXPECT).iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue, Method, Uri};

    fn length(version: Version, fields: &[(&'static str, &'static str)]) -> Result<Option<u64>, BadRequest> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        content_length(&RequestHead { method: &Method::POST, uri: &Uri::default(), version, headers: &headers })
    }

    #[test]
    fn one_framing_or_none() {
        let v11 = Version::HTTP_11;
        assert_eq!(length(v11, &[]), Ok(None));
        assert_eq!(length(v11, &[("content-length", "7")]), Ok(Some(7)));
        assert_eq!(length(v11, &[("content-length", "7"), ("content-length", "7")]), Ok(Some(7)));
        assert_eq!(length(v11, &[("transfer-encoding", "Chunked")]), Ok(None));
        for fields in [
            &[("content-length", "7"), ("content-length", "8")][..],
            &[("content-length", "7"), ("transfer-encoding", "chunked")],
            &[("content-length", "+7")],
            &[("content-length", "")],
            &[("content-length", "7, 7")],
            &[("content-length", "99999999999999999999")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "identity")],
        ] {
            assert_eq!(length(v11, fields), Err(BadRequest::Framing), "{fields:?}");
        }
        assert_eq!(length(Version::HTTP_10, &[("transfer-encoding", "chunked")]), Err(BadRequest::Framing));
    }
}
