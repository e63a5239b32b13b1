//! What every test stands on.

mod app;
mod client;
mod fixture;
pub(crate) mod frames;
mod h2_app;
pub(crate) mod namespace;
pub(crate) mod operator;
mod pki;
mod tokens;

pub(crate) use app::{App, RawApp};
pub(crate) use client::{Client, read_all};
pub(crate) use fixture::{Fixture, body, eventually, snapshot};
pub(crate) use h2_app::{H2App, Script};
pub(crate) use pki::{Ca, Identity, Usage};
pub(crate) use tokens::Signer;

/// PEM of DER (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        base64::engine::general_purpose::STANDARD.encode(der)
    )
}

/// A token of a service account; nobody here looks at more than its end.
pub(crate) fn token_until(end: u64) -> String {
    use base64::Engine;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{end}}}"));
    format!("e30.{claims}.c2ln")
}

/// Status and text of an answer to a plain GET.
pub(crate) async fn plain_get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::AsyncWriteExt;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
