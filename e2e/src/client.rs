//! Requests as an application's callers and a pod's sidecar send them: HTTP/1.1 over TLS, one connection at a time.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::limits::{CONNECT, REQUEST};

/// Who is called, and who vouches for it.
#[derive(Clone, Debug)]
pub struct Target {
    address: SocketAddr,
    name: ServerName<'static>,
    host: HeaderValue,
    tls: Arc<ClientConfig>,
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body: what the application echoes, or a problem document; null where it is no JSON.
    pub body: Value,
}

impl Answer {
    /// The stable code of a refusal; empty where there is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body.get("code").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Target {
    /// Who answers at an address under a name, vouched for by these CA certificates in PEM.
    ///
    /// # Errors
    /// Where the name or the certificates cannot be used.
    pub fn new(address: SocketAddr, name: &str, bundle: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(certificate.context("no certificate in PEM")?).context("no usable CA certificate")?;
        }
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let host = HeaderValue::from_str(name).context("no name of a host")?;
        let name = ServerName::try_from(name.to_owned()).context("no name of a host")?;
        Ok(Self { address, name, host, tls: Arc::new(tls) })
    }

    /// Connects.
    ///
    /// # Errors
    /// Where nobody accepts, or whoever does is not who it should be.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let connecting = async {
            let stream = TcpStream::connect(self.address).await.context("cannot connect")?;
            stream.set_nodelay(true).context("no socket")?;
            let connector = TlsConnector::from(Arc::clone(&self.tls));
            let stream = connector.connect(self.name.clone(), stream).await.context("no TLS")?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("no HTTP")?;
            // What goes wrong with it is told to whoever waits for an answer.
            tokio::spawn(connection);
            Ok(Connection { sender, host: self.host.clone() })
        };
        timeout(CONNECT, connecting).await.context("no connection in time")?
    }

    /// One request over a connection of its own.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.connect().await?.get(path).await
    }

    /// The same with a token.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn get_as(&self, token: &str, path: &str) -> anyhow::Result<Answer> {
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        self.connect().await?.send(request, String::new()).await
    }

    /// Sends a body with a token.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn post(&self, path: &str, token: &str, body: &Value) -> anyhow::Result<Answer> {
        let request = Request::post(path).header("authorization", format!("Bearer {token}"));
        self.connect().await?.send(request, body.to_string()).await
    }
}

impl Connection {
    /// Whether the other side closed it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// A request without body.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send(Request::get(path), String::new()).await
    }

    /// Any request.
    ///
    /// # Errors
    /// Where there is no whole answer.
    pub async fn send(&mut self, request: http::request::Builder, body: String) -> anyhow::Result<Answer> {
        let request = request.header("host", self.host.clone()).body(Full::from(body)).context("no request")?;
        let exchange = async {
            self.sender.ready().await.context("the connection was closed before the request")?;
            let answer = self.sender.send_request(request).await.context("no answer")?;
            let status = answer.status();
            let body = answer.into_body().collect().await.context("half an answer")?.to_bytes();
            Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
        };
        timeout(REQUEST, exchange).await.context("no answer in time")?
    }
}

/// A request without TLS to a port that only tells how things are.
///
/// # Errors
/// Where there is no answer.
pub async fn plain(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let exchange = async {
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("no HTTP")?;
        tokio::spawn(connection);
        let request = Request::get(path).header("host", "localhost").body(Full::<Bytes>::default());
        let answer = sender.send_request(request.context("no request")?).await.context("no answer")?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.context("half an answer")?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    timeout(CONNECT, exchange).await.context("no answer in time")?
}
