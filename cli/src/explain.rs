//! The decision about a request, without a proxy: the same functions on the same data.

mod answer;
mod lines;
mod peer;
mod request;
mod text;

pub use answer::{Answer, Forward, RuleRef};
pub use lines::{Lines, answer_lines};
pub use request::{AssumedIdentity, Header, Moment, PeerInput, PeerNames, Request, Workload};
pub use text::write_text;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use compile::Compiled;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use policy::certificate::{CertificateFault, ClientCa, check_anchor};
use policy::decide::{Authenticate, Question, audit_unreadable, explain};
use policy::keys::KeySet;
use policy::peer::Peer;
use policy::reason::Reason;
use policy::request::{CanonicalRequest, SizeLimits};
use policy::ruleset::{Paths, Ruleset};
use policy::time::Timestamp;
use policy::token::{self, Unproven, VerifiedToken};
use request::Head;
use rustls_pki_types::CertificateDer;

/// Certificates of CAs that no file holds, by the name that the policy gives the CA.
pub type NamedCas = BTreeMap<String, Vec<CertificateDer<'static>>>;

/// What comes of a request: an answer, or none, since the TLS handshake fails for this fault of the peer's certificate.
pub type Outcome = Result<Answer, CertificateFault>;

/// What decides about requests.
pub struct Judge {
    policies: Vec<Judged>,
}

struct Judged {
    compiled: Compiled,
    keys: Vec<Option<Arc<KeySet>>>,
    cas: Vec<ClientCa>,
}

impl Judge {
    /// Prepares policies; `named` adds certificates to CAs whose own are not in a file.
    ///
    /// # Errors
    /// Where keys or certificates cannot be read.
    pub fn new(policies: Vec<Compiled>, named: &NamedCas) -> anyhow::Result<Self> {
        let has =
            |name: &str| policies.iter().any(|policy| policy.body.tls.client_cas.iter().any(|ca| ca.name == name));
        if let Some(name) = named.keys().find(|name| !has(name)) {
            bail!("no policy has a CA `{name}`");
        }
        let policies =
            policies.into_iter().map(|compiled| Judged::new(compiled, named)).collect::<anyhow::Result<_>>()?;
        Ok(Self { policies })
    }

    /// The hosts that rules name, wildcards with a label before them, in order.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        let rules = self.policies.iter().flat_map(|judged| &judged.compiled.body.rules);
        rules.flat_map(|rule| &rule.hosts).map(|host| host.replacen('*', "any", 1))
    }

    /// Answers one request, as the proxy meets it: the connection, the HTTP parser, and then the policy.
    ///
    /// # Errors
    /// Where the question is not one: the text tells what to give instead.
    pub fn answer(&self, request: &Request) -> anyhow::Result<Outcome> {
        let head = Head::parse(request)?;
        let Some(judged) = self.choose(request)? else { return Ok(Ok(unprotected(request, head))) };
        let peer = match judged.peer(request)? {
            Ok(peer) => peer,
            Err(fault) => return Ok(Err(fault)),
        };
        if !judged.compiled.ruleset.accepts().takes(peer.plaintext) {
            return Ok(Ok(Answer::of_hygiene(Reason::Plaintext)));
        }
        match head {
            Ok(head) => judged.answer(request, head, &peer).map(Ok),
            Err(status) => Ok(Ok(Answer::of_parser(status))),
        }
    }

    /// The policy that protects the workload and the port.
    fn choose(&self, request: &Request) -> anyhow::Result<Option<&Judged>> {
        if let ([only], None) = (self.policies.as_slice(), &request.workload) {
            return Ok(Some(only));
        }
        let workload = request
            .workload
            .as_ref()
            .context("several policies are given: add `workload` (namespace, labels), and `port`")?;
        let mut selected = self.policies.iter().filter(|judged| judged.selects(workload, request.port));
        let first = selected.next();
        if let (Some(first), Some(second)) = (first, selected.next()) {
            bail!("`{}` and `{}` both select this workload and port", first.name(), second.name());
        }
        Ok(first)
    }
}

impl Judged {
    fn new(compiled: Compiled, named: &NamedCas) -> anyhow::Result<Self> {
        let key_set = |issuer: &policy::ruleset::Issuer| {
            let message = compiled.keys.iter().find(|message| message.id == issuer.keys());
            message.map(|message| Ok(Arc::new(KeySet::parse(message.jwks()?.as_bytes())?))).transpose()
        };
        let keys = compiled.ruleset.issuers().iter().map(key_set).collect::<anyhow::Result<_>>()?;
        let client_ca = |source: &policy::ruleset::ClientCaSource| {
            let given = named.get(&*source.name).cloned().unwrap_or_default();
            let own = source.certificates.iter().flatten().map(|der| CertificateDer::from(der.clone()));
            let all: Vec<_> = own.chain(given).collect();
            ClientCa::new(&source.name, source.certificates.is_none(), &all, &source.crls)
        };
        let mut cas: Vec<ClientCa> = Vec::new();
        for source in &compiled.ruleset.tls().client_cas {
            let ca = client_ca(source).with_context(|| format!("CA `{}` cannot be used", source.name))?;
            if let Some(other) = cas.iter().find(|other| ca.shares_anchor(other)) {
                bail!("CA `{}` holds a trust anchor of CA `{}`: list each authority once", ca.name(), other.name());
            }
            cas.push(ca);
        }
        Ok(Self { compiled, keys, cas })
    }

    fn name(&self) -> String {
        let policy = self.compiled.ruleset.policy();
        format!("{}/{}", policy.namespace, policy.name)
    }

    fn selects(&self, workload: &Workload, port: Option<u16>) -> bool {
        let same_port = match (&self.compiled.port, port) {
            (Some(crds::IntOrString::Int(ours)), Some(port)) => *ours == i32::from(port),
            _ => true,
        };
        let namespace = &self.compiled.ruleset.policy().namespace;
        same_port
            && *namespace == workload.namespace
            && compile::selects(&self.compiled.policy.spec.selector, &workload.labels)
    }

    fn answer(&self, request: &Request, mut head: Head, peer: &Peer) -> anyhow::Result<Answer> {
        let ruleset = &self.compiled.ruleset;
        let sent = head.headers.clone();
        self.stand_in(request, &mut head.headers)?;
        let mut authenticate = Witness { judged: self, identity: request.identity.as_ref(), looked: false };
        let now = request.now.map(Timestamp::from);
        let moment = now.unwrap_or(Timestamp::from_millis(0));
        let limits = ruleset.limits();
        let limits = SizeLimits { headers: limits.headers, body: limits.body };
        let head = head.as_request_head();
        let answer = match CanonicalRequest::read(&head, ruleset.paths(), &limits) {
            Ok(canonical) => {
                let question = Question { ruleset, head, request: &canonical, peer, now: moment, begun: moment };
                Answer::of_policy(&self.name(), explain(question, &mut authenticate), &sent)
            }
            Err(reason) => {
                let audited = audit_unreadable(ruleset, head, peer, moment, (reason, &limits), &mut authenticate);
                match audited {
                    Ok(granted) => Answer::of_audited(&self.name(), granted, Vec::new(), &sent),
                    Err(reason) => Answer::of_hygiene(reason),
                }
            }
        };
        if authenticate.looked && now.is_none() {
            bail!("a token is looked at: give the time as `now`, such as \"2026-01-01T00:00:00Z\"");
        }
        Ok(answer)
    }

    fn peer(&self, request: &Request) -> anyhow::Result<Result<Peer, CertificateFault>> {
        peer::read(request.peer.as_ref(), &self.cas, &self.compiled.ruleset, request.now.map(Timestamp::from))
    }

    /// An assumed identity needs a credential that stands for it.
    fn stand_in(&self, request: &Request, headers: &mut HeaderMap) -> anyhow::Result<()> {
        let Some(identity) = &request.identity else { return Ok(()) };
        if self.issuer_position(&identity.issuer).is_none() {
            bail!("the policy has no issuer `{}`", identity.issuer);
        }
        if headers.contains_key(AUTHORIZATION) {
            bail!("give either an `identity` or an authorization header, not both");
        }
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer identity"));
        Ok(())
    }

    fn issuer_position(&self, name: &str) -> Option<usize> {
        self.compiled.ruleset.issuers().iter().position(|issuer| issuer.name() == name)
    }
}

/// No policy protects the workload: only TLS is spoken, ambiguous input is told first, and everything else is refused too.
fn unprotected(request: &Request, head: Result<Head, u16>) -> Answer {
    if request.peer.as_ref().is_some_and(|peer| peer.plaintext == Some(true)) {
        return Answer::of_hygiene(Reason::Plaintext);
    }
    match head {
        Err(status) => Answer::of_parser(status),
        Ok(head) => {
            let read = CanonicalRequest::read(&head.as_request_head(), Paths::default(), &SizeLimits::default());
            Answer::of_hygiene(read.err().unwrap_or(Reason::NotConfigured))
        }
    }
}

/// Verifies tokens, or takes an identity as verified, and remembers that it was asked.
struct Witness<'a> {
    judged: &'a Judged,
    identity: Option<&'a AssumedIdentity>,
    looked: bool,
}

impl Authenticate for Witness<'_> {
    fn authenticate(&mut self, token: &str) -> Result<Arc<VerifiedToken>, Unproven> {
        self.looked = true;
        let ruleset: &Ruleset = &self.judged.compiled.ruleset;
        match self.identity {
            None => token::verify(token, ruleset.issuers(), &self.judged.keys).map(Arc::new),
            Some(identity) => {
                let position = self.judged.issuer_position(&identity.issuer).unwrap_or(usize::MAX);
                Ok(VerifiedToken::assume(identity.claims.clone(), ruleset.issuers(), position).map(Arc::new)?)
            }
        }
    }
}

/// What people are told where the handshake fails: then there is no request to decide about.
pub(crate) fn no_handshake(fault: CertificateFault) -> anyhow::Error {
    anyhow!("the TLS handshake would fail for the client's certificate: {fault}")
}

/// Reads `NAME=FILE` pairs of `--client-ca`.
///
/// # Errors
/// Where a pair has no name, or its file no certificate.
pub fn named_cas(pairs: &[String]) -> anyhow::Result<NamedCas> {
    let mut named = NamedCas::new();
    for pair in pairs {
        let (name, file) = pair.split_once('=').ok_or_else(|| anyhow!("`{pair}` is no NAME=FILE"))?;
        let text = crate::load::read(file.as_ref())?;
        let certificates = crate::pem::certificates(&text).with_context(|| format!("`{file}`"))?;
        for (index, certificate) in certificates.iter().enumerate() {
            check_anchor(certificate)
                .with_context(|| format!("`{file}`: certificate {} vouches for nobody", index + 1))?;
        }
        named.entry(name.to_owned()).or_default().extend(certificates);
    }
    Ok(named)
}
