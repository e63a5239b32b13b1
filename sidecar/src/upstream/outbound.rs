//! A request as the application receives it.

use crate::body::Upload;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Request, Version};
use hyper::body::Body;
use policy::forward::{self, Exchange, Trailers};
use policy::permit::Permit;
use policy::reason::{BadRequest, Reason};
use policy::wire::AppProtocol;

const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");

/// A request that may be sent. A permit is all that makes one.
pub(crate) struct Outbound {
    method: Method,
    target: Uri,
    headers: HeaderMap,
    upgrade: bool,
    protocol: AppProtocol,
    trailers: Option<Trailers>,
}

impl Outbound {
    /// # Errors
    /// Where the target that was decided on cannot be written; a canonical one always can.
    pub(crate) fn new(permit: &Permit, head: &Parts, exchange: &Exchange) -> Result<Self, Reason> {
        let target = target(permit, head)?;
        let mut headers = head.headers.clone();
        let protocol = permit.protocol();
        let upgrade = protocol == AppProtocol::Http1 && opens_websocket(head);
        let trailers = (protocol == AppProtocol::H2c).then(|| Trailers::of(permit));
        forward::rewrite(permit, &mut headers, exchange);
        if upgrade {
            // The one change of protocol that passes; both fields were removed with all that is for one hop.
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        Ok(Self { method: head.method.clone(), target, headers, upgrade, protocol, trailers })
    }

    pub(super) fn protocol(&self) -> AppProtocol {
        self.protocol
    }

    /// What of the request's trailers may pass, where they can.
    pub(crate) fn trailers(&self) -> Option<Trailers> {
        self.trailers.clone()
    }

    pub(super) fn wants_upgrade(&self) -> bool {
        self.upgrade
    }

    pub(super) fn into_request(mut self, upload: Upload) -> Request<Upload> {
        let version = match self.protocol {
            AppProtocol::Http1 => {
                // Said here for every method: hyper takes a GET of unknown length for one without a body.
                if !upload.is_end_stream() && !self.headers.contains_key(CONTENT_LENGTH) {
                    self.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
                }
                Version::HTTP_11
            }
            AppProtocol::H2c => self.name_authority(),
        };
        let mut request = Request::new(upload);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.target;
        *request.version_mut() = version;
        *request.headers_mut() = self.headers;
        request
    }
}

impl Outbound {
    /// HTTP/2 has the host in a pseudo-header (RFC 9113, section 8.3.1). What a policy in Audit lets pass may be no host: then
    /// it stays where it is, and the library writes the request as one that came over HTTP/1.
    fn name_authority(&mut self) -> Version {
        let host = self.headers.get(HOST).map(HeaderValue::as_bytes).and_then(|host| Authority::try_from(host).ok());
        let target = std::mem::take(&mut self.target);
        let whole = host.and_then(|host| {
            let mut parts = target.clone().into_parts();
            (parts.scheme, parts.authority) = (Some(Scheme::HTTP), Some(host));
            Uri::from_parts(parts).ok()
        });
        let version = if whole.is_some() { Version::HTTP_2 } else { Version::HTTP_11 };
        if whole.is_some() {
            self.headers.remove(HOST);
        }
        self.target = whole.unwrap_or(target);
        version
    }
}

/// The target that was decided on; taken over without a copy where it came so.
fn target(permit: &Permit, head: &Parts) -> Result<Uri, Reason> {
    let decided = permit.target();
    match head.uri.path_and_query() {
        // One that came without a path reads the same, and would be written as nothing.
        _ if decided == "/" => Ok(Uri::default()),
        Some(came) if came.as_str() == &*decided => Ok(Uri::from(came.clone())),
        _ => {
            let written = PathAndQuery::from_maybe_shared(Bytes::from(decided.into_owned()));
            written.map(Uri::from).map_err(|_| Reason::BadRequest(BadRequest::TargetForm))
        }
    }
}

/// Whether a request opens a WebSocket in every particular (RFC 6455, section 4.1).
fn opens_websocket(head: &Parts) -> bool {
    let headers = &head.headers;
    let only = |name: &HeaderName, wanted: &str| {
        let mut fields = headers.get_all(name).iter();
        fields.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
            && fields.next().is_none()
    };
    let options = headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    head.version == Version::HTTP_11
        && head.method == Method::GET
        && only(&UPGRADE, "websocket")
        && only(&VERSION, "13")
        && headers.contains_key(KEY)
        && options.map(<[u8]>::trim_ascii).any(|option| option.eq_ignore_ascii_case(b"upgrade"))
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_websocket_opening_is_one() {
        let whole = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
        ];
        let head = |fields: &[(&str, &str)], method: &str, version| {
            let mut builder = Request::builder().method(method).version(version);
            for (name, value) in fields {
                builder = builder.header(*name, *value);
            }
            builder.body(()).unwrap().into_parts().0
        };
        assert!(opens_websocket(&head(&whole, "GET", Version::HTTP_11)));
        assert!(!opens_websocket(&head(&whole, "POST", Version::HTTP_11)));
        assert!(!opens_websocket(&head(&whole, "GET", Version::HTTP_10)));
        assert!(!opens_websocket(&head(&whole, "GET", Version::HTTP_2)));
        for missing in 0..whole.len() {
            let fields: Vec<_> =
                whole.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, field)| *field).collect();
            assert!(!opens_websocket(&head(&fields, "GET", Version::HTTP_11)), "{missing}");
        }
        for extra in [("upgrade", "h2c"), ("content-length", "3"), ("transfer-encoding", "chunked")] {
            assert!(!opens_websocket(&head(&[&whole[..], &[extra]].concat(), "GET", Version::HTTP_11)), "{extra:?}");
        }
    }
}
