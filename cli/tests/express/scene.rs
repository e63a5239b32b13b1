//! Express behind `doorward run`, with a CA, keys and tokens of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cli::dev::{DevCa, DevKey, Issued, Names, unsigned};
use rustls::ClientConfig;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::client::{self, Response};
use super::express;

const PATIENCE: Duration = Duration::from_secs(20);

const POLICY: &str = r#"
apiVersion: doorward.dev/v1alpha1
kind: ApiAuthPolicy
metadata: {name: users, namespace: shop}
spec:
  selector: {matchLabels: {app: users}}
  port: 3000
  tls: {mode: Mutual}
  issuers:
  - {name: main, issuer: https://login.example.com, audiences: [users-api], keys: {configMapName: login, key: jwks.json}}
  rules:
  - {path: /public/**, allow: Anonymous}
  - {path: /users, allow: Authenticated}
  - {path: "/users/{id}", allow: Authenticated}
  - {path: /admin, require: {scopes: [admin]}}
  forward:
    headers: [{name: x-user, identity: subject}, {name: x-scopes, identity: scopes}]
"#;

pub(crate) struct Scene {
    folder: TempDir,
    ca: DevCa,
    key: DevKey,
    app: Child,
    app_log: Receiver<Value>,
    app_address: SocketAddr,
    proxy: Child,
    address: SocketAddr,
    caller: Arc<ClientConfig>,
}

pub(crate) fn claims(subject: &str, scope: &str) -> Map<String, Value> {
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({"iss": "https://login.example.com", "aud": "users-api", "sub": subject, "scope": scope, "iat": now, "exp": now + 600});
    claims.as_object().unwrap().clone()
}

impl Scene {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::new("test CA").unwrap();
        let key = DevKey::generate_rsa("login-1").unwrap();
        let (app, app_log, port) = express::start();
        let app_address = SocketAddr::from(([127, 0, 0, 1], port));
        let server = ca.server(&Names { dns: vec!["localhost".to_owned()], ..Names::default() }).unwrap();
        let config_map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "login", "namespace": "shop"},
            "data": {"jwks.json": json!({"keys": [key.jwk()]}).to_string()},
        });
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("policy.yaml", POLICY);
        write("keys.yaml", &config_map.to_string());
        write("ca.crt", &ca.pem());
        write("server.crt", &server.certificate);
        write("server.key", &server.key);
        let (proxy, address) = start_proxy(folder.path(), app_address);
        let caller = client::config(&ca.der(), Some(&caller(&ca)));
        Self { folder, ca, key, app, app_log, app_address, proxy, address, caller }
    }

    /// Ends both, and tells every request that the application got.
    pub(crate) fn stop(mut self) -> Vec<Value> {
        self.proxy.kill().unwrap();
        self.proxy.wait().unwrap();
        self.app.kill().unwrap();
        self.app.wait().unwrap();
        self.folder.close().unwrap();
        // The channel ends with the application's output, so nothing is missed.
        self.app_log.iter().collect()
    }

    pub(crate) fn get(&self, target: &str, token: Option<&str>) -> Response {
        let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        self.send(&format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{authorization}\r\n"))
    }

    pub(crate) fn send(&self, request: &str) -> Response {
        client::send(self.address, Some(&self.caller), request.as_bytes()).unwrap()
    }

    pub(crate) fn get_without_certificate(&self, target: &str) -> std::io::Result<Response> {
        self.get_as(None, target)
    }

    pub(crate) fn get_with_a_strangers_certificate(&self, target: &str) -> std::io::Result<Response> {
        self.get_as(Some(&caller(&DevCa::new("stranger").unwrap())), target)
    }

    fn get_as(&self, caller: Option<&Issued>, target: &str) -> std::io::Result<Response> {
        let config = client::config(&self.ca.der(), caller);
        client::send(
            self.address,
            Some(&config),
            format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes(),
        )
    }

    pub(crate) fn app_directly(&self, request: &str) -> String {
        let mut socket = TcpStream::connect(self.app_address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn token(&self, claims: &Map<String, Value>) -> String {
        self.key.sign(&Map::new(), claims).unwrap()
    }

    pub(crate) fn token_of_another_key(&self, claims: &Map<String, Value>) -> String {
        DevKey::generate_rsa("login-1").unwrap().sign(&Map::new(), claims).unwrap()
    }

    pub(crate) fn unsigned(&self, claims: &Map<String, Value>) -> String {
        unsigned(claims).unwrap()
    }

    /// The classic confusion: the public key, which everybody has, used as an HMAC secret.
    pub(crate) fn hs256_with_the_public_key(&self, claims: &Map<String, Value>) -> String {
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": "login-1"});
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(json!(claims).to_string())
        );
        let secret = self.key.jwk().to_string();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
    }
}

fn caller(ca: &DevCa) -> Issued {
    ca.client(&Names { uris: vec!["spiffe://cluster.local/ns/web/sa/web".to_owned()], ..Names::default() }).unwrap()
}

fn start_proxy(folder: &Path, upstream: SocketAddr) -> (Child, SocketAddr) {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut proxy = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args([
            "run",
            "-f",
            &path("policy.yaml"),
            "-f",
            &path("keys.yaml"),
            "--upstream",
            &upstream.to_string(),
            "--listen",
            "127.0.0.1:0",
        ])
        .args([
            "--cert",
            &path("server.crt"),
            "--key",
            &path("server.key"),
            "--client-ca",
            &format!("cluster={}", path("ca.crt")),
            "--workers",
            "1",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(proxy.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let address = first
        .split("https://")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .unwrap_or_else(|| panic!("no address in `{first}`"));
    (proxy, address.parse().unwrap())
}
