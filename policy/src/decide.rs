//! The order in which a request is decided, from the connection to the verdict.

use crate::authorize::{self, CheckReport, Facts, Outcome, TokenState};
use crate::keys::KeySet;
use crate::peer::Peer;
use crate::permit::Granted;
use crate::reason::Reason;
use crate::request::{CanonicalRequest, Credential};
use crate::ruleset::{Rule, Ruleset};
use crate::time::Timestamp;
use crate::token::{self, Unproven, VerifiedToken};
use crate::wire::TlsMode;
use serde_json::{Value, json};
use std::sync::Arc;

/// A request and all that is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The policy of the port.
    pub ruleset: &'a Ruleset,
    /// The request in canonical form.
    pub request: &'a CanonicalRequest<'a>,
    /// The other end of the connection.
    pub peer: &'a Peer,
    /// The present moment.
    pub now: Timestamp,
}

/// Who verifies tokens: the keys themselves, or a cache before them.
pub trait Authenticate {
    /// Verifies all of a token that does not change between two uses of it; times and binding are checked after it.
    ///
    /// # Errors
    /// Why the token proves nothing.
    fn authenticate(&mut self, token: &str) -> Result<Arc<VerifiedToken>, Unproven>;
}

/// Verifies with the keys of each issuer of a ruleset; `None` where they were never loaded.
impl Authenticate for (&Ruleset, &[Option<Arc<KeySet>>]) {
    fn authenticate(&mut self, token: &str) -> Result<Arc<VerifiedToken>, Unproven> {
        token::verify(token, &self.0.issuers, self.1).map(Arc::new)
    }
}

/// The verdict.
#[derive(Debug)]
pub enum Decision<'a> {
    /// It may pass once everything that it still owes is done.
    Granted(Granted<'a>),
    /// It may not.
    Refused(Refused<'a>),
}

/// A refusal, with what is needed to answer and to explain it.
#[derive(Debug)]
pub struct Refused<'a> {
    reason: Reason,
    rule: Option<&'a Rule>,
    ruleset: &'a Ruleset,
}

/// A verdict and what led to it.
#[derive(Debug)]
pub struct Explained<'a> {
    /// The verdict.
    pub decision: Decision<'a>,
    /// Every check that was asked for, those behind the first failure included.
    pub checks: Vec<CheckReport>,
}

/// Decides a request.
pub fn decide<'a>(question: Question<'a>, authenticate: &mut impl Authenticate) -> Decision<'a> {
    match consider(question, authenticate) {
        Considered::Before(reason, rule) => question.refuse(reason, rule),
        Considered::Rules(token, outcome) => question.conclude(token, outcome),
    }
}

/// Decides a request and tells what every check saw.
pub fn explain<'a>(question: Question<'a>, authenticate: &mut impl Authenticate) -> Explained<'a> {
    let mut checks = vec![tls_report(question)];
    let decision = match consider(question, authenticate) {
        Considered::Before(reason, rule) => {
            if reason != Reason::TlsMode {
                checks.push(route_report(question, rule, false));
            }
            question.refuse(reason, rule)
        }
        Considered::Rules(token, outcome) => {
            let (Outcome::Pass(rule) | Outcome::Fail(rule, _)) = outcome;
            checks.push(route_report(question, Some(rule), true));
            checks.extend(authorize::report(rule, &question.facts(&token)));
            question.conclude(token, outcome)
        }
    };
    Explained { decision, checks }
}

enum Considered<'a> {
    /// Refused before any rule was evaluated.
    Before(Reason, Option<&'a Rule>),
    /// What the rules come to, with the token that they saw.
    Rules(TokenState, Outcome<'a>),
}

fn consider<'a>(question: Question<'a>, authenticate: &mut impl Authenticate) -> Considered<'a> {
    let Question { ruleset, request, .. } = question;
    if !question.connection_is_acceptable() {
        return Considered::Before(Reason::TlsMode, None);
    }
    if is_reserved(request) {
        return Considered::Before(Reason::NotFound, None);
    }
    let Some(routed) = ruleset.route(request) else { return Considered::Before(Reason::NoRule, None) };
    let rules = routed.rules(&ruleset.rules, request.host().name()).filter(|rule| rule.allows_method(request.method()));
    let Some(first) = rules.clone().next() else { return Considered::Before(Reason::NoRule, None) };
    if routed.folded && !ruleset.paths.case_insensitive {
        return Considered::Before(Reason::PathCase, Some(first));
    }
    if routed.aliased {
        return Considered::Before(Reason::PathAlias, Some(first));
    }
    let token = if rules.clone().any(Rule::needs_token) {
        question.look_at_token(authenticate)
    } else {
        TokenState::NotLookedAt
    };
    match authorize::authorize(rules, &question.facts(&token)) {
        Some(outcome) => Considered::Rules(token, outcome),
        None => Considered::Before(Reason::NoRule, None),
    }
}

/// Paths of the proxy itself, whatever the method and the case.
fn is_reserved(request: &CanonicalRequest) -> bool {
    request.segments().next().is_some_and(|segment| segment.folded().eq(".doorward".chars()))
}

impl<'a> Question<'a> {
    /// Whether the present `tls` would accept the connection: it may be older than the policy.
    fn connection_is_acceptable(self) -> bool {
        let tls = &self.ruleset.tls;
        match &self.peer.certificate {
            Some(certificate) => tls.client_cas.iter().any(|ca| ca.name == certificate.ca),
            None => tls.mode != TlsMode::Mutual,
        }
    }

    fn look_at_token(self, authenticate: &mut impl Authenticate) -> TokenState {
        let token = match self.request.credential() {
            Credential::Absent => return TokenState::Missing,
            Credential::Malformed => {
                return TokenState::Unproven(Unproven::Fault(crate::reason::TokenFault::Malformed));
            }
            Credential::Bearer(token) => token,
        };
        let usable = authenticate.authenticate(token).and_then(|token| {
            let issuer = self
                .ruleset
                .issuers
                .get(token.issuer())
                .ok_or(Unproven::Fault(crate::reason::TokenFault::UnknownIssuer))?;
            token.check(issuer, self.peer, self.now)?;
            Ok(token)
        });
        usable.map_or_else(TokenState::Unproven, TokenState::Verified)
    }

    fn facts(self, token: &'a TokenState) -> Facts<'a> {
        Facts { request: self.request, peer: self.peer, token, issuers: &self.ruleset.issuers, now: self.now }
    }

    fn refuse(self, reason: Reason, rule: Option<&'a Rule>) -> Decision<'a> {
        Decision::Refused(Refused { reason, rule, ruleset: self.ruleset })
    }

    fn conclude(self, token: TokenState, outcome: Outcome<'a>) -> Decision<'a> {
        match outcome {
            Outcome::Fail(rule, reason) => self.refuse(reason, Some(rule)),
            Outcome::Pass(rule) => {
                let token = match token {
                    TokenState::Verified(token) if rule.needs_token() => Some(token),
                    _ => None,
                };
                Decision::Granted(Granted {
                    rule,
                    request: self.request,
                    forward: &self.ruleset.forward,
                    token,
                    audited: None,
                })
            }
        }
    }
}

impl<'a> Refused<'a> {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The rule that decides, where one does.
    #[must_use]
    pub fn rule(&self) -> Option<&'a Rule> {
        self.rule
    }

    /// The value of `WWW-Authenticate` (RFC 6750, section 3; RFC 9470, section 3), where the answer has one.
    #[must_use]
    pub fn challenge(&self) -> Option<String> {
        let realm = &self.ruleset.policy.name;
        let parameters = match self.reason {
            Reason::TokenMissing => String::new(),
            Reason::TokenInvalid(_) => r#", error="invalid_token""#.to_owned(),
            Reason::LoginTooOld => {
                format!(r#", error="insufficient_user_authentication", max_age="{}""#, self.max_age_seconds()?)
            }
            Reason::InsufficientScope => {
                format!(r#", error="insufficient_scope", scope="{}""#, self.scopes()?.join(" "))
            }
            _ => return None,
        };
        Some(format!(r#"Bearer realm="{realm}"{parameters}"#))
    }

    fn max_age_seconds(&self) -> Option<u64> {
        match &self.rule?.access {
            crate::ruleset::Access::Require(require) => require.max_auth_age.map(|age| age.as_secs()),
            _ => None,
        }
    }

    /// What a client should ask for: all of `scopes`, and the first of `anyScope`.
    fn scopes(&self) -> Option<Vec<&'a str>> {
        match &self.rule?.access {
            crate::ruleset::Access::Require(require) => {
                Some(require.scopes.iter().chain(require.any_scope.first()).map(AsRef::as_ref).collect())
            }
            _ => None,
        }
    }
}

fn tls_report(question: Question) -> CheckReport {
    let wanted = match question.ruleset.tls.mode {
        TlsMode::Mutual => json!("Mutual"),
        TlsMode::Optional => json!("Optional"),
    };
    let got = question.peer.certificate.as_ref().map_or(Value::Null, |certificate| json!({ "ca": certificate.ca }));
    CheckReport { check: "tls", pass: question.connection_is_acceptable(), wanted, got }
}

fn route_report(question: Question, rule: Option<&Rule>, pass: bool) -> CheckReport {
    let got = json!({"method": question.request.method().as_str(), "host": question.request.host().name(), "path": question.request.path()});
    CheckReport { check: "route", pass, wanted: json!(rule.map(Rule::path)), got }
}
