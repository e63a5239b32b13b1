//! What a check wanted and what it saw, for `explain`.

use super::checks::Check;
use super::{Facts, TokenState};
use crate::principal::{AttributeValue, Identity};
use crate::reason::Reason;
use crate::ruleset::{Access, Caller, Require, Rule};
use crate::token::Unproven;
use serde_json::{Value, json};

/// One check of the rule that decides.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckReport {
    /// The field that asks for it.
    pub check: &'static str,
    /// Whether it passed.
    pub pass: bool,
    /// What the rule asks for.
    pub wanted: Value,
    /// What the request has.
    pub got: Value,
}

/// The report of one check; none where the rule does not ask for it.
pub(super) fn report(check: &Check, rule: &Rule, facts: &Facts) -> Option<CheckReport> {
    let result = (check.passes)(rule, facts);
    let (wanted, got) = values(check.name, rule, facts, result.err())?;
    Some(CheckReport { check: check.name, pass: result.is_ok(), wanted, got })
}

fn values(name: &str, rule: &Rule, facts: &Facts, failure: Option<Reason>) -> Option<(Value, Value)> {
    let nothing = Require::default();
    let require = match &rule.access {
        Access::Require(require) => require,
        _ => &nothing,
    };
    let identity = facts.verified().map(crate::token::VerifiedToken::identity);
    match name {
        "ips" => (!rule.ips.is_empty()).then(|| (json!(rule.ips), json!(facts.address))),
        "token" => rule.needs_token().then(|| (json!("valid"), token_state(facts.token, failure))),
        "certificate" => rule
            .needs_certificate()
            .then(|| (json!("verified"), json!(facts.peer.certificate.as_ref().map(|_| "verified")))),
        "issuers" => listed(&issuer_names(require, facts), identity.map(|identity| json!(identity.issuer))),
        "clients" => clients(require, facts, identity),
        "callers" => (!require.callers.is_empty()).then(|| (require.callers.iter().map(caller).collect(), peer(facts))),
        "boundToken" => require.bound_token.then(|| {
            (json!("Certificate"), json!(facts.verified().map(crate::token::VerifiedToken::is_certificate_bound)))
        }),
        "pathParams" => path_params(require, facts, identity),
        "scopes" => listed(&require.scopes, identity.map(|identity| json!(identity.scopes))),
        "anyScope" => listed(&require.any_scope, identity.map(|identity| json!(identity.scopes))),
        "roles" => listed(&require.roles, identity.map(|identity| json!(identity.roles))),
        "anyRole" => listed(&require.any_role, identity.map(|identity| json!(identity.roles))),
        "anyGroup" => listed(&require.any_group, identity.map(|identity| json!(identity.groups))),
        "claims" => claims(require, identity),
        "maxAuthAge" => require.max_auth_age.map(|age| {
            let login = facts.verified().and_then(crate::token::VerifiedToken::authenticated_at);
            (json!(age.as_secs()), json!(login.map(|login| facts.begun.since(login).as_secs())))
        }),
        _ => None,
    }
}

fn listed<T: AsRef<str>>(wanted: &[T], got: Option<Value>) -> Option<(Value, Value)> {
    let wanted: Vec<&str> = wanted.iter().map(AsRef::as_ref).collect();
    (!wanted.is_empty()).then(|| (json!(wanted), json!(got)))
}

fn token_state(token: &TokenState, failure: Option<Reason>) -> Value {
    match token {
        TokenState::Verified(_) => json!("valid"),
        TokenState::Unproven(Unproven::Fault(fault)) => json!(fault.detail()),
        _ => json!(failure.map(Reason::code)),
    }
}

fn issuer_names(require: &Require, facts: &Facts) -> Vec<Box<str>> {
    require
        .issuers
        .iter()
        .filter_map(|position| facts.issuers.get(*position))
        .map(|issuer| issuer.name.clone())
        .collect()
}

fn clients(require: &Require, facts: &Facts, identity: Option<&Identity>) -> Option<(Value, Value)> {
    let of_issuer =
        facts.verified().and_then(|token| facts.issuers.get(token.issuer())).map_or(&[][..], |issuer| &issuer.clients);
    let wanted: Vec<&str> = require.clients.iter().chain(of_issuer).map(AsRef::as_ref).collect();
    listed(&wanted, identity.map(|identity| json!(identity.clients)))
}

fn caller(caller: &Caller) -> Value {
    let mut value = json!({ "ca": caller.ca });
    for (name, text) in [("serviceAccount", &caller.service_account), ("dns", &caller.dns), ("spiffe", &caller.spiffe)]
    {
        if let (Some(text), Some(map)) = (text, value.as_object_mut()) {
            map.insert(name.to_owned(), json!(text));
        }
    }
    value
}

fn peer(facts: &Facts) -> Value {
    json!(facts.peer.certificate.as_ref().map(|peer| json!({
        "ca": peer.ca, "serviceAccount": peer.service_account, "dns": peer.dns, "spiffe": peer.spiffe,
    })))
}

fn path_params(require: &Require, facts: &Facts, identity: Option<&Identity>) -> Option<(Value, Value)> {
    let wanted = |param: &crate::ruleset::PathParam| {
        let text = match identity.and_then(|identity| identity.get(param.attribute)) {
            Some(AttributeValue::Text(text)) => Some(text),
            _ => None,
        };
        (param.name.to_string(), json!(text))
    };
    let got = |param: &crate::ruleset::PathParam| {
        let segment = facts.request.segments().nth(param.segment);
        (param.name.to_string(), json!(segment.map(|segment| segment.decoded().collect::<String>())))
    };
    let params = &require.path_params;
    (!params.is_empty())
        .then(|| (Value::Object(params.iter().map(wanted).collect()), Value::Object(params.iter().map(got).collect())))
}

fn claims(require: &Require, identity: Option<&Identity>) -> Option<(Value, Value)> {
    let wanted = require.claims.iter().map(|(_, name, any_of)| (name.to_string(), json!(any_of))).collect();
    let got = require
        .claims
        .iter()
        .map(|(path, name, _)| (name.to_string(), json!(identity.and_then(|identity| path.find(&identity.claims)))))
        .collect();
    (!require.claims.is_empty()).then_some((Value::Object(wanted), Value::Object(got)))
}
