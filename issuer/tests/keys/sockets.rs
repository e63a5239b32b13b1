//! The machine's own network, once.

use super::network::{Authority, json, jwks};
use issuer::{Keys, Settings};
use policy::keys::KeySource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[tokio::test]
async fn keys_come_over_a_socket() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(authority.server("localhost"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let super::network::Reply::Bytes(bytes) = json(&jwks(&["a"])) else { panic!("a whole answer") };
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let source =
        KeySource::new("any".to_owned(), Some(format!("https://localhost:{port}/keys")), Some(authority.pem.clone()));
    let refused = Keys::new(Settings::default()).unwrap().fetch_once(&source).await.unwrap_err();
    assert_eq!(refused.code(), "AddressForbidden", "{refused}");
    let here = Settings { loopback: true, ..Settings::default() };
    let message = Keys::new(here).unwrap().fetch_once(&source).await.unwrap();
    assert!(message.jwks().unwrap().contains("\"a\""));
    let head = server.await.unwrap();
    assert!(head.starts_with("GET /keys HTTP/1.1\r\n"), "{head}");
    for field in [format!("host: localhost:{port}"), "accept-encoding: identity".to_owned()] {
        assert!(head.to_ascii_lowercase().contains(&field), "{head}");
    }
}
