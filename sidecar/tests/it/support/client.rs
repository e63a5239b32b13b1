//! A caller over TLS: raw bytes, HTTP/1.1 and HTTP/2.

use super::Identity;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a test waits before it takes silence for failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    config: ClientConfig,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// `code` or `code/detail` of a problem document; every document is checked for what all must have.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["requestId"].as_str(), self.header("x-request-id"));
        assert!(problem["type"].is_string() && problem["title"].is_string());
        let code = problem["code"].as_str().unwrap().to_owned();
        problem["detail"].as_str().map(|detail| format!("{code}/{detail}")).unwrap_or(code)
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, trusted: &CertificateDer<'static>, identity: Option<&Identity>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            Some(identity) => {
                builder.with_client_auth_cert(vec![identity.certificate.clone()], identity.key()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        Self { address, config }
    }

    /// A client that sends this certificate, whatever it is, with signatures of another key.
    pub(crate) fn sending(mut self, certificate: CertificateDer<'static>, identity: &Identity) -> Self {
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&identity.key()).unwrap();
        let sent = rustls::sign::CertifiedKey::new(vec![certificate], key);
        self.config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(sent));
        self
    }

    pub(crate) fn with_versions(mut self, versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
        let provider = Arc::clone(self.config.crypto_provider());
        let resolver = Arc::clone(&self.config.client_auth_cert_resolver);
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(Arc::clone(self.config.crypto_provider()))))
            .with_client_cert_resolver(resolver);
        config.alpn_protocols.clone_from(&self.config.alpn_protocols);
        self.config = config;
        self
    }

    /// A TLS connection that offers this protocol.
    pub(crate) async fn connect(&self, protocol: Option<&[u8]>) -> io::Result<TlsStream<TcpStream>> {
        let mut config = self.config.clone();
        config.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
        let stream = TcpStream::connect(self.address).await?;
        // A handshake's end and the first request are two small packets: without this each connection costs 40 ms.
        stream.set_nodelay(true)?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// Whether both ends take each other: in TLS 1.3 a client learns with the first answer that its certificate is refused.
    pub(crate) async fn connects(&self) -> bool {
        let Ok(mut stream) = self.connect(Some(b"http/1.1")).await else { return false };
        stream.write_all(b"HEAD /nowhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.is_ok()
            && stream.read(&mut [0; 1]).await.is_ok_and(|count| count == 1)
    }

    /// Sends bytes on a new connection and reads until it is closed.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect(Some(b"http/1.1")).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        read_all(&mut stream).await
    }

    pub(crate) async fn send(&self, request: Request<Bytes>) -> Answer {
        let stream = self.connect(Some(b"http/1.1")).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        read(sender.send_request(request.map(Full::new)).await.unwrap()).await
    }

    pub(crate) async fn send_h2(&self, request: Request<Bytes>) -> hyper::Result<Answer> {
        let stream = self.connect(Some(b"h2")).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(read(sender.send_request(request.map(Full::new)).await?).await)
    }

    pub(crate) async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().uri(path).header("host", "orders.test");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.send(request.body(Bytes::new()).unwrap()).await
    }
}

pub(crate) async fn read(response: http::Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
}

/// Everything until the other end closes, in whatever way.
pub(crate) async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    let reading = async {
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            all.extend_from_slice(&chunk[..count]);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the connection is closed in time");
    String::from_utf8_lossy(&all).into_owned()
}

#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

mod anyone {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    impl ServerCertVerifier for super::Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer,
            _: &[CertificateDer],
            _: &ServerName,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
