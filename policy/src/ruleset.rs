//! What decisions are made with: parsed once, no text in it that could be taken for a pattern.

mod build;
mod host;
mod router;

pub use build::RulesetError;
pub(crate) use host::HostPattern;
pub use router::{Template, TemplateError};

use crate::address::Addresses;
use crate::claim::ClaimPath;
use crate::cors::Cors;
use crate::metadata::Resource;
use crate::peer::Peer;
use crate::principal::Attribute;
use crate::request::CanonicalRequest;
use crate::wire::{Algorithm, AppProtocol, Limits, PolicyName, TlsMode, TlsVersion};
use http::{HeaderMap, HeaderName, Method};
use ipnet::IpNet;
use router::Router;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The policy of one port, ready to decide.
#[derive(Debug)]
pub struct Ruleset {
    pub(crate) policy: PolicyName,
    pub(crate) audit: bool,
    pub(crate) resource: Option<Resource>,
    pub(crate) cors: Option<Cors>,
    pub(crate) addresses: Addresses,
    pub(crate) limits: Limits,
    pub(crate) tls: Tls,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) rules: Vec<Rule>,
    /// Shared, because what is left of a request while its body is under way needs it.
    pub(crate) forward: Arc<Forward>,
    pub(crate) paths: Paths,
    router: Router,
}

/// How connections are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whether a client certificate is needed.
    pub mode: TlsMode,
    /// The lowest protocol version.
    pub min_version: TlsVersion,
    /// The trust domain that only the built-in CA can vouch for.
    pub trust_domain: Box<str>,
    /// The CAs in order: name, whether built in, certificates in DER.
    pub client_cas: Vec<ClientCaSource>,
}

impl Tls {
    /// Whether a connection of this peer would be accepted now: it may be older than the policy.
    #[must_use]
    pub fn takes(&self, peer: &Peer) -> bool {
        let fits = match self.mode {
            TlsMode::Mutual => peer.certificate.is_some(),
            mode => mode.takes(peer.plaintext),
        };
        let recent = !peer.tls12 || self.min_version == TlsVersion::Tls12;
        let vouched = |name: &str| self.client_cas.iter().any(|ca| *ca.name == *name);
        fits && recent && peer.certificate.as_ref().is_none_or(|certificate| vouched(&certificate.ca))
    }
}

/// Where the certificates of a CA come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCaSource {
    /// Its name in the policy.
    pub name: Box<str>,
    /// Its certificates in DER; none for the built-in CA, whose certificates are not part of a policy.
    pub certificates: Option<Vec<Vec<u8>>>,
    /// Its revocation lists in DER.
    pub crls: Vec<Vec<u8>>,
}

/// How paths are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// `%2F` may stand in a segment (`paths.encodedSlash: Verbatim`).
    pub encoded_slash: bool,
    /// A template may match without case (`paths.case: Insensitive`).
    pub case_insensitive: bool,
}

/// An issuer of tokens.
#[derive(Debug)]
pub struct Issuer {
    pub(crate) name: Box<str>,
    pub(crate) issuer: Box<str>,
    pub(crate) keys: Box<str>,
    pub(crate) audiences: Vec<Box<str>>,
    pub(crate) any_audience: bool,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) token_types: Vec<Box<str>>,
    pub(crate) untyped: bool,
    pub(crate) id_tokens: bool,
    pub(crate) leeway: Duration,
    pub(crate) max_token_age: Option<Duration>,
    pub(crate) required_claims: Vec<ClaimPath>,
    pub(crate) clients: Vec<Box<str>>,
    pub(crate) email_trusted: bool,
    pub(crate) access_token_use: bool,
    pub(crate) identity: IdentityMapping,
    /// The top-level claims that rules and headers of the policy look at; the others are not kept.
    pub(crate) kept_claims: Vec<Box<str>>,
}

#[derive(Debug)]
pub(crate) struct IdentityMapping {
    pub(crate) subject: ClaimPath,
    pub(crate) subject_is_sub: bool,
    pub(crate) scopes: Option<ClaimPath>,
    pub(crate) roles: Option<ClaimPath>,
    pub(crate) groups: Option<ClaimPath>,
    pub(crate) tenant: Option<ClaimPath>,
    pub(crate) tenant_value: Option<Box<str>>,
    pub(crate) email: ClaimPath,
    pub(crate) name: ClaimPath,
    pub(crate) client: Vec<ClaimPath>,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    pub(crate) index: usize,
    pub(crate) path: Box<str>,
    pub(crate) methods: Vec<Method>,
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) ips: Vec<IpNet>,
    pub(crate) access: Access,
    pub(crate) audit: bool,
}

#[derive(Debug)]
pub(crate) enum Access {
    Anonymous,
    Authenticated,
    Certificate,
    Require(Box<Require>),
}

#[derive(Debug, Default)]
pub(crate) struct Require {
    /// Positions in the policy's issuers.
    pub(crate) issuers: Vec<usize>,
    pub(crate) clients: Vec<Box<str>>,
    pub(crate) scopes: Vec<Box<str>>,
    pub(crate) any_scope: Vec<Box<str>>,
    pub(crate) roles: Vec<Box<str>>,
    pub(crate) any_role: Vec<Box<str>>,
    pub(crate) any_group: Vec<Box<str>>,
    pub(crate) claims: Vec<(ClaimPath, Box<str>, Vec<Box<str>>)>,
    pub(crate) path_params: Vec<PathParam>,
    pub(crate) callers: Vec<Caller>,
    pub(crate) bound_token: bool,
    pub(crate) max_auth_age: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct PathParam {
    pub(crate) name: Box<str>,
    /// The position of its segment in the path.
    pub(crate) segment: usize,
    pub(crate) attribute: Attribute,
}

#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) ca: Box<str>,
    pub(crate) service_account: Option<Box<str>>,
    pub(crate) dns: Option<Box<str>>,
    pub(crate) spiffe: Option<Box<str>>,
}

#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) keep_token: bool,
    pub(crate) headers: Vec<IdentityHeader>,
    pub(crate) client_certificate: bool,
    pub(crate) protocol: AppProtocol,
}

#[derive(Debug)]
pub(crate) struct IdentityHeader {
    pub(crate) name: HeaderName,
    /// The name as an application that maps characters would see it.
    pub(crate) mapped: Box<str>,
    pub(crate) source: IdentitySource,
    pub(crate) json: bool,
}

#[derive(Debug)]
pub(crate) enum IdentitySource {
    Attribute(Attribute),
    Claim(ClaimPath),
}

/// Whether a text is a host name in canonical form, or `*.` and one.
#[must_use]
pub fn is_host_pattern(text: &str) -> bool {
    HostPattern::parse(text).is_some()
}

/// Whether a method can pass at all: TRACE, TRACK, CONNECT and names with lower-case letters never do.
#[must_use]
pub fn is_forwardable_method(name: &str) -> bool {
    Method::from_bytes(name.as_bytes()).is_ok_and(|method| crate::request::is_forwardable(&method))
}

impl Ruleset {
    /// Namespace and name of the policy.
    #[must_use]
    pub fn policy(&self) -> &PolicyName {
        &self.policy
    }

    /// How connections are accepted.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// How paths are compared.
    #[must_use]
    pub fn paths(&self) -> Paths {
        self.paths
    }

    /// How large and how slow a request may be.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether denials are told and let pass.
    #[must_use]
    pub fn is_audit(&self) -> bool {
        self.audit
    }

    /// Which connections are accepted: in Audit all that could be anybody's.
    #[must_use]
    pub fn accepts(&self) -> TlsMode {
        if self.audit { TlsMode::Permissive } else { self.tls.mode }
    }

    /// The issuers, in the order of the policy.
    #[must_use]
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// The rules, in the order of the policy.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether the policy says anything to browsers.
    #[must_use]
    pub fn has_cors(&self) -> bool {
        self.cors.is_some()
    }

    /// Puts what browsers must be told into an answer, ours or the application's, where the policy has `cors`.
    pub fn tell_browsers(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        if let Some(cors) = &self.cors {
            cors.rewrite(request, answer);
        }
    }

    /// The template that host and path choose.
    pub(crate) fn route(&self, request: &CanonicalRequest) -> Option<router::Routed<'_>> {
        self.router.route(&self.rules, request.host().name(), request.path())
    }
}

impl Issuer {
    /// Its name in the policy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `id` of the keys message that verifies its tokens.
    #[must_use]
    pub fn keys(&self) -> &str {
        &self.keys
    }
}

impl Rule {
    /// Its position in the policy, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its template.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn allows_method(&self, method: &Method) -> bool {
        self.methods.is_empty()
            || self.methods.contains(method)
            || (*method == Method::HEAD && self.methods.contains(&Method::GET))
    }

    /// Whether its networks admit an address; an unknown one is in none.
    pub(crate) fn admits(&self, address: Option<IpAddr>) -> bool {
        let inside = |address| self.ips.iter().any(|network| network.contains(&address));
        self.ips.is_empty() || address.is_some_and(inside)
    }

    pub(crate) fn needs_token(&self) -> bool {
        match &self.access {
            Access::Anonymous | Access::Certificate => false,
            Access::Authenticated => true,
            Access::Require(require) => require.needs_token(),
        }
    }

    pub(crate) fn needs_certificate(&self) -> bool {
        match &self.access {
            Access::Anonymous | Access::Authenticated => false,
            Access::Certificate => true,
            Access::Require(require) => !require.callers.is_empty(),
        }
    }
}

impl Require {
    /// A `require` needs a token exactly when it lists something of one.
    pub(crate) fn needs_token(&self) -> bool {
        let lists = [&self.clients, &self.scopes, &self.any_scope, &self.roles, &self.any_role, &self.any_group];
        lists.iter().any(|list| !list.is_empty())
            || !self.issuers.is_empty()
            || !self.claims.is_empty()
            || !self.path_params.is_empty()
            || self.bound_token
            || self.max_auth_age.is_some()
    }
}
