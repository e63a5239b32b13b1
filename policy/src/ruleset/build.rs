//! From plain data to a ruleset: every text is parsed here, once.

use super::router::{Router, Template, TemplateError};
use super::{
    Access, Caller, ClientCaSource, Forward, HostPattern, IdentityHeader, IdentityMapping, IdentitySource, Issuer,
    PathParam, Paths, Require, Rule, Ruleset, Tls,
};
use crate::address::Addresses;
use crate::claim::{ClaimPath, ClaimPathError};
use crate::cors::Cors;
use crate::forward::names::{self, ReservedName};
use crate::metadata::{Resource, ResourceError};
use crate::principal::Attribute;
use crate::wire::{self, AttributeName, Body, HeaderFormat, HeaderSource, Mode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Why data is no ruleset; `compile` finds the same faults with their places, so this is what a damaged or foreign
/// message leads to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct RulesetError {
    place: String,
    fault: RulesetFault,
}

impl RulesetError {
    /// Where, as a field path of the policy.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What, in words.
    #[must_use]
    pub fn message(&self) -> String {
        self.fault.to_string()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum RulesetFault {
    #[error(transparent)]
    Template(TemplateError),
    #[error(transparent)]
    Claim(ClaimPathError),
    #[error("`{0}` is no method that can pass")]
    Method(String),
    #[error("`{0}` is neither a host name nor `*.` and one")]
    Host(String),
    #[error("`{0}` is no issuer of this policy")]
    Issuer(String),
    #[error("`{0}` is no CA of this policy")]
    Ca(String),
    #[error("the template has no parameter `{0}`")]
    Parameter(String),
    #[error("a list of scopes, roles, groups or the issuer is never one text")]
    ListParameter,
    #[error(transparent)]
    Header(ReservedName),
    #[error("a `require` that lists nothing would let everybody pass")]
    Empty,
    #[error("several issuers: a rule that looks at the token names its `issuers`")]
    UnnamedIssuer,
    #[error("two issuers with one `issuer`")]
    SameIssuer,
    #[error("another entry has the name `{0}`")]
    SameName(String),
    #[error("no audience, and `anyAudience` is not set")]
    NoAudience,
    #[error(transparent)]
    Resource(ResourceError),
    #[error("an origin, method or header that no header field can hold")]
    Cors,
    #[error("not base64")]
    Base64,
}

type Built<T> = Result<T, RulesetError>;

fn at(place: impl Into<String>) -> impl FnOnce(RulesetFault) -> RulesetError {
    let place = place.into();
    move |fault| RulesetError { place, fault }
}

impl Ruleset {
    /// Builds a ruleset from plain data.
    ///
    /// # Errors
    /// The first fault, with its place.
    pub fn new(body: &Body) -> Result<Self, RulesetError> {
        let mut issuers = body.issuers.iter().enumerate().map(|(n, one)| issuer(one, n)).collect::<Built<Vec<_>>>()?;
        check_names("issuers", body.issuers.iter().map(|one| &one.name))?;
        for (n, one) in issuers.iter().enumerate() {
            if issuers.iter().take(n).any(|other| other.issuer == one.issuer) {
                return Err(at(format!("issuers[{n}].issuer"))(RulesetFault::SameIssuer));
            }
        }
        let mut router = Router::default();
        let mut rules = Vec::with_capacity(body.rules.len());
        for (index, one) in body.rules.iter().enumerate() {
            let template = Template::parse(&one.path)
                .map_err(|fault| at(format!("rules[{index}].path"))(RulesetFault::Template(fault)))?;
            if body.resource.is_some() && template.is_metadata() {
                return Err(at(format!("rules[{index}].path"))(RulesetFault::Template(TemplateError::Reserved)));
            }
            rules.push(rule(one, index, &template, body)?);
            router
                .add(template, index)
                .map_err(|fault| at(format!("rules[{index}].path"))(RulesetFault::Template(fault)))?;
        }
        let forward = forward(&body.forward)?;
        let kept = kept_claims(&rules, &forward);
        issuers.iter_mut().for_each(|issuer| issuer.kept_claims.clone_from(&kept));
        Ok(Self {
            policy: body.policy.clone(),
            audit: body.mode == Mode::Audit,
            resource: resource(body.resource.as_deref(), &issuers)?,
            cors: body.cors.as_ref().map(cors).transpose()?,
            addresses: addresses(body)?,
            limits: body.limits,
            tls: tls(&body.tls)?,
            issuers,
            rules,
            forward: Arc::new(forward),
            paths: Paths { encoded_slash: body.paths.encoded_slash, case_insensitive: body.paths.case_insensitive },
            router,
        })
    }
}

/// Rules name issuers and CAs: under one name the second would have the rights of the first.
fn check_names<'a>(list: &str, names: impl Iterator<Item = &'a String>) -> Built<()> {
    let mut seen = HashSet::new();
    for (n, name) in names.enumerate() {
        if !seen.insert(name) {
            return Err(at(format!("{list}[{n}].name"))(RulesetFault::SameName(name.clone())));
        }
    }
    Ok(())
}

/// The top-level claims that anything in the policy looks at beside the attributes.
fn kept_claims(rules: &[Rule], forward: &Forward) -> Vec<Box<str>> {
    let of_rules = rules.iter().filter_map(|rule| match &rule.access {
        Access::Require(require) => Some(require.claims.iter().map(|(path, ..)| path)),
        _ => None,
    });
    let of_headers = forward.headers.iter().filter_map(|header| match &header.source {
        IdentitySource::Claim(path) => Some(path),
        IdentitySource::Attribute(_) => None,
    });
    let mut kept: Vec<Box<str>> =
        of_rules.flatten().chain(of_headers).filter_map(ClaimPath::root).map(Into::into).collect();
    kept.sort_unstable();
    kept.dedup();
    kept
}

fn resource(identifier: Option<&str>, issuers: &[Issuer]) -> Built<Option<Resource>> {
    let parse = |identifier| Resource::new(identifier, issuers);
    identifier.map(parse).transpose().map_err(|fault| at("resource")(RulesetFault::Resource(fault)))
}

fn cors(from: &wire::Cors) -> Built<Cors> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| at("cors")(RulesetFault::Cors));
    let list = |items: &[String]| if items.is_empty() { Ok(None) } else { value(&items.join(", ")).map(Some) };
    Ok(Cors {
        origins: from.origins.iter().map(|origin| value(origin)).collect::<Built<_>>()?,
        methods: list(&from.methods)?,
        headers: list(&from.headers)?,
        credentials: from.credentials,
        max_age: HeaderValue::from(from.max_age_seconds),
    })
}

fn addresses(body: &Body) -> Built<Addresses> {
    let from = &body.addresses;
    let trusted = from.trusted_callers.iter().map(|one| caller(one, "ip.trustedProxies", body));
    Ok(Addresses {
        allow: from.allow.clone(),
        deny: from.deny.clone(),
        trusted_networks: from.trusted_networks.clone(),
        trusted_callers: trusted.collect::<Built<_>>()?,
    })
}

fn tls(tls: &wire::Tls) -> Built<Tls> {
    check_names("tls.clientCAs", tls.client_cas.iter().map(|ca| &ca.name))?;
    let source = |(n, ca): (usize, &wire::ClientCa)| {
        let decode =
            |text: &String| STANDARD.decode(text).map_err(|_| at(format!("tls.clientCAs[{n}]"))(RulesetFault::Base64));
        let certificates =
            if ca.built_in { None } else { Some(ca.certificates.iter().map(decode).collect::<Built<Vec<_>>>()?) };
        let crls = ca.crls.iter().map(decode).collect::<Built<Vec<_>>>()?;
        Ok(ClientCaSource { name: ca.name.as_str().into(), certificates, crls })
    };
    let client_cas = tls.client_cas.iter().enumerate().map(source).collect::<Built<Vec<_>>>()?;
    Ok(Tls { mode: tls.mode, min_version: tls.min_version, trust_domain: tls.trust_domain.as_str().into(), client_cas })
}

fn boxed(texts: &[String]) -> Vec<Box<str>> {
    texts.iter().map(|text| text.as_str().into()).collect()
}

fn claim(text: &str, place: &str) -> Built<ClaimPath> {
    ClaimPath::parse(text).map_err(|fault| at(place)(RulesetFault::Claim(fault)))
}

fn issuer(from: &wire::Issuer, n: usize) -> Built<Issuer> {
    let place = format!("issuers[{n}]");
    if from.audiences.is_empty() && !from.any_audience {
        return Err(at(format!("{place}.audiences"))(RulesetFault::NoAudience));
    }
    let required = |text: &String| claim(text, &format!("{place}.requiredClaims"));
    Ok(Issuer {
        name: from.name.as_str().into(),
        issuer: from.issuer.as_str().into(),
        keys: from.keys.as_str().into(),
        audiences: boxed(&from.audiences),
        any_audience: from.any_audience,
        algorithms: from.algorithms.clone(),
        token_types: boxed(&from.token_types),
        untyped: from.untyped,
        id_tokens: from.id_tokens,
        leeway: Duration::from_millis(from.leeway_ms),
        max_token_age: from.max_token_age_ms.map(Duration::from_millis),
        required_claims: from.required_claims.iter().map(required).collect::<Built<_>>()?,
        clients: boxed(&from.clients),
        email_trusted: from.email_trusted,
        access_token_use: from.access_token_use,
        identity: identity(&from.identity, &place)?,
        kept_claims: Vec::new(),
    })
}

fn identity(from: &wire::IdentityMapping, place: &str) -> Built<IdentityMapping> {
    let path = |name: &str, text: &str| claim(text, &format!("{place}.identity.{name}"));
    let optional = |name: &str, text: &Option<String>| text.as_deref().map(|text| path(name, text)).transpose();
    Ok(IdentityMapping {
        subject: path("subject", &from.subject)?,
        subject_is_sub: from.subject == "sub",
        scopes: optional("scopes", &from.scopes)?,
        roles: optional("roles", &from.roles)?,
        groups: optional("groups", &from.groups)?,
        tenant: optional("tenant", &from.tenant)?,
        tenant_value: from.tenant_value.as_deref().map(Into::into),
        email: path("email", &from.email)?,
        name: path("name", &from.name)?,
        client: from.client.iter().map(|text| path("client", text)).collect::<Built<_>>()?,
    })
}

fn rule(from: &wire::Rule, index: usize, template: &Template, body: &Body) -> Built<Rule> {
    let place = format!("rules[{index}]");
    let method = |text: &String| {
        let method = Method::from_bytes(text.as_bytes()).ok().filter(crate::request::is_forwardable);
        method.ok_or_else(|| at(format!("{place}.methods"))(RulesetFault::Method(text.clone())))
    };
    let host = |text: &String| {
        HostPattern::parse(text).ok_or_else(|| at(format!("{place}.hosts"))(RulesetFault::Host(text.clone())))
    };
    let access = match &from.access {
        wire::Access::Anonymous => Access::Anonymous,
        wire::Access::Authenticated => Access::Authenticated,
        wire::Access::Certificate => Access::Certificate,
        wire::Access::Require(wanted) => {
            Access::Require(Box::new(require(wanted, &format!("{place}.require"), template, body)?))
        }
    };
    Ok(Rule {
        index,
        path: from.path.as_str().into(),
        methods: from.methods.iter().map(method).collect::<Built<_>>()?,
        hosts: from.hosts.iter().map(host).collect::<Built<_>>()?,
        ips: from.ips.clone(),
        access,
        audit: from.audit,
    })
}

fn require(from: &wire::Require, place: &str, template: &Template, body: &Body) -> Built<Require> {
    let issuer = |name: &String| {
        let position = body.issuers.iter().position(|issuer| issuer.name == *name);
        position.ok_or_else(|| at(format!("{place}.issuers"))(RulesetFault::Issuer(name.clone())))
    };
    let claims = |wanted: &wire::ClaimRequirement| {
        Ok((claim(&wanted.claim, &format!("{place}.claims"))?, wanted.claim.as_str().into(), boxed(&wanted.any_of)))
    };
    let require = Require {
        issuers: from.issuers.iter().map(issuer).collect::<Built<_>>()?,
        clients: boxed(&from.clients),
        scopes: boxed(&from.scopes),
        any_scope: boxed(&from.any_scope),
        roles: boxed(&from.roles),
        any_role: boxed(&from.any_role),
        any_group: boxed(&from.any_group),
        claims: from.claims.iter().map(claims).collect::<Built<_>>()?,
        path_params: from
            .path_params
            .iter()
            .map(|(name, attribute)| path_param(name, *attribute, place, template))
            .collect::<Built<_>>()?,
        callers: from.callers.iter().map(|one| caller(one, place, body)).collect::<Built<_>>()?,
        bound_token: from.bound_token,
        max_auth_age: from.max_auth_age_ms.map(Duration::from_millis),
    };
    if !require.needs_token() && require.callers.is_empty() {
        return Err(at(place)(RulesetFault::Empty));
    }
    if require.needs_token() && require.issuers.is_empty() && body.issuers.len() > 1 {
        return Err(at(format!("{place}.issuers"))(RulesetFault::UnnamedIssuer));
    }
    Ok(require)
}

fn path_param(name: &str, attribute: AttributeName, place: &str, template: &Template) -> Built<PathParam> {
    let place = || format!("{place}.pathParams.{name}");
    let found = template.parameters().find(|(_, parameter)| *parameter == name);
    let (segment, _) = found.ok_or_else(|| at(place())(RulesetFault::Parameter(name.to_owned())))?;
    let attribute = Attribute::from(attribute);
    let one_text = matches!(
        attribute,
        Attribute::Subject | Attribute::Tenant | Attribute::Email | Attribute::Name | Attribute::Client
    );
    if !one_text {
        return Err(at(place())(RulesetFault::ListParameter));
    }
    Ok(PathParam { name: name.into(), segment, attribute })
}

fn caller(from: &wire::Caller, place: &str, body: &Body) -> Built<Caller> {
    if !body.tls.client_cas.iter().any(|ca| ca.name == from.ca) {
        return Err(at(format!("{place}.callers"))(RulesetFault::Ca(from.ca.clone())));
    }
    let text = |text: &Option<String>| text.as_deref().map(Into::into);
    if from.service_account.is_none() && from.dns.is_none() && from.spiffe.is_none() {
        return Err(at(format!("{place}.callers"))(RulesetFault::Empty));
    }
    Ok(Caller {
        ca: from.ca.as_str().into(),
        service_account: text(&from.service_account),
        dns: text(&from.dns),
        spiffe: text(&from.spiffe),
    })
}

fn forward(from: &wire::Forward) -> Built<Forward> {
    let mut headers: Vec<IdentityHeader> = Vec::with_capacity(from.headers.len());
    for (n, one) in from.headers.iter().enumerate() {
        let place = || format!("forward.headers[{n}].name");
        names::check(&one.name).map_err(|fault| at(place())(RulesetFault::Header(fault)))?;
        let mapped = names::mapped(&one.name);
        if headers.iter().any(|other| other.mapped == mapped) {
            return Err(at(place())(RulesetFault::Header(ReservedName::Repeated)));
        }
        let name = HeaderName::from_bytes(one.name.as_bytes())
            .map_err(|_| at(place())(RulesetFault::Header(ReservedName::NotAName)))?;
        let source = match &one.value {
            HeaderSource::Identity(attribute) => IdentitySource::Attribute((*attribute).into()),
            HeaderSource::Claim(path) => IdentitySource::Claim(claim(path, &format!("forward.headers[{n}].claim"))?),
        };
        headers.push(IdentityHeader { name, mapped, source, json: one.format == HeaderFormat::Json });
    }
    Ok(Forward {
        keep_token: from.keep_token,
        headers,
        client_certificate: from.client_certificate,
        protocol: from.protocol,
    })
}

impl From<AttributeName> for Attribute {
    fn from(name: AttributeName) -> Self {
        match name {
            AttributeName::Subject => Self::Subject,
            AttributeName::Issuer => Self::Issuer,
            AttributeName::Tenant => Self::Tenant,
            AttributeName::Scopes => Self::Scopes,
            AttributeName::Roles => Self::Roles,
            AttributeName::Groups => Self::Groups,
            AttributeName::Email => Self::Email,
            AttributeName::Name => Self::Name,
            AttributeName::Client => Self::Client,
        }
    }
}
