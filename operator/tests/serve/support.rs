//! A server with its CA, tokens for pods, and a client as sidecars are one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};
use operator::ca::{self, Authority, Store, StoreError, Stored};
use operator::hub::{Desired, Encoded, Hub, Names, PodId};
use operator::limits::Limits;
use operator::metrics::Metrics;
use operator::serve::{ReviewError, Reviewer, Running, Server, ServerParts};
use policy::wire::{Message, UnknownKey};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// For what has to happen soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a Secret holds.
type Data = BTreeMap<String, Vec<u8>>;

/// The Secret of the CA, in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Option<Data>>>);

impl Store for Memory {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let data = self.0.lock().unwrap().clone();
        Ok(data.map(|data| Stored { data, version: "1".to_owned() }))
    }

    async fn create(&self, data: &BTreeMap<String, Vec<u8>>) -> Result<(), StoreError> {
        *self.0.lock().unwrap() = Some(data.clone());
        Ok(())
    }

    async fn replace(&self, _: &BTreeMap<String, Vec<u8>>, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Conflict)
    }

    async fn publish(&self, _: &str, _: impl Fn() -> bool + Send) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Knows the tokens that it was told.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<BTreeMap<String, TokenReviewStatus>>);

impl Reviewer for Tokens {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenReviewStatus, ReviewError>> {
        let status = self.0.lock().unwrap().get(token).cloned().unwrap_or_default();
        Box::pin(async move { Ok(status) })
    }
}

/// A server and all that it is made of.
pub(crate) struct Site {
    pub(crate) hub: Arc<Hub>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) asked: Arc<Mutex<Vec<(PodId, UnknownKey)>>>,
    pub(crate) running: Option<Running>,
    pub(crate) address: SocketAddr,
    secret: Memory,
    leads: watch::Sender<bool>,
}

pub(crate) async fn site() -> Site {
    site_with(|_| {}).await
}

pub(crate) async fn site_with(change: impl FnOnce(&mut Limits)) -> Site {
    let authority = Authority::new(ca::service_names("doorward-operator", "doorward-system", "cluster.local").to_vec());
    let (leads, secret) = (watch::Sender::new(true), Memory::default());
    tokio::spawn(ca::run(secret.clone(), ca::Source::BuiltIn, Arc::clone(&authority), leads.subscribe(), || true));
    authority.bundles().wait_for(Option::is_some).await.unwrap();
    let (hub, tokens, metrics) = (Arc::<Hub>::default(), Arc::<Tokens>::default(), Metrics::new());
    let asked: Arc<Mutex<Vec<(PodId, UnknownKey)>>> = Arc::default();
    let noted = Arc::clone(&asked);
    let mut limits = Limits::default();
    change(&mut limits);
    let parts = ServerParts {
        hub: Arc::clone(&hub),
        reviewer: Arc::clone(&tokens) as _,
        authority: Arc::clone(&authority),
        unknown_keys: Arc::new(move |pod: &PodId, keys: &[UnknownKey]| {
            noted.lock().unwrap().extend(keys.iter().map(|key| (pod.clone(), key.clone())));
        }),
        metrics: Arc::clone(&metrics),
        limits,
    };
    let running = Server::start(([127, 0, 0, 1], 0).into(), parts).unwrap();
    let address = running.address();
    Site { hub, tokens, authority, metrics, asked, running: Some(running), address, secret, leads }
}

/// The pod of a number.
pub(crate) fn pod(number: u32) -> PodId {
    PodId { namespace: "shop".to_owned(), name: format!("web-{number}"), uid: format!("uid-{number}") }
}

/// What the API server says about a good token of a pod.
pub(crate) fn vouched(pod: &PodId) -> TokenReviewStatus {
    let extra = BTreeMap::from([
        ("authentication.kubernetes.io/pod-name".to_owned(), vec![pod.name.clone()]),
        ("authentication.kubernetes.io/pod-uid".to_owned(), vec![pod.uid.clone()]),
    ]);
    let username = Some(format!("system:serviceaccount:{}:web", pod.namespace));
    TokenReviewStatus {
        authenticated: Some(true),
        audiences: Some(vec!["doorward.dev".to_owned()]),
        user: Some(UserInfo { username, extra: Some(extra), ..UserInfo::default() }),
        error: None,
    }
}

impl Site {
    /// A token that the API server vouches for, for an hour.
    pub(crate) fn token(&self, pod: &PodId) -> String {
        self.token_for(pod, 3600, vouched(pod))
    }

    /// A token of a pod that ends so many seconds from now, and about which the API server says this.
    pub(crate) fn token_for(&self, pod: &PodId, seconds: i64, status: TokenReviewStatus) -> String {
        let exp = Timestamp::now().as_second() + seconds;
        let mut tokens = self.tokens.0.lock().unwrap();
        let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{exp},"uid":"{}"}}"#, pod.uid));
        let token = format!("e30.{payload}.n{}", tokens.len());
        tokens.insert(token.clone(), status);
        token
    }

    /// What a sidecar would have to know to verify the server.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let bundle = self.authority.bundle().unwrap();
        for root in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(root.unwrap()).unwrap();
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }

    /// A connection on which HTTP has not begun.
    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        self.try_to_connect().await.unwrap()
    }

    /// The same, where nobody may be there. Whoever has the port by then has another CA.
    pub(crate) async fn try_to_connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        // Else each request waits for the acknowledgement of the handshake's last flight.
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("doorward-operator.doorward-system.svc").unwrap();
        TlsConnector::from(self.client_config()).connect(name, stream).await
    }

    /// A connection for requests.
    pub(crate) async fn client(&self) -> SendRequest<Full<Bytes>> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.connect().await)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// One request over a connection of its own.
    pub(crate) async fn send(&self, method: Method, path: &str, token: Option<&str>, body: &[u8]) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header("host", "operator");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::from(body.to_vec())).unwrap();
        let response = self.client().await.send_request(request).await.unwrap();
        Reply::read(response).await
    }

    /// A stream that is open.
    pub(crate) async fn stream(&self, token: &str, query: &str) -> Lines {
        let request = request_for_stream(token, query);
        let mut client = self.client().await;
        let response = timeout(PATIENCE, client.send_request(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        Lines { body: response.into_body(), pending: Vec::new(), _client: client }
    }

    /// Makes this what the pods should run.
    /// Tells of a next CA, as another replica does.
    pub(crate) fn announce(&self) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let next = params.self_signed(&key).unwrap().pem();
        let since = Timestamp::now().to_string();
        let mut data = self.secret.0.lock().unwrap();
        for (name, text) in [("next.crt", next), ("next.key", key.serialize_pem()), ("next.since", since)] {
            data.as_mut().unwrap().insert(name.to_owned(), text.into_bytes());
        }
        drop(data);
        // A change of leadership is a reason to look at once.
        self.leads.send_modify(|leads| *leads = !*leads);
    }

    pub(crate) fn publish(&self, pods: &[(PodId, Desired)]) {
        self.hub.publish(&pods.iter().map(|(pod, desired)| (pod.clone(), Arc::new(desired.clone()))).collect());
    }

    /// Waits until a line stands among the metrics.
    pub(crate) async fn metric(&self, line: &str) {
        let found = || self.metrics.text().unwrap().lines().any(|found| found == line);
        eventually(line, found).await;
    }
}

pub(crate) fn request_for_stream(token: &str, query: &str) -> Request<Full<Bytes>> {
    let uri = format!("/v1/config?{query}");
    let request = Request::get(uri).header("host", "operator").header(AUTHORIZATION, format!("Bearer {token}"));
    request.body(Full::default()).unwrap()
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "never came: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    /// The status, and the code of a refusal.
    pub(crate) fn told(&self) -> (u16, String) {
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        (self.status.as_u16(), text_of(&document, "code"))
    }
}

/// The lines of a stream.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Incoming,
    pending: Vec<u8>,
    _client: SendRequest<Full<Bytes>>,
}

impl Lines {
    /// The next line that is no ping; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let next = async {
            loop {
                let line = self.any().await?;
                if !line.contains(r#""ping""#) {
                    return Some(line);
                }
            }
        };
        timeout(PATIENCE, next).await.unwrap_or_else(|_| panic!("nothing but pings came"))
    }

    /// The next line; none at the end of the stream.
    pub(crate) async fn any(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.unwrap_or_else(|_| panic!("no line came"))?;
            self.pending.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
    }

    /// So many lines that are no pings, each of them a message.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..count {
            let line = self.next().await.unwrap();
            Message::read(line.as_bytes()).unwrap();
            lines.push(line);
        }
        lines
    }
}

/// A ruleset whose text tells which it is.
pub(crate) fn ruleset(port: u16, generation: i64) -> Arc<Encoded> {
    let line = format!(
        r#"{{"type":"ruleset","port":{port},"generation":{generation},"revision":"r{generation}","body":{{}}}}"#
    );
    Arc::new(Encoded { revision: format!("r{generation}"), line: format!("{line}\n").into() })
}

/// The keys of a set.
pub(crate) fn keys(id: &str, revision: &str) -> Arc<Encoded> {
    let line =
        format!(r#"{{"type":"keys","id":"{id}","issuer":"https://issuer","revision":"{revision}","body":{{}}}}"#);
    Arc::new(Encoded { revision: revision.to_owned(), line: format!("{line}\n").into() })
}

pub(crate) fn names(dns: &str) -> Option<Arc<Names>> {
    let spiffe = "spiffe://cluster.local/ns/shop/sa/web".to_owned();
    Some(Arc::new(Names { spiffe, dns: vec![dns.to_owned()] }))
}

/// A pod with one policy on port 8080.
pub(crate) fn desired(generation: i64) -> Desired {
    Desired {
        complete: true,
        rulesets: [(8080, ruleset(8080, generation))].into(),
        retained: BTreeMap::new(),
        retained_elsewhere: BTreeSet::new(),
        keys: [("set".to_owned(), keys("set", "k1"))].into(),
        awaited: BTreeSet::new(),
        names: names("web.shop.svc"),
    }
}

/// The `type` of each line.
pub(crate) fn types(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| text_of(&serde_json::from_str(line).unwrap(), "type")).collect()
}

/// A text in a document; empty where it is not there.
fn text_of(document: &serde_json::Value, name: &str) -> String {
    document.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}
