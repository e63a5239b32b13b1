//! An identity provider on this machine: discovery, keys that can be rotated, and tokens.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, PKCS_ED25519, SigningKey,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What its tokens are for.
pub const API: &str = "users-api";
/// Seconds that its tokens live.
const TOKEN_SECONDS: i64 = 3600;

/// A provider; it answers until it is dropped.
#[derive(Debug)]
pub struct Provider {
    /// Its identifier, a URL.
    pub issuer: String,
    /// The certificates that vouch for it, in PEM.
    pub ca: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    issuer: String,
    key: Mutex<(u64, KeyPair)>,
    fetches: AtomicU64,
}

impl Provider {
    /// Starts one with its first key.
    ///
    /// # Errors
    /// Where nothing can be listened on.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen")?;
        let issuer = format!("https://localhost:{}", listener.local_addr().context("no address")?.port());
        let vouched = vouched("localhost")?;
        let tls = tls(&vouched)?;
        let state = State { issuer: issuer.clone(), key: Mutex::new((1, key()?)), fetches: AtomicU64::new(0) };
        let state = Arc::new(state);
        let task = tokio::spawn(serve(listener, tls, Arc::clone(&state)));
        Ok(Self { issuer, ca: vouched.ca, state, task })
    }

    /// From now on another key signs, and the one before is not told any more.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn rotate(&self) -> anyhow::Result<()> {
        let new = key()?;
        let mut held = self.state.held();
        *held = (held.0 + 1, new);
        Ok(())
    }

    /// How often the keys were fetched.
    #[must_use]
    pub fn fetches(&self) -> u64 {
        self.state.fetches.load(Ordering::Relaxed)
    }

    /// The keys of now (RFC 7517).
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.state.jwks()
    }

    /// A token for [`API`], signed with the key of now.
    ///
    /// # Errors
    /// Where it cannot be signed.
    pub fn token(&self, subject: &str) -> anyhow::Result<String> {
        let held = self.state.held();
        let now = jiff::Timestamp::now().as_second();
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid(held.0)});
        let claims = json!({
            "iss": self.issuer, "aud": API, "sub": subject, "client_id": "e2e", "iat": now, "exp": now + TOKEN_SECONDS,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = held.1.sign(signed.as_bytes()).context("cannot sign")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn held(&self) -> std::sync::MutexGuard<'_, (u64, KeyPair)> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn jwks(&self) -> Value {
        let held = self.held();
        let x = URL_SAFE_NO_PAD.encode(held.1.public_key_raw());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid(held.0), "x": x}]})
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let path = path.split('?').next().unwrap_or(path);
        let told = match path {
            "/.well-known/openid-configuration" => {
                json!({"issuer": self.issuer, "jwks_uri": format!("{}/keys", self.issuer)})
            }
            "/keys" => {
                self.fetches.fetch_add(1, Ordering::Relaxed);
                self.jwks()
            }
            _ => Value::Null,
        };
        let mut answer = Response::new(Full::from(told.to_string()));
        answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        answer
    }
}

fn kid(number: u64) -> String {
    format!("key-{number}")
}

fn key() -> anyhow::Result<KeyPair> {
    KeyPair::generate_for(&PKCS_ED25519).context("cannot make a key")
}

/// A CA of its own, and what it says of a provider's host.
#[derive(Debug)]
pub struct Vouched {
    /// The CA's certificate, in PEM.
    pub ca: String,
    /// The host's certificate, in PEM.
    pub certificate: String,
    /// Its key, in PEM.
    pub key: String,
}

/// Makes a certificate for a host.
///
/// # Errors
/// Where no key can be made.
pub fn vouched(host: &str) -> anyhow::Result<Vouched> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "The tests' provider");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![host.to_owned()])?.signed_by(&key, &authority)?;
    Ok(Vouched { ca: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

fn tls(vouched: &Vouched) -> anyhow::Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_slice(vouched.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(vouched.key.as_bytes())?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key).context("no certificate")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            // Whoever breaks it off knows why.
            let Ok(stream) = tls.accept(stream).await else { return };
            let answer = |request: Request<Incoming>| {
                let answer = state.answer(request.uri().path());
                async { Ok::<_, Infallible>(answer) }
            };
            let mut serving = http1::Builder::new();
            serving.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service_fn(answer)).await.ok();
        });
    }
}
