//! Requests to the operator: over TLS that its CA vouches for, with the token of the pod's service account.

mod address;
mod token;

pub use address::{AddressFault, OperatorAddress};
pub(crate) use token::TokenFile;

use crate::limits::{LINK_ANSWER, LINK_BUFFER, LINK_CONNECT, LINK_FIELDS};
use crate::tls::provider;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use token::Token;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How the operator is reached.
#[derive(Debug)]
pub(crate) struct Link {
    address: OperatorAddress,
    token: TokenFile,
    tls: ArcSwap<ClientConfig>,
}

/// A connection to the operator that takes one request after the other.
#[derive(Debug)]
pub(crate) struct Dialled(SendRequest<Full<Bytes>>);

/// Why a request to the operator has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the service-account token `{}` cannot be read", path.display())]
    Token { path: PathBuf, source: io::Error },
    #[error("`{}` holds no token", .0.display())]
    NoToken(PathBuf),
    #[error("no certificate vouches for the operator")]
    NoTrust,
    #[error("certificates that are to vouch for the operator cannot be used")]
    Trust(#[source] rustls::Error),
    #[error("the operator cannot be reached over TLS")]
    Connect(#[source] io::Error),
    #[error("the operator did not {what} within {} s", within.as_secs())]
    Slow { what: &'static str, within: Duration },
    #[error("talking to the operator failed")]
    Http(#[source] hyper::Error),
    #[error("the request cannot be written")]
    Request(#[source] http::Error),
    #[error("the operator answered {0}")]
    Status(StatusCode),
    #[error("the operator answered with more than {0} bytes, or broke off")]
    Body(usize),
}

impl Link {
    pub(crate) fn new(
        address: OperatorAddress,
        token: TokenFile,
        bundle: &[CertificateDer<'static>],
    ) -> Result<Self, LinkError> {
        Ok(Self { address, token, tls: ArcSwap::new(client_config(bundle)?) })
    }

    /// Believes these certificates, and no others, from the next connection on.
    pub(crate) fn trust(&self, bundle: &[CertificateDer<'static>]) -> Result<(), LinkError> {
        self.tls.store(client_config(bundle)?);
        Ok(())
    }

    /// The token as it is now: the kubelet replaces it.
    pub(crate) fn token(&self) -> Result<Token, LinkError> {
        self.token.read()
    }

    pub(crate) async fn dial(&self) -> Result<Dialled, LinkError> {
        let connecting = async {
            let stream = TcpStream::connect(self.address.host_and_port()).await?;
            // Without it the connection is only slower.
            let _ = stream.set_nodelay(true);
            TlsConnector::from(self.tls.load_full()).connect(self.address.server_name(), stream).await
        };
        let slow = |_| LinkError::Slow { what: "accept a connection", within: LINK_CONNECT };
        let stream = timeout(LINK_CONNECT, connecting).await.map_err(slow)?.map_err(LinkError::Connect)?;
        let mut builder = Builder::new();
        builder.max_buf_size(LINK_BUFFER).max_headers(LINK_FIELDS);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(LinkError::Http)?;
        // What ends the connection is seen by the request on it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Dialled(sender))
    }

    /// Sends a request and waits for the head of its answer, which must be a success.
    pub(crate) async fn ask(
        &self,
        dialled: &mut Dialled,
        (method, path): (Method, &str),
        token: &Token,
        body: Bytes,
    ) -> Result<Response<Incoming>, LinkError> {
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header(HOST, self.address.host_header())
            .header(AUTHORIZATION, token.header())
            .header(ACCEPT, HeaderValue::from_static("application/json, application/x-ndjson"));
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = request.body(Full::new(body)).map_err(LinkError::Request)?;
        let slow = |_| LinkError::Slow { what: "answer", within: LINK_ANSWER };
        let asking = async {
            dialled.0.ready().await?;
            dialled.0.send_request(request).await
        };
        let response = timeout(LINK_ANSWER, asking).await.map_err(slow)?.map_err(LinkError::Http)?;
        if response.status().is_success() { Ok(response) } else { Err(LinkError::Status(response.status())) }
    }

    /// Posts a document and reads the whole answer, at most `most` bytes of it.
    pub(crate) async fn post(
        &self,
        dialled: &mut Dialled,
        path: &str,
        body: Bytes,
        most: usize,
    ) -> Result<Bytes, LinkError> {
        let token = self.token()?;
        let response = self.ask(dialled, (Method::POST, path), &token, body).await?;
        let slow = |_| LinkError::Slow { what: "finish its answer", within: LINK_ANSWER };
        let reading = Limited::new(response.into_body(), most).collect();
        let body = timeout(LINK_ANSWER, reading).await.map_err(slow)?.map_err(|_| LinkError::Body(most))?;
        Ok(body.to_bytes())
    }
}

/// The roots of a bundle, all of which can be used.
pub(crate) fn roots(bundle: &[CertificateDer<'static>]) -> Result<RootCertStore, LinkError> {
    let mut roots = RootCertStore::empty();
    for certificate in bundle {
        roots.add(certificate.clone()).map_err(LinkError::Trust)?;
    }
    if roots.is_empty() { Err(LinkError::NoTrust) } else { Ok(roots) }
}

fn client_config(bundle: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, LinkError> {
    let roots = roots(bundle)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(LinkError::Trust)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, CertifiedKey, KeyPair};
    use rustls::ServerConfig;
    use std::path::Path;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// A listener, a link to it, and a certificate that the link believes.
    async fn scene(folder: &Path) -> (TcpListener, Link, CertifiedKey<KeyPair>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(folder.join("token"), "opaque").unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let link = Link::new(address, TokenFile::in_folder(folder), &[cert.der().clone()]).unwrap();
        (listener, link, CertifiedKey { cert, signing_key: key })
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_that_does_not_speak_tls_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let (_listener, link, _) = scene(folder.path()).await;
        let told = link.dial().await.unwrap_err();
        assert!(matches!(told, LinkError::Slow { within: LINK_CONNECT, .. }), "{told}");
    }

    #[tokio::test]
    async fn an_operator_that_does_not_answer_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let (listener, link, certified) = scene(folder.path()).await;
        let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
            // It listens, and never says a word.
            while let Ok(1..) = stream.read(&mut [0; 1024]).await {}
        });
        let mut dialled = link.dial().await.unwrap();
        tokio::time::pause();
        let token = link.token().unwrap();
        let told = link.ask(&mut dialled, (Method::GET, "/v1/config"), &token, Bytes::new()).await.unwrap_err();
        assert!(matches!(told, LinkError::Slow { within: LINK_ANSWER, .. }), "{told}");
    }
}
