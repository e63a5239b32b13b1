//! What a trusted proxy says about a request: its single valid fields are kept, everybody else's are not.

use super::names::{X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_REQUEST_ID};
use crate::permit::Permit;
use crate::request::Host;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The fields that are kept.
#[derive(Default)]
pub(super) struct Told {
    pub(super) proto: Option<HeaderValue>,
    pub(super) host: Option<HeaderValue>,
    pub(super) port: Option<HeaderValue>,
    pub(super) request_id: Option<HeaderValue>,
}

impl Told {
    /// Whether a field stays as the proxy sent it.
    pub(super) fn keeps(&self, name: &HeaderName) -> bool {
        let kept = [
            (X_FORWARDED_PROTO, &self.proto),
            (X_FORWARDED_HOST, &self.host),
            (X_FORWARDED_PORT, &self.port),
            (X_REQUEST_ID, &self.request_id),
        ];
        kept.iter().any(|(kept, value)| kept == name && value.is_some())
    }

    /// Reads the fields where the peer is a trusted proxy.
    pub(super) fn by_proxy(permit: &Permit, headers: &HeaderMap) -> Self {
        if !permit.client().by_proxy || permit.is_as_it_came() {
            return Self::default();
        }
        let single = |name: HeaderName, valid: fn(&str) -> bool| {
            let mut values = headers.get_all(name).iter();
            let value = values.next().filter(|_| values.next().is_none())?;
            value.to_str().is_ok_and(valid).then(|| value.clone())
        };
        Self {
            proto: single(X_FORWARDED_PROTO, |proto| proto == "https" || proto == "http"),
            host: single(X_FORWARDED_HOST, |host| Host::parse(host).is_ok()),
            port: single(X_FORWARDED_PORT, |port| {
                port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
            }),
            request_id: single(X_REQUEST_ID, is_request_id),
        }
    }
}

/// What is safe in any log: 1 to 64 letters, digits and hyphens.
fn is_request_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
