//! `grpc.health.v1.Health/Check` (gRPC Health Checking Protocol) over HTTP/2 by prior knowledge. The two messages have one
//! field each, so they are written and read here by hand (Protocol Buffers, encoding).

use super::connect;
use crate::limits::{H2_FRAME, H2_STREAM_WINDOW, PROBE_ANSWER, PROBE_BUFFER};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

/// `HealthCheckResponse { status: SERVING }`: field 1, varint 1.
const SERVING: &[u8] = &[0x08, 0x01];

pub(super) async fn ask(port: u16, service: &str) -> Option<()> {
    let stream = connect(port).await?;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_STREAM_WINDOW)
        .max_frame_size(H2_FRAME)
        .max_header_list_size(u32::try_from(PROBE_BUFFER).unwrap_or(u32::MAX))
        .max_concurrent_streams(0);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.ok()?;
    // The connection ends with the probe.
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let response = sender.send_request(request(port, service)?).await.ok()?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, PROBE_ANSWER).collect().await.ok()?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let is_fine = |fields: &HeaderMap| fields.get("grpc-status").is_none_or(|status| status == "0");
    let is_answered = head.status == StatusCode::OK && is_fine(&head.headers) && is_fine(&trailers);
    (is_answered && says_serving(&body.to_bytes())).then_some(())
}

fn request(port: u16, service: &str) -> Option<Request<Full<Bytes>>> {
    let request = Request::post(format!("http://127.0.0.1:{port}/grpc.health.v1.Health/Check"));
    let request = request.header(CONTENT_TYPE, "application/grpc").header(TE, "trailers");
    request.body(Full::new(framed(&check(service)).into())).ok()
}

/// `HealthCheckRequest { service }`: field 1, its length, its bytes; the default is not written.
fn check(service: &str) -> Vec<u8> {
    if service.is_empty() {
        return Vec::new();
    }
    let mut message = vec![0x0A];
    let mut length = service.len();
    while length >= 0x80 {
        message.push(u8::try_from(length & 0x7F).unwrap_or(0) | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap_or(0));
    message.extend_from_slice(service.as_bytes());
    message
}

/// A message that is not compressed, with its length before it (gRPC over HTTP2, Length-Prefixed-Message).
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0][..], &length, message].concat()
}

fn says_serving(body: &[u8]) -> bool {
    body == framed(SERVING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_what_the_protocol_says() {
        assert_eq!(framed(&check("")), [0, 0, 0, 0, 0]);
        assert_eq!(framed(&check("ab")), [0, 0, 0, 0, 4, 0x0A, 2, b'a', b'b']);
        let long = check(&"a".repeat(300));
        assert_eq!((&long[..3], long.len()), (&[0x0A, 0xAC, 0x02][..], 303));
        assert!(says_serving(&[0, 0, 0, 0, 2, 8, 1]));
        for other in [&[0, 0, 0, 0, 2, 8, 2][..], &[0, 0, 0, 0, 0], &[1, 0, 0, 0, 2, 8, 1], &[], &[0, 0, 0, 0, 2, 8]] {
            assert!(!says_serving(other), "{other:?}");
        }
    }
}
