//! Names, addresses and servers in memory. Whatever is done here is done without the kernel, so paused time passes only
//! when everybody waits.

use futures_util::future::BoxFuture;
use issuer::{Connect, Known, Settings, Stream};
use policy::keys::KeySource;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// The host of the provider that most tests look at.
pub(crate) const HOST: &str = "login.example.com";
pub(crate) const ISSUER: &str = "https://login.example.com";
/// An address on the public internet.
pub(crate) const PUBLIC: &str = "93.184.216.34";

/// What a server does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Writes these bytes and closes.
    Bytes(Vec<u8>),
    /// Writes these bytes and then nothing any more, without closing.
    Hang(Vec<u8>),
    /// Writes these bytes again and again.
    Endless(Vec<u8>),
}

type Answer = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

#[derive(Clone)]
struct Server {
    tls: Option<TlsAcceptor>,
    answer: Answer,
}

/// The network of one test.
#[derive(Default)]
pub(crate) struct Network {
    names: Mutex<BTreeMap<String, Vec<Vec<IpAddr>>>>,
    servers: Mutex<BTreeMap<SocketAddr, Server>>,
    silent: Mutex<Vec<SocketAddr>>,
    connected: Mutex<Vec<SocketAddr>>,
    requests: Arc<Mutex<Vec<(Instant, SocketAddr, String)>>>,
}

/// An authority of the test's own.
pub(crate) struct Authority {
    issuer: rcgen::Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: rcgen::Issuer::new(params, key), pem }
    }

    pub(crate) fn server(&self, name: &str) -> Arc<ServerConfig> {
        self.server_with(name, |_| {})
    }

    pub(crate) fn server_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
    }
}

impl Network {
    /// What a name resolves to; the second answer is given from the second question on, and so forth.
    pub(crate) fn name(&self, host: &str, answers: &[&[&str]]) {
        let answers = answers.iter().map(|one| one.iter().map(|text| text.parse().unwrap()).collect()).collect();
        self.names.lock().unwrap().insert(host.to_owned(), answers);
    }

    /// A server at an address, or another in its place.
    pub(crate) fn serve(
        &self,
        address: &str,
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) {
        let server = Server { tls: tls.map(TlsAcceptor::from), answer: Arc::new(answer) };
        self.servers.lock().unwrap().insert(address.parse().unwrap(), server);
    }

    /// Nobody listens there any more.
    pub(crate) fn stop(&self, address: &str) {
        self.servers.lock().unwrap().remove(&address.parse().unwrap());
    }

    /// What is sent there is lost.
    pub(crate) fn lose(&self, address: &str) {
        self.silent.lock().unwrap().push(address.parse().unwrap());
    }

    /// The addresses that were connected to, in order.
    pub(crate) fn connected(&self) -> Vec<String> {
        self.connected.lock().unwrap().iter().map(ToString::to_string).collect()
    }

    /// When a target was asked for at an address.
    pub(crate) fn asked(&self, address: &str, target: &str) -> Vec<Instant> {
        let address: SocketAddr = address.parse().unwrap();
        let requests = self.requests.lock().unwrap();
        let asked = requests.iter().filter(|(_, at, what)| *at == address && what == target);
        asked.map(|(when, ..)| *when).collect()
    }
}

impl Connect for Network {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let mut names = self.names.lock().unwrap();
            let answers = names.get_mut(host).ok_or(io::ErrorKind::NotFound)?;
            Ok(if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() })
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            self.connected.lock().unwrap().push(address);
            if self.silent.lock().unwrap().contains(&address) {
                std::future::pending::<()>().await;
            }
            let server = self.servers.lock().unwrap().get(&address).cloned();
            let server = server.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(serve(server, theirs, address, Arc::clone(&self.requests)));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

async fn serve(
    server: Server,
    stream: DuplexStream,
    address: SocketAddr,
    requests: Arc<Mutex<Vec<(Instant, SocketAddr, String)>>>,
) {
    let mut stream: Box<dyn Stream> = match server.tls {
        None => Box::new(stream),
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
    };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    requests.lock().unwrap().push((Instant::now(), address, target.clone()));
    // A client that has seen enough hangs up; that is not the server's fault.
    match (server.answer)(&target) {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
            std::future::pending::<()>().await;
        }
        Reply::Endless(bytes) => while stream.write_all(&bytes).await.is_ok() {},
    }
}

/// An answer of 200 with a body.
pub(crate) fn json(body: &str) -> Reply {
    answer("200 OK", "content-type: application/json\r\n", body)
}

/// An answer with a status, further fields, and a body.
pub(crate) fn answer(status: &str, fields: &str, body: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 {status}\r\n{fields}content-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// The discovery document of [`ISSUER`].
pub(crate) fn discovery() -> String {
    format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"{ISSUER}/jwks"}}"#)
}

/// A set with keys of these names.
pub(crate) fn jwks(kids: &[&str]) -> String {
    let key = |kid: &&str| {
        format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}"#)
    };
    format!(r#"{{"keys":[{}]}}"#, kids.iter().map(key).collect::<Vec<_>>().join(","))
}

/// A provider whose set can be changed while it runs.
pub(crate) fn provider(jwks: Arc<Mutex<Reply>>) -> impl Fn(&str) -> Reply + Send + Sync + 'static {
    move |target| match target {
        "/.well-known/openid-configuration" => json(&discovery()),
        "/jwks" => jwks.lock().unwrap().clone(),
        _ => answer("404 Not Found", "", ""),
    }
}

/// A network with [`HOST`] on it, and the authority that vouches for it.
pub(crate) fn network(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Arc<Network>, Authority) {
    let network = Arc::new(Network::default());
    let authority = Authority::new();
    network.name(HOST, &[&[PUBLIC]]);
    network.serve(&at(443), Some(authority.server(HOST)), answer);
    (network, authority)
}

/// An address of [`HOST`].
pub(crate) fn at(port: u16) -> String {
    format!("{PUBLIC}:{port}")
}

pub(crate) fn discovered(authority: &Authority) -> KeySource {
    KeySource::new(ISSUER.to_owned(), None, Some(authority.pem.clone()))
}

pub(crate) fn keys(network: &Arc<Network>, settings: Settings) -> issuer::Keys {
    let network: Arc<dyn Connect> = Arc::clone(network) as _;
    issuer::Keys::over(network, settings).unwrap()
}

/// Waits until something is known of a source; so long in the test's own time that only a fault ends it.
pub(crate) async fn until(
    known: &mut watch::Receiver<BTreeMap<String, Known>>,
    id: &str,
    holds: impl Fn(&Known) -> bool,
) -> Known {
    let wait = known.wait_for(|known| known.get(id).is_some_and(&holds));
    let known = tokio::time::timeout(Duration::from_hours(1), wait).await.unwrap().unwrap();
    known[id].clone()
}

/// The key names of a set.
pub(crate) fn has(known: &Known, kid: &str) -> bool {
    known.set.as_ref().is_some_and(|set| set.knows(kid))
}
