//! The checks of a rule. Each is a small function of the rule and the facts; a rule that does not ask passes.

use super::{Facts, TokenState};
use crate::claim;
use crate::peer::PeerCertificate;
use crate::principal::{AttributeValue, Identity};
use crate::reason::Reason;
use crate::ruleset::{Access, Caller, Require, Rule};
use crate::token::Unproven;

/// One check.
pub(super) struct Check {
    /// What reports call it: the name of the field that asks for it.
    pub(super) name: &'static str,
    /// How far a rule got that fails here; checks of one stage are equally far.
    pub(super) stage: usize,
    /// Whether the rule passes.
    pub(super) passes: fn(&Rule, &Facts) -> Result<(), Reason>,
}

/// In the order of decisions: the first that fails answers.
pub(super) static CHECKS: &[Check] = &[
    Check { name: "ips", stage: 0, passes: ips },
    Check { name: "token", stage: 1, passes: token },
    Check { name: "certificate", stage: 1, passes: certificate },
    Check { name: "issuers", stage: 2, passes: issuers },
    Check { name: "clients", stage: 3, passes: clients },
    Check { name: "callers", stage: 4, passes: callers },
    Check { name: "boundToken", stage: 5, passes: bound_token },
    Check { name: "pathParams", stage: 6, passes: path_params },
    Check { name: "scopes", stage: 7, passes: scopes },
    Check { name: "anyScope", stage: 7, passes: any_scope },
    Check { name: "roles", stage: 8, passes: roles },
    Check { name: "anyRole", stage: 8, passes: any_role },
    Check { name: "anyGroup", stage: 8, passes: any_group },
    Check { name: "claims", stage: 9, passes: claims },
    Check { name: "maxAuthAge", stage: 10, passes: max_auth_age },
];

fn ensure(passes: bool, reason: Reason) -> Result<(), Reason> {
    if passes { Ok(()) } else { Err(reason) }
}

fn required(rule: &Rule) -> Option<&Require> {
    match &rule.access {
        Access::Require(require) => Some(require),
        _ => None,
    }
}

/// A check of the identity where the rule has a `require` that asks for it. Without a verified token there is no
/// identity, and what asks for one fails.
fn of_identity(
    rule: &Rule,
    facts: &Facts,
    asks: fn(&Require) -> bool,
    reason: Reason,
    passes: impl Fn(&Require, &Identity) -> bool,
) -> Result<(), Reason> {
    let Some(require) = required(rule).filter(|require| asks(require)) else { return Ok(()) };
    ensure(facts.verified().is_some_and(|token| passes(require, token.identity())), reason)
}

fn ips(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    ensure(rule.admits(facts.address), Reason::IpDenied)
}

fn token(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    if !rule.needs_token() {
        return Ok(());
    }
    match facts.token {
        TokenState::Verified(_) => Ok(()),
        TokenState::Unproven(Unproven::Fault(fault)) => Err(Reason::TokenInvalid(*fault)),
        TokenState::Unproven(Unproven::KeysUnavailable) => Err(Reason::KeysUnavailable),
        TokenState::Missing | TokenState::NotLookedAt => Err(Reason::TokenMissing),
    }
}

fn certificate(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    ensure(!rule.needs_certificate() || facts.peer.certificate.is_some(), Reason::CertificateMissing)
}

fn issuers(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    let Some(require) = required(rule).filter(|require| !require.issuers.is_empty()) else { return Ok(()) };
    ensure(facts.verified().is_some_and(|token| require.issuers.contains(&token.issuer())), Reason::IssuerNotAllowed)
}

/// The clients of the rule and those of the issuer, which hold for every rule that takes its tokens.
fn clients(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    let Some(token) = facts.verified().filter(|_| rule.needs_token()) else { return Ok(()) };
    let of_rule = required(rule).map_or(&[][..], |require| &require.clients);
    let of_issuer = facts.issuers.get(token.issuer()).map_or(&[][..], |issuer| &issuer.clients);
    let named = &token.identity().clients;
    let all_in = |listed: &[Box<str>]| {
        listed.is_empty() || (!named.is_empty() && named.iter().all(|client| holds(listed, client)))
    };
    ensure(all_in(of_rule) && all_in(of_issuer), Reason::ClientNotAllowed)
}

fn callers(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    let Some(require) = required(rule).filter(|require| !require.callers.is_empty()) else { return Ok(()) };
    let known = facts
        .peer
        .certificate
        .as_ref()
        .is_some_and(|peer| require.callers.iter().any(|caller| is_caller(caller, peer)));
    ensure(known, Reason::CallerNotAllowed)
}

/// Whether a peer is the caller that an entry names.
pub(crate) fn is_caller(caller: &Caller, peer: &PeerCertificate) -> bool {
    let service_account =
        caller.service_account.as_ref().is_none_or(|wanted| peer.service_account.as_ref() == Some(wanted));
    let dns = caller.dns.as_ref().is_none_or(|wanted| peer.dns.contains(wanted));
    let spiffe = caller.spiffe.as_ref().is_none_or(|wanted| peer.spiffe.contains(wanted));
    caller.ca == peer.ca && service_account && dns && spiffe
}

fn bound_token(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    if !required(rule).is_some_and(|require| require.bound_token) {
        return Ok(());
    }
    ensure(facts.peer.certificate.is_some(), Reason::CertificateMissing)?;
    ensure(facts.verified().is_some_and(crate::token::VerifiedToken::is_certificate_bound), Reason::CertificateBinding)
}

fn path_params(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    for wanted in required(rule).map_or(&[][..], |require| &require.path_params) {
        let attribute = facts.verified().and_then(|token| token.identity().get(wanted.attribute));
        let equal = match (attribute, facts.request.segments().nth(wanted.segment)) {
            (Some(AttributeValue::Text(text)), Some(segment)) => segment.is(text),
            _ => false,
        };
        ensure(equal, Reason::PathParamMismatch(wanted.attribute))?;
    }
    Ok(())
}

fn holds(list: &[impl AsRef<str>], text: &str) -> bool {
    list.iter().any(|one| one.as_ref() == text)
}

fn scopes(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    let all =
        |require: &Require, identity: &Identity| require.scopes.iter().all(|wanted| holds(&identity.scopes, wanted));
    of_identity(rule, facts, |require| !require.scopes.is_empty(), Reason::InsufficientScope, all)
}

fn any_scope(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    let any =
        |require: &Require, identity: &Identity| require.any_scope.iter().any(|wanted| holds(&identity.scopes, wanted));
    of_identity(rule, facts, |require| !require.any_scope.is_empty(), Reason::InsufficientScope, any)
}

fn roles(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    let all =
        |require: &Require, identity: &Identity| require.roles.iter().all(|wanted| holds(&identity.roles, wanted));
    of_identity(rule, facts, |require| !require.roles.is_empty(), Reason::RoleMissing, all)
}

fn any_role(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    let any =
        |require: &Require, identity: &Identity| require.any_role.iter().any(|wanted| holds(&identity.roles, wanted));
    of_identity(rule, facts, |require| !require.any_role.is_empty(), Reason::RoleMissing, any)
}

fn any_group(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    let any =
        |require: &Require, identity: &Identity| require.any_group.iter().any(|wanted| holds(&identity.groups, wanted));
    of_identity(rule, facts, |require| !require.any_group.is_empty(), Reason::RoleMissing, any)
}

fn claims(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    let all = |require: &Require, identity: &Identity| {
        require.claims.iter().all(|(path, _, any_of)| {
            path.find(&identity.claims).is_some_and(|value| any_of.iter().any(|wanted| claim::matches(value, wanted)))
        })
    };
    of_identity(rule, facts, |require| !require.claims.is_empty(), Reason::ClaimMismatch, all)
}

/// A login time further ahead than the leeway is as good as none.
fn max_auth_age(rule: &Rule, facts: &Facts) -> Result<(), Reason> {
    let Some(age) = required(rule).and_then(|require| require.max_auth_age) else { return Ok(()) };
    let leeway = facts
        .verified()
        .and_then(|token| facts.issuers.get(token.issuer()))
        .map(|issuer| issuer.leeway)
        .unwrap_or_default();
    let login = facts
        .verified()
        .and_then(crate::token::VerifiedToken::authenticated_at)
        .filter(|login| *login <= facts.now.plus(leeway));
    ensure(login.is_some_and(|login| facts.begun.since(login) <= age.saturating_add(leeway)), Reason::LoginTooOld)
}
