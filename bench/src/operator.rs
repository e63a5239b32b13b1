//! Where the operator is, and how a simulated sidecar talks to it: TLS that its CA vouches for, HTTP/1.1, a bearer token.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::limits::{ANSWER, BUFFER, CONNECT};

/// The operator as its sidecars know it.
pub(crate) struct Operator {
    address: SocketAddr,
    name: ServerName<'static>,
    host: String,
    tls: Arc<ClientConfig>,
}

/// A connection that takes one request after the other.
pub(crate) type Dialled = SendRequest<Full<Bytes>>;

impl Operator {
    /// Reads the certificates that vouch for it and looks its address up.
    pub(crate) async fn new(url: &str, ca: &Path) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
        ensure!(uri.scheme_str() == Some("https"), "`{url}`: the operator speaks https alone");
        let authority = uri.authority().with_context(|| format!("`{url}` names no host"))?;
        let target = (authority.host(), authority.port_u16().unwrap_or(443));
        let found = lookup_host(target).await.with_context(|| format!("`{authority}` is not known"))?;
        // Source addresses of the loopback network are of IPv4.
        let (v4, v6): (Vec<_>, Vec<_>) = found.partition(SocketAddr::is_ipv4);
        let address = v4.into_iter().chain(v6).next().with_context(|| format!("`{authority}` has no address"))?;
        let mut roots = RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(ca).with_context(|| format!("cannot read `{}`", ca.display()))?
        {
            roots.add(certificate.with_context(|| format!("`{}` holds no certificates", ca.display()))?)?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
        let mut tls = builder.with_no_client_auth();
        // The operator gives no tickets; a store for each of 10,000 would be ours to pay.
        tls.resumption = Resumption::disabled();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(authority.host().to_owned()).context("the operator's host is no name")?;
        Ok(Self { address, name, host: authority.to_string(), tls: Arc::new(tls) })
    }

    /// An address of its own for each sidecar, as pods have: the operator bounds what one address may do. Only the loopback
    /// network has enough of them.
    pub(crate) fn source_of(&self, index: usize) -> Option<Ipv4Addr> {
        let own = 0x7f01_0000 + u32::try_from(index).ok()?;
        (self.address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST)).then(|| Ipv4Addr::from(own))
    }

    /// Connects.
    pub(crate) async fn dial(&self, source: Option<Ipv4Addr>) -> anyhow::Result<Dialled> {
        let connecting = async {
            let stream = self.connect(source).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(Arc::clone(&self.tls)).connect(self.name.clone(), stream).await
        };
        let stream = timeout(CONNECT, connecting).await.context("no connection in time")?.context("no connection")?;
        let mut builder = Builder::new();
        builder.max_buf_size(BUFFER);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        // What ends the connection is seen by the request on it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    async fn connect(&self, source: Option<Ipv4Addr>) -> std::io::Result<TcpStream> {
        let Some(source) = source else { return TcpStream::connect(self.address).await };
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        socket.connect(self.address).await
    }

    /// Sends a request and waits for the head of its answer, which must be a success.
    pub(crate) async fn ask(
        &self,
        dialled: &mut Dialled,
        (method, path): (Method, &str),
        token: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let asking = async {
            dialled.ready().await?;
            dialled.send_request(request).await
        };
        let response = timeout(ANSWER, asking).await.context("no answer in time")?.context("no answer")?;
        if !response.status().is_success() {
            bail!("the operator answered {}", response.status());
        }
        Ok(response)
    }
}
