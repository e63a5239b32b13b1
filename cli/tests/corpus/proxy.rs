//! A case as a request over TLS to the proxy, in front of an application that echoes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cli::dev::{App, DevCa, DevKey, Issued, Names};
use cli::explain::{Answer, Judge, NamedCas, Outcome, PeerNames, Request};
use cli::load::load_usable;
use cli::run::server_certificate;
use cli::test::{Case, Suite, with_host};
use compile::Compiled;
use policy::certificate::CertificateFault;
use policy::time::Timestamp;
use policy::wire::{FORMAT, KeysMessage, RulesetMessage, Snapshot, TlsMode};
use rustls::AlertDescription;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use sidecar::{Clock, Running, Settings, State};

use super::client::{self, Response};
use super::stand_in::{self, StandIn};

/// What the proxy says to a certificate that proves nothing, by the reason (RFC 8446, section 6.2). What is no certificate at all no
/// client can send.
const ALERTS: [(CertificateFault, AlertDescription); 3] = [
    (CertificateFault::Untrusted, AlertDescription::UnknownCA),
    (CertificateFault::Revoked, AlertDescription::CertificateRevoked),
    (CertificateFault::Usage, AlertDescription::UnsupportedCertificate),
];

/// One suite's policy behind real proxies: one for each moment that its cases happen at.
pub(crate) struct Runner {
    compiled: Compiled,
    judge: Judge,
    cas: BTreeMap<String, DevCa>,
    authorities: Vec<StandIn>,
    server_ca: DevCa,
    server: Issued,
    key: DevKey,
    snapshot: Snapshot,
    app: App,
    proxies: BTreeMap<(i64, bool), Running>,
}

impl Runner {
    pub(crate) fn new(suite: &Suite) -> Self {
        let (mut policies, _) = load_usable(&suite.policies, &compile::Settings::default()).unwrap();
        let compiled = policies.remove(0);
        assert!(policies.is_empty(), "one policy a suite");
        let judge =
            Judge::new(load_usable(&suite.policies, &compile::Settings::default()).unwrap().0, &NamedCas::new())
                .unwrap();
        let cas: BTreeMap<_, _> =
            compiled.body.tls.client_cas.iter().map(|ca| (ca.name.clone(), DevCa::new(&ca.name).unwrap())).collect();
        let originals = compiled.body.tls.client_cas.iter().flat_map(|ca| &ca.certificates);
        let authorities: Vec<_> = originals.map(|text| StandIn::new(&STANDARD.decode(text).unwrap())).collect();
        let key = DevKey::generate_ec("corpus-runner").unwrap();
        let mints = suite.tests.iter().any(|case| case.request.identity.is_some());
        let snapshot = snapshot(&compiled, &cas, &authorities, mints.then_some(&key));
        let server_ca = DevCa::new("server CA").unwrap();
        let server = server_ca.server(&Names { dns: vec!["localhost".to_owned()], ..Names::default() }).unwrap();
        Self {
            compiled,
            judge,
            cas,
            authorities,
            server_ca,
            server,
            key,
            snapshot,
            app: App::start().unwrap(),
            proxies: BTreeMap::new(),
        }
    }

    pub(crate) fn stop(self) {
        self.proxies.into_values().for_each(Running::stop);
    }

    /// How the proxy's answer to a case differs from the library's.
    pub(crate) fn differences(&mut self, case: &Case, came: &Outcome) -> Vec<String> {
        let request = with_host(&self.judge, case);
        let now = Timestamp::from(request.now.unwrap());
        let address = self.proxy_at(now, self.selects(&request));
        let certificate = self.certificate(&request);
        let config = client::config(&self.server_ca.der(), certificate.as_ref());
        let head = self.head(&request, certificate.as_ref(), now);
        let seen = self.app.seen();
        let said = request.peer.as_ref().is_some_and(|peer| peer.plaintext == Some(true));
        let tls = !said && self.compiled.body.tls.mode != TlsMode::Plaintext;
        let response = client::send(address, tls.then_some(&config), &head);
        let reached = self.app.seen() > seen;
        let (answer, response) = match (came, response) {
            (Ok(answer), Ok(response)) => (answer, response),
            (Err(fault), Err(end)) if !reached => return compare_alert(*fault, &end),
            (came, response) => return vec![format!("the library says {came:?}, the proxy {response:?}")],
        };
        let mut found = compare(case, answer, &response);
        if reached != answer.forward.is_some() {
            found.push(format!("the application was {}reached", if reached { "" } else { "not " }));
        }
        found
    }

    /// Whether the policy selects the pod of the case; a proxy in another one has no configuration. (Which policy selects a pod the
    /// operator decides, not the proxy.)
    fn selects(&self, request: &Request) -> bool {
        assert!(request.port.is_none(), "the corpus has one port");
        request.workload.as_ref().is_none_or(|pod| {
            let policy = self.compiled.ruleset.policy();
            policy.namespace == pod.namespace && compile::selects(&self.compiled.policy.spec.selector, &pod.labels)
        })
    }

    fn proxy_at(&mut self, now: Timestamp, configured: bool) -> SocketAddr {
        let start = || {
            let state = Arc::new(State::new());
            if configured {
                state.apply(&self.snapshot, &self.built_in_ca()).unwrap();
            }
            let certificate = server_certificate(&self.server.certificate, &self.server.key).unwrap();
            let mut settings = Settings::new((Ipv4Addr::LOCALHOST, 0).into(), self.app.address, certificate);
            settings.clock = Clock::Fixed(now);
            settings.workers = 1;
            sidecar::start(settings, state).unwrap()
        };
        let which = (now.as_millis(), configured);
        if let Some(running) = self.proxies.get(&which) {
            return running.address;
        }
        let running = start();
        let address = running.address;
        self.proxies.insert(which, running);
        address
    }

    fn built_in_ca(&self) -> Vec<CertificateDer<'static>> {
        let built_in = self.compiled.body.tls.client_cas.iter().filter(|ca| ca.built_in);
        built_in.map(|ca| self.cas[&ca.name].der()).collect()
    }

    /// The certificate that stands for the case's peer.
    fn certificate(&self, request: &Request) -> Option<Issued> {
        let tls = &self.compiled.body.tls;
        let peer = request.peer.as_ref();
        if let Some(pem) = peer.and_then(|peer| peer.certificate.as_ref()) {
            return Some(stand_in::caller(pem, &self.authorities));
        }
        let names = peer.and_then(|peer| peer.identity.clone());
        let demanded = self.compiled.ruleset.accepts() == TlsMode::Mutual;
        let nobody = demanded.then(PeerNames::default);
        let names = names.or(nobody)?;
        let built_in =
            || tls.client_cas.iter().find(|ca| ca.built_in).or(tls.client_cas.first()).map(|ca| ca.name.clone());
        let ca = names.ca.clone().or_else(built_in)?;
        let account = names.service_account.map(|account| {
            let (namespace, name) = account.split_once('/').unwrap();
            format!("spiffe://{}/ns/{namespace}/sa/{name}", tls.trust_domain)
        });
        let uris = names.spiffe.into_iter().chain(account).collect();
        Some(self.cas[&ca].client(&Names { dns: names.dns, uris, ips: Vec::new() }).unwrap())
    }

    fn head(&self, request: &Request, certificate: Option<&Issued>, now: Timestamp) -> Vec<u8> {
        let mut head = format!("{} ", request.method).into_bytes();
        match (&request.target, &request.target_base64) {
            (Some(target), _) => head.extend(target.as_bytes()),
            (None, base64) => head.extend(STANDARD.decode(base64.as_ref().unwrap()).unwrap()),
        }
        head.extend(b" HTTP/1.1\r\n");
        for (name, value) in &request.headers {
            head.extend(format!("{name}: {value}\r\n").bytes());
        }
        if let Some(identity) = &request.identity {
            let mut claims = identity.claims.clone();
            let original = request.peer.as_ref().and_then(|peer| peer.certificate.as_ref());
            if let (Some(original), Some(sent)) = (original, certificate) {
                rebind(&mut claims, original, &sent.certificate);
            }
            let token = self.token(&identity.issuer, &claims, now);
            head.extend(format!("authorization: Bearer {token}\r\n").bytes());
        }
        head.extend(b"\r\n");
        if is_chunked(request) {
            head.extend(b"0\r\n\r\n");
        }
        head
    }

    /// A token that holds what the case says, and beside it what every token needs.
    fn token(&self, issuer: &str, claims: &Map<String, Value>, now: Timestamp) -> String {
        let issuer = self.compiled.body.issuers.iter().find(|one| one.name == issuer).unwrap();
        let seconds = now.as_millis() / 1000;
        let mut full = Map::from_iter([
            ("iss".to_owned(), json!(issuer.issuer)),
            ("iat".to_owned(), json!(seconds - 1)),
            ("exp".to_owned(), json!(seconds + 600)),
        ]);
        if let Some(audience) = issuer.audiences.first() {
            full.insert("aud".to_owned(), json!(audience));
        }
        full.extend(claims.clone());
        // A subject that is absent in the case must be there, and empty says the same to every rule.
        full.entry("sub").or_insert(json!(""));
        self.key.sign(&Map::new(), &full).unwrap()
    }
}

/// A token that is bound to the certificate of the case is bound to the one that is sent for it (RFC 8705, section 3.1).
fn rebind(claims: &mut Map<String, Value>, original: &str, sent: &str) {
    let thumbprint = |pem: &str| {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        json!(URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate)))
    };
    let bound = claims.get_mut("cnf").and_then(|cnf| cnf.get_mut("x5t#S256"));
    if let Some(bound) = bound.filter(|bound| **bound == thumbprint(original)) {
        *bound = thumbprint(sent);
    }
}

/// The policy with the runner's CAs beside those that stand in for its own and, where tokens are minted, its key beside those of each
/// issuer.
fn snapshot(
    compiled: &Compiled,
    cas: &BTreeMap<String, DevCa>,
    authorities: &[StandIn],
    key: Option<&DevKey>,
) -> Snapshot {
    let mut body = compiled.body.clone();
    let mut stand_ins = authorities.iter().map(StandIn::certificate);
    for ca in body.tls.client_cas.iter_mut().filter(|ca| !ca.built_in) {
        let own = stand_ins.by_ref().take(ca.certificates.len());
        ca.certificates =
            std::iter::once(cas[&ca.name].der().to_vec()).chain(own).map(|der| STANDARD.encode(der)).collect();
        for text in &mut ca.crls {
            *text = STANDARD.encode(stand_in::list(&STANDARD.decode(&*text).unwrap(), authorities));
        }
    }
    let with_key = |message: &KeysMessage| {
        let mut jwks: Value = serde_json::from_str(message.jwks().unwrap()).unwrap();
        jwks["keys"].as_array_mut().unwrap().extend(key.map(DevKey::jwk));
        KeysMessage::new(message.id.clone(), message.issuer.clone(), &jwks.to_string()).unwrap()
    };
    let rulesets = vec![RulesetMessage::new(0, 1, &body).unwrap()];
    Snapshot { format: FORMAT, rulesets, keys: compiled.keys.iter().map(with_key).collect() }
}

fn is_chunked(request: &Request) -> bool {
    request.headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked")
}

/// How the end of a handshake differs from the fault that the library finds.
fn compare_alert(fault: CertificateFault, end: &std::io::Error) -> Vec<String> {
    let alert = end.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
    let wanted =
        ALERTS.iter().find(|(known, _)| *known == fault).map(|(_, alert)| rustls::Error::AlertReceived(*alert));
    if wanted.is_some() && alert == wanted.as_ref() {
        return Vec::new();
    }
    vec![format!("the library says `{fault}`, the proxy ends with {end:?}")]
}

fn compare(case: &Case, answer: &Answer, response: &Response) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |what: &str, wanted: Value, got: Value| {
        if wanted != got {
            found.push(format!("{what}: the library says {wanted}, the proxy {got}"));
        }
    };
    // Where a denial was let pass, the application answers.
    let status = if answer.forward.is_some() { 200 } else { answer.status };
    check("status", json!(status), json!(response.status));
    if answer.effect == "own" {
        return found;
    }
    let Some(forward) = &answer.forward else {
        check("code", json!(answer.code), response.body["code"].clone());
        check("detail", json!(answer.detail), response.body["detail"].clone());
        check("challenge", json!(answer.challenge), json!(response.field("www-authenticate")));
        return found;
    };
    // HEAD has no body to look into.
    if case.request.method == "HEAD" {
        return found;
    }
    check("target", json!(forward.target), response.body["path"].clone());
    let received = &response.body["headers"];
    for (name, value) in &forward.set {
        check(name, json!(value), received[name.as_str()].clone());
    }
    // What is removed is not there, but for what the proxy sets under the same name.
    let ours =
        ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-client-cert"];
    let framed_anew = |name: &str| name == "transfer-encoding" && is_chunked(&case.request);
    let may_come =
        |name: &str| ours.contains(&name) || framed_anew(name) || forward.set.iter().any(|(set, _)| set == name);
    for name in forward.removed.iter().filter(|name| !may_come(name) && *name != "x-request-id") {
        check(name, Value::Null, received[name.as_str()].clone());
    }
    if let cli::test::Expect::Allow(allow) = &case.expect {
        for (name, value) in &allow.headers {
            check(name, json!(value), received[name.as_str()].clone());
        }
    }
    found
}
