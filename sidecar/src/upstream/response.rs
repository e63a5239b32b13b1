//! What of a response is for the hop between the application and us (RFC 9110, section 7.6.1).

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::time::Duration;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removes the fields for this hop; the caller's connection gets its own.
pub(super) fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> =
            options(headers).filter_map(|option| HeaderName::from_bytes(option).ok()).collect();
        for name in named.into_iter().filter(outlives) {
            headers.remove(name);
        }
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

/// The length of a body cannot be named away: it would change where the answer ends.
fn outlives(name: &HeaderName) -> bool {
    *name != http::header::CONTENT_LENGTH
}

/// How long the application keeps an idle connection (`Keep-Alive: timeout=5`), where it says so.
pub(super) fn keep_alive(headers: &HeaderMap) -> Option<Duration> {
    let field = headers.get(KEEP_ALIVE)?.to_str().ok()?;
    let timeout = field
        .split(',')
        .filter_map(|part| part.trim().split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"));
    timeout.and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok()).map(Duration::from_secs)
}

/// Whether the application agrees to the one change of protocol that it was asked for.
pub(super) fn agrees(response: &Response<Incoming>) -> bool {
    let protocol = response.headers().get(UPGRADE).map(HeaderValue::as_bytes);
    response.status() == StatusCode::SWITCHING_PROTOCOLS
        && protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

/// The head of an agreed change of protocol, and the application's side of it.
pub(super) fn switching(mut response: Response<Incoming>) -> (Response<()>, OnUpgrade) {
    let app_side = hyper::upgrade::on(&mut response);
    let (mut head, _) = response.into_parts();
    strip(&mut head.headers);
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    head.status = StatusCode::SWITCHING_PROTOCOLS;
    (Response::from_parts(head, ()), app_side)
}

fn options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn fields_for_one_hop_stay_there() {
        let mut map = headers(&[
            ("connection", "X-Secret , close,content-length"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "h2c"),
            ("content-length", "3"),
            ("x-kept", "1"),
        ]);
        strip(&mut map);
        assert_eq!(map, headers(&[("content-length", "3"), ("x-kept", "1")]));
    }

    #[test]
    fn keep_alive_is_honoured_where_it_can_be_read() {
        for (text, wanted) in [
            ("timeout=5", Some(5)),
            ("max=9, Timeout = 72", Some(72)),
            ("timeout=\"5\"", Some(5)),
            ("timeout", None),
            ("timeout=-1", None),
            ("max=3", None),
        ] {
            assert_eq!(keep_alive(&headers(&[("keep-alive", text)])), wanted.map(Duration::from_secs), "{text}");
        }
        assert_eq!(keep_alive(&HeaderMap::new()), None);
    }
}
