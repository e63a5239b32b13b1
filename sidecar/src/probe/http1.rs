//! A GET as the kubelet would send it.

use super::connect;
use crate::limits::{LINK_FIELDS, PROBE_BUFFER};
use crate::tls::provider;
use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderMap, USER_AGENT};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::Empty;
use hyper::client::conn::http1::Builder;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

pub(super) async fn ask(tls: bool, port: u16, path: &str, headers: &[(String, String)]) -> Option<()> {
    let stream = connect(port).await?;
    let request = request(port, path, headers)?;
    if tls {
        let name = ServerName::try_from("localhost").ok()?;
        let stream = TlsConnector::from(Arc::new(believes_anybody()?)).connect(name, stream).await.ok()?;
        send(TokioIo::new(stream), request).await
    } else {
        send(TokioIo::new(stream), request).await
    }
}

fn request(port: u16, path: &str, headers: &[(String, String)]) -> Option<Request<Empty<Bytes>>> {
    let mut fields = HeaderMap::new();
    for (name, value) in headers {
        fields.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?);
    }
    let mut default = |name: HeaderName, value: &str| -> Option<()> {
        if !fields.contains_key(&name) {
            fields.insert(name, HeaderValue::from_str(value).ok()?);
        }
        Some(())
    };
    default(HOST, &format!("127.0.0.1:{port}"))?;
    // Applications tell probes by it.
    default(USER_AGENT, "kube-probe/doorward")?;
    default(ACCEPT, "*/*")?;
    fields.insert(CONNECTION, HeaderValue::from_static("close"));
    let mut request = Request::get(path).body(Empty::new()).ok()?;
    *request.headers_mut() = fields;
    Some(request)
}

async fn send(io: impl Read + Write + Unpin + Send + 'static, request: Request<Empty<Bytes>>) -> Option<()> {
    let mut builder = Builder::new();
    builder.max_buf_size(PROBE_BUFFER).max_headers(LINK_FIELDS);
    let (mut sender, connection) = builder.handshake(io).await.ok()?;
    // The connection ends with the probe: the body is nobody's business.
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let status = sender.send_request(request).await.ok()?.status().as_u16();
    (200..400).contains(&status).then_some(())
}

/// As the kubelet does, the certificate is not looked at: the application is in the same pod.
fn believes_anybody() -> Option<ClientConfig> {
    let provider = provider();
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().ok()?;
    let mut config =
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(config)
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
