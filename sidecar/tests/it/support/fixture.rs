//! A proxy with a policy, in this process.

use super::client::PATIENCE;
use super::tokens::ISSUER;
use super::{Ca, Client, Signer};
use policy::wire::{
    Access, Algorithm, AppProtocol, AttributeName, Body, ClientCa, Forward, ForwardHeader, HeaderFormat, HeaderSource,
    IdentityMapping, Issuer, KeysMessage, PathOptions, PolicyName, Require, Rule, RulesetMessage, Snapshot, Tls,
    TlsMode, TlsVersion,
};
use sidecar::{Limits, Running, ServerCertificate, Settings, State};
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) struct Fixture {
    pub(crate) ca: Ca,
    pub(crate) signer: Signer,
    pub(crate) state: Arc<State>,
    pub(crate) running: Running,
}

impl Fixture {
    /// A proxy with the usual policy in force.
    pub(crate) fn start(mode: TlsMode, upstream: SocketAddr) -> Self {
        Self::with_limits(mode, upstream, Limits::default())
    }

    pub(crate) fn with_limits(mode: TlsMode, upstream: SocketAddr, limits: Limits) -> Self {
        let fixture = Self::unconfigured(upstream, limits);
        fixture.apply(&body(mode));
        fixture
    }

    pub(crate) fn unconfigured(upstream: SocketAddr, limits: Limits) -> Self {
        Self::adjusted(upstream, |settings| settings.limits = limits)
    }

    /// A proxy without a policy, its settings changed as a test wants them.
    pub(crate) fn adjusted(upstream: SocketAddr, adjust: impl FnOnce(&mut Settings)) -> Self {
        let ca = Ca::new("cluster");
        let server = ca.server();
        let certificate = ServerCertificate::new(vec![server.certificate.clone()], server.key()).unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut settings =
            Settings { workers: 2, admin: Some(loopback), ..Settings::new(loopback, upstream, certificate) };
        adjust(&mut settings);
        let state = Arc::new(State::new());
        let running = sidecar::start(settings, Arc::clone(&state)).unwrap();
        Self { ca, signer: Signer::new("k1"), state, running }
    }

    pub(crate) fn apply(&self, body: &Body) {
        self.state.apply(&snapshot(body, &self.signer.jwks()), std::slice::from_ref(&self.ca.certificate)).unwrap();
    }

    /// A caller with a certificate of the built-in CA.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.running.address, &self.ca.certificate, Some(&self.ca.client("web/web")))
    }

    pub(crate) fn stranger(&self) -> Client {
        Client::new(self.running.address, &self.ca.certificate, None)
    }

    pub(crate) fn alice(&self) -> String {
        self.signer.bearer(serde_json::json!({"scope": "orders:read"}))
    }
}

/// The usual policy: `/open/**` for anybody, `/me` for every token, `/orders/{id}` for the scope `orders:read`.
pub(crate) fn body(mode: TlsMode) -> Body {
    let rule = |path: &str, methods: &[&str], access| Rule {
        path: path.into(),
        methods: methods.iter().map(|method| (*method).into()).collect(),
        hosts: Vec::new(),
        access,
        ips: Vec::new(),
        audit: false,
    };
    let scoped = Require { scopes: vec!["orders:read".into()], ..Require::default() };
    Body {
        policy: PolicyName { namespace: "shop".into(), name: "orders".into(), uid: String::new() },
        mode: policy::wire::Mode::Enforce,
        resource: None,
        cors: None,
        addresses: policy::wire::Addresses::default(),
        limits: policy::wire::Limits::default(),
        tls: Tls {
            mode,
            min_version: TlsVersion::Tls12,
            trust_domain: "cluster.local".into(),
            client_cas: vec![ClientCa {
                name: "cluster".into(),
                built_in: true,
                certificates: Vec::new(),
                crls: Vec::new(),
            }],
        },
        issuers: vec![issuer()],
        rules: vec![
            rule("/open/**", &[], Access::Anonymous),
            rule("/me", &[], Access::Authenticated),
            rule("/orders/{id}", &["GET", "PUT"], Access::Require(Box::new(scoped))),
            rule("/internal", &[], Access::Certificate),
        ],
        forward: Forward {
            keep_token: false,
            client_certificate: false,
            protocol: AppProtocol::Http1,
            headers: vec![ForwardHeader {
                name: "x-user".into(),
                value: HeaderSource::Identity(AttributeName::Subject),
                format: HeaderFormat::Comma,
            }],
        },
        paths: PathOptions { case_insensitive: false, encoded_slash: false },
    }
}

fn issuer() -> Issuer {
    Issuer {
        name: "main".into(),
        issuer: ISSUER.into(),
        keys: "main".into(),
        audiences: vec!["orders-api".into()],
        any_audience: false,
        algorithms: vec![Algorithm::ES256],
        token_types: vec!["at+jwt".into()],
        untyped: false,
        id_tokens: false,
        leeway_ms: 30_000,
        max_token_age_ms: None,
        required_claims: Vec::new(),
        clients: Vec::new(),
        email_trusted: false,
        access_token_use: false,
        identity: IdentityMapping {
            subject: "sub".into(),
            scopes: None,
            roles: None,
            groups: None,
            tenant: None,
            tenant_value: None,
            email: "email".into(),
            name: "name".into(),
            client: vec!["azp".into()],
        },
    }
}

pub(crate) fn snapshot(body: &Body, jwks: &str) -> Snapshot {
    let ruleset = RulesetMessage::new(0, 1, body).unwrap();
    let keys = KeysMessage::new("main".into(), ISSUER.into(), jwks).unwrap();
    Snapshot { format: policy::wire::FORMAT, rulesets: vec![ruleset], keys: vec![keys] }
}

/// Waits until something holds; never longer than the patience of all tests.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}
