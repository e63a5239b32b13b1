//! Express, applications that misbehave, and a proxy in front of each; `curl` calls them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cli::dev::{DevCa, DevKey, Issued, Names};
use cli::load::load_usable;
use cli::run::server_certificate;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd};
use serde_json::{Map, Value, json};
use sidecar::{Running, Settings, State};
use tempfile::TempDir;

use super::express;

const POLICY: &str = r#"
apiVersion: doorward.dev/v1alpha1
kind: ApiAuthPolicy
metadata: {name: users, namespace: shop}
spec:
  selector: {matchLabels: {app: users}}
  port: 3000
  resource: https://users.example
  tls:
    mode: Optional
    clientCAs:
    - {name: cluster, builtIn: true}
    - {name: partner, configMapName: cas, key: partner.crt}
    - {name: stale, configMapName: cas, key: stale.crt, crl: {configMapName: cas, key: stale.crl}}
  issuers:
  - {name: a, issuer: https://a.example, audiences: [users-api], maxTokenAge: 1h, keys: {configMapName: login, key: a.json}}
  - {name: b, issuer: https://b.example, audiences: [users-api], keys: {configMapName: login, key: b.json}}
  rules:
  - {path: /public/**, allow: Anonymous}
  - {path: "/{page}", allow: Anonymous}
  - {path: /@me, allow: Authenticated}
  - {path: /users, allow: Authenticated}
  - {path: "/users/{id}", require: {issuers: [a], pathParams: {id: subject}}}
  - {path: /admin, require: {issuers: [a], scopes: [admin]}}
  - {path: /any, require: {issuers: [a], scopes: [read], anyScope: [write, admin]}}
  - {path: /clients, require: {issuers: [a], clients: [web]}}
  - {path: /callers, require: {callers: [{serviceAccount: web/web}]}}
  - {path: /bound, require: {issuers: [a], boundToken: Certificate}}
  - {path: /roles, require: {issuers: [a], roles: [clerk]}}
  - {path: /claims, require: {issuers: [a], claims: [{claim: dept, anyOf: [x]}]}}
  - {path: /recent, require: {issuers: [a], maxAuthAge: 15m}}
  - {path: /certificate, allow: Certificate}
  - {path: /inside, allow: Anonymous, ips: [192.0.2.0/24]}
  forward:
    headers: [{name: x-user, identity: subject}, {name: x-issuer, identity: issuer}]
  limits: {body: 1Ki, headers: 4Ki, requestTimeout: 1s}
"#;

/// Which proxy a row asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Proxy {
    /// In front of Express.
    Express,
    /// Nobody listens behind it.
    Unreachable,
    /// Its application breaks off.
    Resets,
    /// Its application does not answer.
    Silent,
    /// It never got a snapshot.
    Unconfigured,
    /// It got one that cannot be used.
    Invalid,
    /// The keys of its issuers never came.
    Keyless,
    /// As the first, and all its revocation lists are in date.
    Renewed,
    /// From its first request on its policy wants a certificate of everybody.
    Tightened,
}

/// What `curl` saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Its exit code, 0 for success, and what it complains of.
    pub(crate) exit: String,
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) struct Scene {
    folder: TempDir,
    proxies: BTreeMap<Proxy, Running>,
    app: Child,
    log: Receiver<Value>,
    a: DevKey,
    b: DevKey,
}

fn names(uri: &str) -> Names {
    Names { uris: vec![uri.to_owned()], ..Names::default() }
}

/// A CA with its revocation lists, and two clients of it.
struct Listing {
    ca: String,
    /// It has ended, and names nobody.
    ended: String,
    /// It is in date, and names the second client.
    current: String,
    clients: [Issued; 2],
}

impl Listing {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "stale");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let client = |serial: u64| {
            let mut leaf = CertificateParams::new(Vec::new()).unwrap();
            leaf.serial_number = Some(serial.into());
            leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            leaf.subject_alt_names = vec![rcgen::SanType::DnsName("client.stale.example".try_into().unwrap())];
            let key = KeyPair::generate().unwrap();
            Issued { certificate: leaf.signed_by(&key, &ca).unwrap().pem(), key: key.serialize_pem() }
        };
        let list = |until: i32, serials: &[u64]| {
            let revoked = |serial: &u64| rcgen::RevokedCertParams {
                serial_number: (*serial).into(),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            };
            let list = rcgen::CertificateRevocationListParams {
                this_update: date_time_ymd(2020, 1, 1),
                next_update: date_time_ymd(until, 1, 1),
                crl_number: 1_u64.into(),
                issuing_distribution_point: None,
                revoked_certs: serials.iter().map(revoked).collect(),
                key_identifier_method: rcgen::KeyIdMethod::Sha256,
            };
            list.signed_by(&ca).unwrap().pem().unwrap()
        };
        Self { ca: ca.pem(), ended: list(2021, &[]), current: list(2999, &[2]), clients: [client(1), client(2)] }
    }
}

/// Who calls, by the name of the file.
fn clients(cluster: &DevCa, partner: &DevCa, stale: Issued, revoked: Issued) -> [(&'static str, Issued); 6] {
    let web = names("spiffe://cluster.local/ns/web/sa/web");
    [
        ("web", cluster.client(&web).unwrap()),
        ("other", cluster.client(&names("spiffe://cluster.local/ns/web/sa/other")).unwrap()),
        // A name that only the cluster's own CA can vouch for.
        ("partner", partner.client(&web).unwrap()),
        ("stranger", DevCa::new("stranger").unwrap().client(&web).unwrap()),
        ("stale", stale),
        ("revoked", revoked),
    ]
}

impl Scene {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [cluster, partner, server_ca] = ["cluster", "partner", "server"].map(|name| DevCa::new(name).unwrap());
        let Listing { ca: stale_ca, ended, current, clients: [stale, revoked] } = Listing::new();
        let [a, b] = ["a-1", "b-1"].map(|id| DevKey::generate_ec(id).unwrap());
        let server = server_ca.server(&Names { dns: vec!["localhost".to_owned()], ..Names::default() }).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let map = |name: &str, data: Value| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": data})
                .to_string()
        };
        let keys = |key: &DevKey| json!({"keys": [key.jwk()]}).to_string();
        write("policy.yaml", POLICY);
        write("mutual.yaml", &POLICY.replace("mode: Optional", "mode: Mutual"));
        write("login.yaml", &map("login", json!({"a.json": keys(&a), "b.json": keys(&b)})));
        for (name, list) in [("cas.yaml", ended), ("renewed.yaml", current)] {
            let cas = json!({"partner.crt": partner.pem(), "stale.crt": stale_ca, "stale.crl": list});
            write(name, &map("cas", cas));
        }
        write("server.crt", &server_ca.pem());
        write("large", &"a".repeat(1 << 20));
        for (name, issued) in clients(&cluster, &partner, stale, revoked) {
            write(&format!("{name}.pem"), &format!("{}{}", issued.certificate, issued.key));
        }
        let (app, log, port) = express::start();
        let tighten: Arc<OnceLock<Tighten>> = Arc::default();
        let applications = [
            (Proxy::Express, SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            (Proxy::Unreachable, SocketAddr::from((Ipv4Addr::LOCALHOST, 1))),
            (Proxy::Resets, misbehaving(true)),
            (Proxy::Silent, misbehaving(false)),
            (Proxy::Unconfigured, SocketAddr::from((Ipv4Addr::LOCALHOST, 1))),
            (Proxy::Invalid, SocketAddr::from((Ipv4Addr::LOCALHOST, 1))),
            (Proxy::Keyless, SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            (Proxy::Renewed, SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            (Proxy::Tightened, tightening(Arc::clone(&tighten))),
        ];
        let snapshot_of = |policy: &str, cas: &str| {
            let files: Vec<PathBuf> = [policy, "login.yaml", cas].map(|name| folder.path().join(name)).into();
            cli::snapshot::of(&load_usable(&files, &compile::Settings::default()).unwrap().0).unwrap()
        };
        let snapshot = snapshot_of("policy.yaml", "cas.yaml");
        let proxies = applications.map(|(which, app)| {
            let state = Arc::new(State::new());
            let mut snapshot = snapshot.clone();
            match which {
                Proxy::Unconfigured => {}
                Proxy::Invalid => state.refuse(&std::io::Error::other("not a snapshot")),
                _ => {
                    match which {
                        Proxy::Keyless => snapshot.keys.clear(),
                        Proxy::Renewed => snapshot = snapshot_of("policy.yaml", "renewed.yaml"),
                        Proxy::Tightened => {
                            let (state, tightened) = (Arc::clone(&state), snapshot_of("mutual.yaml", "cas.yaml"));
                            let cluster = [cluster.der()];
                            let set = tighten.set(Box::new(move || state.apply(&tightened, &cluster).unwrap()));
                            assert!(set.is_ok(), "there is one such proxy");
                        }
                        _ => {}
                    }
                    state.apply(&snapshot, &[cluster.der()]).unwrap();
                }
            }
            let certificate = server_certificate(&server.certificate, &server.key).unwrap();
            let settings = Settings { workers: 1, ..Settings::new((Ipv4Addr::LOCALHOST, 0).into(), app, certificate) };
            (which, sidecar::start(settings, state).unwrap())
        });
        Self { folder, proxies: proxies.into(), app, log, a, b }
    }

    /// Ends everything, and tells what reached Express.
    pub(crate) fn stop(mut self) -> Vec<Value> {
        self.proxies.into_values().for_each(Running::stop);
        self.app.kill().unwrap();
        self.app.wait().unwrap();
        self.folder.close().unwrap();
        self.log.iter().collect()
    }

    /// Calls with these arguments, of which the last is the target. In them `cert:NAME` is a client certificate, `file:NAME` a
    /// body, `large:` a field that is too large, `many:` too many of them, `first:TARGET` a call before on the same connection,
    /// and `{NAME}` a token.
    pub(crate) fn curl(&self, proxy: Proxy, scheme: &str, arguments: &[&str]) -> Seen {
        let (target, options) = arguments.split_last().unwrap();
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let (head, body) = (file("head"), file("body"));
        // Where there is no answer, that of the one before must not be taken for it.
        [&head, &body].into_iter().for_each(|path| std::fs::write(path, "").unwrap());
        let mut command = Command::new("timeout");
        // curl's own limit makes it wait for what it uploads, and not look at what it is told meanwhile.
        command.args(["20", "curl"]);
        command.args(["-sS", "--no-progress-meter", "--path-as-is", "--globoff", "--cacert", &file("server.crt")]);
        command.args(["-D", &head]);
        // Where a row does not ask for another.
        command.arg("--http1.1");
        let port = self.proxies[&proxy].address.port();
        let url = |target: &str| format!("{scheme}://localhost:{port}{target}");
        for option in options {
            match option.split_once(':') {
                Some(("first", target)) => command.args(["-o", "/dev/null", &url(target)]),
                Some(("cert", name)) => command.args(["--cert", &file(&format!("{name}.pem"))]),
                Some(("file", name)) => command.arg(format!("@{}", file(name))),
                Some(("large", _)) => command.arg(format!("x-large: {}", "a".repeat(5000))),
                Some(("many", _)) => command.args((0..150).flat_map(|n| ["-H".to_owned(), format!("x-{n}: y")])),
                _ => command.arg(self.with_token(option)),
            };
        }
        command.args(["-o", &body, &url(target)]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Held open: what is uploaded from it does not end.
        let stdin = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        let head = String::from_utf8_lossy(&std::fs::read(&head).unwrap()).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        // The last head is the answer's; interim ones come before it.
        let last = head.split("\r\n\r\n").filter(|head| !head.is_empty()).last().unwrap_or_default().to_owned();
        let mut lines = last.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let fields = lines.filter_map(|line| line.split_once(':'));
        Seen {
            exit: format!("{} {}", output.status.code().unwrap_or(-1), complaint.trim()).trim().to_owned(),
            status: status.unwrap_or(0),
            fields: fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect(),
            body: serde_json::from_slice(&std::fs::read(&body).unwrap()).unwrap_or(Value::Null),
        }
    }

    fn with_token(&self, option: &str) -> String {
        let Some((before, name)) = option.strip_suffix('}').and_then(|option| option.split_once("Bearer {")) else {
            return option.to_owned();
        };
        format!("{before}Bearer {}", self.token(name))
    }

    fn token(&self, name: &str) -> String {
        let now = jiff::Timestamp::now().as_second();
        let (mut header, mut claims) = (Map::new(), Map::new());
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        for (name, value) in [("iss", json!("https://a.example")), ("aud", json!("users-api")), ("sub", json!("alice"))]
        {
            set(name, value);
        }
        set("iat", json!(now));
        set("exp", json!(now + 600));
        let other = URL_SAFE_NO_PAD.encode([7; 32]);
        match name {
            "of b" => drop(set("iss", json!("https://b.example"))),
            "id token" => drop(set("at_hash", json!("x"))),
            "unknown issuer" => drop(set("iss", json!("https://c.example"))),
            "other audience" => drop(set("aud", json!("orders-api"))),
            "expired" => drop(set("exp", json!(now - 60))),
            "future" => drop(set("nbf", json!(now + 3600))),
            "old" => drop(set("iat", json!(now - 7200))),
            "of key" => drop(set("cnf", json!({"jkt": "x"}))),
            "of another certificate" => drop(set("cnf", json!({"x5t#S256": other}))),
            "no subject" => drop(claims.remove("sub")),
            "old login" => drop(set("auth_time", json!(now - 7200))),
            "other client" => drop(set("azp", json!("cron"))),
            "unknown key" => drop(header.insert("kid".to_owned(), json!("c-1"))),
            "wrong algorithm" => drop(header.insert("alg".to_owned(), json!("HS256"))),
            _ => assert!(["alice", "malformed", "bad signature"].contains(&name), "no token `{name}`"),
        }
        match name {
            "malformed" => "nonsense".to_owned(),
            "of b" => self.b.sign(&header, &claims).unwrap(),
            "bad signature" => DevKey::generate_ec("a-1").unwrap().sign(&header, &claims).unwrap(),
            _ => self.a.sign(&header, &claims).unwrap(),
        }
    }
}

/// Makes a policy stricter.
type Tighten = Box<dyn Fn() + Send + Sync>;

/// An application while whose first answer is made the policy before it gets stricter.
fn tightening(tighten: Arc<OnceLock<Tighten>>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut head, mut read) = (Vec::new(), [0; 1024]);
        while !head.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut read).unwrap();
            head.extend_from_slice(&read[..count]);
        }
        tighten.get().unwrap()();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        // Until the proxy ends it.
        while let Ok(1..) = stream.read(&mut read) {}
    });
    address
}

/// An application that takes a request and breaks off, or never answers.
fn misbehaving(resets: bool) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut sink = [0; 1024];
                while let Ok(1..) = stream.read(&mut sink) {
                    if resets {
                        let _ = stream.write_all(b"HTTP/1.1 200");
                        return;
                    }
                }
            });
        }
    });
    address
}
