//! A small HTTPS client: one request a connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use cli::dev::DevCa;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// For one answer; providers under load take seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Talks to servers on this machine that one CA vouches for.
pub(crate) struct Client(Arc<ClientConfig>);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn trusting(ca: &DevCa) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(ca.der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Self(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    }

    pub(crate) fn get(&self, port: u16, target: &str, token: Option<&str>) -> Answer {
        self.send(port, "GET", target, token, ("", "")).unwrap()
    }

    /// A form, as the token endpoint takes it.
    pub(crate) fn post_form(&self, port: u16, target: &str, form: &str) -> Answer {
        self.send(port, "POST", target, None, ("application/x-www-form-urlencoded", form)).unwrap()
    }

    pub(crate) fn send(
        &self,
        port: u16,
        method: &str,
        target: &str,
        token: Option<&str>,
        (kind, body): (&str, &str),
    ) -> std::io::Result<Answer> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let connection = ClientConnection::new(Arc::clone(&self.0), "localhost".try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let kind = if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\ncontent-length: {}\r\n{kind}{authorization}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        stream.flush()?;
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            // Some servers close without saying so in TLS; what came is whole, or it is no JSON.
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(parse(&bytes)),
        }
    }
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {bytes:?}"));
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = &bytes[end + 4..];
    let body = if head.contains("transfer-encoding: chunked") { join(body) } else { body.to_vec() };
    Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
}

/// The chunks of a body as one (RFC 9112, section 7.1).
fn join(mut chunked: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = chunked.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&chunked[..end]).unwrap(), 16).unwrap();
        whole.extend_from_slice(&chunked[end + 2..end + 2 + length]);
        chunked = &chunked[end + 2 + length + 2..];
        if length == 0 {
            break;
        }
    }
    whole
}
