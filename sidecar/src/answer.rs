//! From a reason to an answer: problem documents (RFC 9457) and their gRPC form. No answer of ours is made elsewhere.

use crate::body::Outgoing;
use crate::connection::Turn;
use crate::limits::RETRY_AFTER;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER as RETRY_AFTER_FIELD,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, Response, StatusCode};
use policy::decide::{Own, Refused};
use policy::forward::names::X_REQUEST_ID;
use policy::reason::{BadRequest, Reason};
use serde::Serialize;

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Why a request is not forwarded, or has no answer of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) challenge: Option<String>,
}

impl Refusal {
    pub(crate) fn of(refused: Refused) -> Self {
        Self { reason: refused.reason(), challenge: refused.challenge() }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, challenge: None }
    }
}

/// An answer of the proxy itself: the metadata document, or to a preflight.
#[derive(Debug)]
pub(crate) struct OwnAnswer {
    status: u16,
    fields: HeaderMap,
    body: Bytes,
    /// Whether its fields tell browsers all that they ask.
    pub(crate) is_preflight: bool,
}

impl From<Own<'_>> for OwnAnswer {
    fn from(own: Own) -> Self {
        let status = own.status();
        match own {
            Own::Preflight(fields) => Self { status, fields, body: Bytes::new(), is_preflight: true },
            Own::Metadata(document) => {
                let fields = HeaderMap::from_iter([(CONTENT_TYPE, JSON)]);
                let body = Bytes::copy_from_slice(document.as_bytes());
                Self { status, fields, body, is_preflight: false }
            }
        }
    }
}

/// Answers for the proxy itself.
pub(crate) fn own(own: OwnAnswer, request_id: &str, turn: Turn) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::ours(own.body, turn));
    *response.status_mut() = StatusCode::from_u16(own.status).unwrap_or(StatusCode::NO_CONTENT);
    *response.headers_mut() = own.fields;
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

/// Tells an HTTP/1 caller that its connection ends with this answer; HTTP/2 has a frame for that.
pub(crate) fn end_connection(response: &mut Response<Outgoing>, is_h2: bool) {
    if !is_h2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// What of a request shapes its refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Whether it is a gRPC call, whose clients read nothing but trailers.
    pub(crate) grpc: bool,
    /// Whether it came over HTTP/2, which has no `Connection` field.
    pub(crate) is_h2: bool,
}

impl Asked {
    pub(crate) fn by(headers: &HeaderMap, is_h2: bool) -> Self {
        let grpc = headers.get(CONTENT_TYPE).is_some_and(|value| is_grpc(value.as_bytes()));
        Self { grpc, is_h2 }
    }

    /// Whether the caller looks into the trailers for how its call ended; over HTTP/1 it does not get any from us.
    pub(crate) fn reads_trailers(self) -> bool {
        self.grpc && self.is_h2
    }
}

fn is_grpc(content_type: &[u8]) -> bool {
    let Some((head, rest)) = content_type.split_at_checked(GRPC.len()) else { return false };
    head.eq_ignore_ascii_case(GRPC.as_bytes()) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Whether the connection cannot go on after this refusal: what follows on it is unread, or not wanted at all. A stream of
/// HTTP/2 ends without its connection.
pub(crate) fn ends_connection(reason: Reason, is_h2: bool) -> bool {
    let is_unread =
        matches!(reason, Reason::BodyTooLarge | Reason::RequestTimeout | Reason::BadRequest(BadRequest::Framing));
    reason == Reason::TlsMode || (is_unread && !is_h2)
}

/// The answer to a request that is refused.
pub(crate) fn refuse(refusal: &Refusal, asked: Asked, request_id: &str, turn: Turn) -> Response<Outgoing> {
    let Refusal { reason, challenge } = refusal;
    let body = if asked.grpc { Bytes::new() } else { problem(*reason, Some(request_id)) };
    let length = body.len();
    let mut response = Response::new(Outgoing::ours(body, turn));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if asked.grpc {
        headers.insert(CONTENT_TYPE, GRPC);
        headers.extend(grpc_trailers(*reason));
    } else {
        headers.insert(CONTENT_TYPE, PROBLEM);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let text = |text: &str| HeaderValue::from_str(text).ok();
    let optional = [
        (X_REQUEST_ID, text(request_id)),
        (WWW_AUTHENTICATE, challenge.as_deref().and_then(text)),
        (RETRY_AFTER_FIELD, (reason.status() == 503).then_some(HeaderValue::from_static(RETRY_AFTER))),
        (CONNECTION, (ends_connection(*reason, false) && !asked.is_h2).then_some(HeaderValue::from_static("close"))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    if !asked.grpc {
        *response.status_mut() = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::FORBIDDEN);
    }
    response
}

/// The fixed answer to plaintext, as bytes: nothing of the request was read.
pub(crate) fn plaintext() -> String {
    let body = problem(Reason::Plaintext, None);
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\nconnection: close";
    format!("{head}\r\ncontent-length: {}\r\n\r\n{}", body.len(), String::from_utf8_lossy(&body))
}

/// A problem document: nothing internal, never a value that a caller sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

fn problem(reason: Reason, request_id: Option<&str>) -> Bytes {
    let document = Problem {
        r#type: format!("urn:doorward:problem:{}", reason.code()),
        title: reason.title(),
        status: reason.status(),
        code: reason.code(),
        detail: reason.detail(),
        request_id,
    };
    // Texts and a number: there is nothing that could fail, and an empty body would still refuse.
    serde_json::to_vec(&document).unwrap_or_default().into()
}

/// How a gRPC call ends that had been answered already (gRPC over HTTP/2, "Trailers").
pub(crate) fn grpc_trailers(reason: Reason) -> HeaderMap {
    HeaderMap::from_iter([
        (GRPC_STATUS, HeaderValue::from_static(grpc_status(reason))),
        (GRPC_MESSAGE, HeaderValue::from_static(reason.code())),
    ])
}

/// The status of the table of answers that fits (gRPC, statuscodes.md).
fn grpc_status(reason: Reason) -> &'static str {
    match reason.status() {
        400 | 417 => "3",
        408 | 504 => "4",
        404 => "5",
        413 | 431 => "8",
        502 | 503 => "14",
        401 => "16",
        _ => "7",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for (text, wanted) in [
            ("application/grpc", true),
            ("Application/gRPC+proto", true),
            ("application/grpc-web", false),
            ("application/grpc; x", true),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(text.as_bytes()), wanted, "{text}");
        }
    }

    /// The table of answers, its gRPC column.
    #[test]
    fn every_reason_has_a_status_that_grpc_clients_know() {
        use Reason::{AppReset, AppTimeout, AppUnreachable, BodyTooLarge, CallerNotAllowed, CertificateBinding};
        use Reason::{
            CertificateMissing, ClaimMismatch, ClientNotAllowed, ConfigInvalid, Expectation, HeadersTooLarge,
        };
        use Reason::{
            InsufficientScope, IpDenied, IssuerNotAllowed, KeysUnavailable, LoginTooOld, NoRule, NotConfigured,
        };
        use Reason::{NotFound, PathAlias, PathCase, PathParamMismatch, RequestTimeout, RoleMissing, TlsMode};
        use Reason::{TokenInvalid, TokenMissing};
        use policy::principal::Attribute;
        use policy::reason::TokenFault;
        for (reasons, status) in [
            (&[Reason::BadRequest(BadRequest::Host), Expectation][..], "3"),
            (&[TokenMissing, TokenInvalid(TokenFault::TokenExpired), LoginTooOld], "16"),
            (&[CertificateMissing, TlsMode, InsufficientScope, IssuerNotAllowed, ClientNotAllowed], "7"),
            (&[CallerNotAllowed, CertificateBinding, PathParamMismatch(Attribute::Subject), RoleMissing], "7"),
            (&[ClaimMismatch, IpDenied, NoRule, PathCase, PathAlias], "7"),
            (&[BodyTooLarge, HeadersTooLarge], "8"),
            (&[RequestTimeout, AppTimeout], "4"),
            (&[NotFound], "5"),
            (&[KeysUnavailable, NotConfigured, ConfigInvalid, AppUnreachable, AppReset], "14"),
        ] {
            for reason in reasons {
                let trailers = grpc_trailers(*reason);
                assert_eq!(
                    (trailers[GRPC_STATUS].as_bytes(), trailers[GRPC_MESSAGE].as_bytes()),
                    (status.as_bytes(), reason.code().as_bytes())
                );
            }
        }
    }

    #[test]
    fn documents_hold_the_documented_members_in_order() {
        let text = String::from_utf8(problem(Reason::BadRequest(BadRequest::DotSegment), Some("7")).to_vec()).unwrap();
        assert_eq!(
            text,
            r#"{"type":"urn:doorward:problem:bad_request","title":"The request is ambiguous or malformed","status":400,"code":"bad_request","detail":"dot_segment","requestId":"7"}"#
        );
        assert!(!String::from_utf8(problem(Reason::NoRule, None).to_vec()).unwrap().contains("detail"));
    }

    #[test]
    fn the_plaintext_answer_counts_its_own_bytes() {
        let text = plaintext();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())) && body.contains("\"code\":\"plaintext\""));
    }
}
