//! An operator as a test wants it: a stream whose lines the test writes, certificates, reports.

use super::Ca;
use super::client::PATIENCE;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use policy::wire::{
    CERTIFICATE_PATH, CONFIG_PATH, CertificateRequest, IssuedCertificate, KeysMessage, REPORT_PATH, Report,
    RulesetMessage,
};
use rustls::ServerConfig;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;

/// An operator in this process.
#[derive(Clone)]
pub(crate) struct Operator {
    pub(crate) address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    ca: Arc<Ca>,
    bundle: Vec<Arc<Ca>>,
    /// What every new stream begins with.
    lines: Vec<String>,
    streams: Vec<UnboundedSender<io::Result<Bytes>>>,
    /// The targets and tokens of the streams that were opened.
    opened: Vec<(String, String)>,
    reports: Vec<Report>,
    /// How long certificates last.
    life: Duration,
    issued: usize,
    /// Fields that every answer has beside the usual ones: their number, and the bytes of each.
    padding: (usize, usize),
    /// What is answered in place of the usual.
    refuse: Option<(&'static str, StatusCode, usize)>,
}

impl Operator {
    pub(crate) async fn start(ca: &Arc<Ca>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Inner {
            ca: Arc::clone(ca),
            bundle: vec![Arc::clone(ca)],
            lines: Vec::new(),
            streams: Vec::new(),
            opened: Vec::new(),
            reports: Vec::new(),
            life: Duration::from_hours(24),
            issued: 0,
            padding: (0, 0),
            refuse: None,
        };
        let operator = Self { address, inner: Arc::new(Mutex::new(inner)) };
        let server = ca.server();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![server.certificate.clone()], server.key())
            .unwrap();
        let (acceptor, serving) = (TlsAcceptor::from(Arc::new(config)), operator.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, serving) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        let serving = serving.clone();
                        async move {
                            let mut response = serving.answer(request).await;
                            let (fields, bytes) = serving.with(|inner| inner.padding);
                            for field in 0..fields {
                                let name = http::HeaderName::try_from(format!("x-{field}")).unwrap();
                                response.headers_mut().insert(name, "x".repeat(bytes).try_into().unwrap());
                            }
                            Ok::<_, Infallible>(response)
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        operator
    }

    /// The lines with which every stream begins from now on; those that are open get them now.
    pub(crate) fn set(&self, lines: &[String]) {
        self.with(|inner| inner.lines = lines.to_vec());
        self.send(&lines.concat());
    }

    /// Writes to the streams that are open.
    pub(crate) fn send(&self, text: &str) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.with(|inner| inner.streams.retain(|stream| stream.send(Ok(bytes.clone())).is_ok()));
    }

    /// Breaks off the streams that are open.
    pub(crate) fn cut(&self) {
        self.with(|inner| {
            for stream in inner.streams.drain(..) {
                let _ = stream.send(Err(io::ErrorKind::ConnectionReset.into()));
            }
        });
    }

    /// Refuses so many requests to a path.
    pub(crate) fn refuse(&self, path: &'static str, status: u16, times: usize) {
        self.with(|inner| inner.refuse = Some((path, StatusCode::from_u16(status).unwrap(), times)));
    }

    /// Answers with so many further fields of so many bytes.
    pub(crate) fn pad(&self, fields: usize, bytes: usize) {
        self.with(|inner| inner.padding = (fields, bytes));
    }

    /// Issues certificates of another CA, and tells of these.
    pub(crate) fn issue_with(&self, ca: &Arc<Ca>, bundle: &[&Arc<Ca>], life: Duration) {
        self.with(|inner| {
            inner.ca = Arc::clone(ca);
            inner.bundle = bundle.iter().map(|ca| Arc::clone(ca)).collect();
            inner.life = life;
        });
    }

    pub(crate) fn opened(&self) -> Vec<(String, String)> {
        self.with(|inner| inner.opened.clone())
    }

    pub(crate) fn streams(&self) -> usize {
        self.with(|inner| {
            inner.streams.retain(|stream| !stream.is_closed());
            inner.streams.len()
        })
    }

    pub(crate) fn issued(&self) -> usize {
        self.with(|inner| inner.issued)
    }

    pub(crate) fn reports(&self) -> Vec<Report> {
        self.with(|inner| inner.reports.clone())
    }

    /// Waits for a report, the ones before included.
    pub(crate) async fn reported(&self, what: &str, holds: impl Fn(&Report) -> bool) -> Report {
        let waiting = async {
            loop {
                if let Some(report) = self.reports().into_iter().rev().find(&holds) {
                    return report;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.reports().last());
        waited.unwrap()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap())
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<UnsyncBoxBody<Bytes, io::Error>> {
        let (head, body) = request.into_parts();
        let full = |bytes: Vec<u8>| Full::from(bytes).map_err(|never| match never {}).boxed_unsync();
        let status = |status| Response::builder().status(status).body(full(Vec::new())).unwrap();
        let token = head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let Some(token) = token.filter(|token| token.starts_with("Bearer ")) else { return status(401) };
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        self.with(|inner| {
            if let Some((path, refused, times)) = &mut inner.refuse
                && *path == head.uri.path()
                && *times > 0
            {
                *times -= 1;
                return status(refused.as_u16());
            }
            match (&head.method, head.uri.path()) {
                (&Method::GET, CONFIG_PATH) => {
                    let (sender, receiver) = unbounded_channel();
                    sender.send(Ok(Bytes::from(inner.lines.concat()))).unwrap();
                    inner.streams.push(sender);
                    inner.opened.push((head.uri.to_string(), token));
                    Response::new(Lines(receiver).boxed_unsync())
                }
                (&Method::POST, REPORT_PATH) => {
                    inner.reports.push(serde_json::from_slice(&body).unwrap());
                    status(204)
                }
                (&Method::POST, CERTIFICATE_PATH) => {
                    let request: CertificateRequest = serde_json::from_slice(&body).unwrap();
                    inner.issued += 1;
                    let chain = inner.ca.sign(&request.csr, inner.life);
                    let bundle = inner.bundle.iter().map(|ca| ca.pem()).collect();
                    Response::new(full(serde_json::to_vec(&IssuedCertificate { chain, bundle }).unwrap()))
                }
                _ => status(404),
            }
        })
    }
}

struct Lines(UnboundedReceiver<io::Result<Bytes>>);

impl Body for Lines {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|item| item.map(|data| data.map(Frame::data)))
    }
}

/// A line of the stream.
pub(crate) fn ruleset_line(port: u16, generation: i64, body: &policy::wire::Body) -> String {
    line(&RulesetMessage::new(port, generation, body).unwrap())
}

pub(crate) fn keys_line(jwks: &str) -> String {
    line(&KeysMessage::new("main".into(), super::tokens::ISSUER.into(), jwks).unwrap())
}

pub(crate) const SYNCED: &str = "{\"type\":\"synced\"}\n";
pub(crate) const RENEW: &str = "{\"type\":\"renew\"}\n";

fn line(message: &impl serde::Serialize) -> String {
    format!("{}\n", serde_json::to_string(message).unwrap())
}
