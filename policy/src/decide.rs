//! The order in which a request is decided, from the connection to the verdict.

mod refused;
mod report;

pub use refused::Refused;

use crate::address::Client;
use crate::authorize::{self, CheckReport, Facts, Outcome, TokenState};
use crate::keys::KeySet;
use crate::peer::Peer;
use crate::permit::Granted;
use crate::reason::{Reason, TokenFault};
use crate::request::{self, CanonicalRequest, Credential, RequestHead, SizeLimits};
use crate::ruleset::{Rule, Ruleset};
use crate::time::Timestamp;
use crate::token::{self, Unproven, VerifiedToken};
use http::{HeaderMap, Method};
use std::sync::Arc;

/// A request and all that is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The policy of the port.
    pub ruleset: &'a Ruleset,
    /// The head as it came.
    pub head: RequestHead<'a>,
    /// The request in canonical form.
    pub request: &'a CanonicalRequest<'a>,
    /// The other end of the connection.
    pub peer: &'a Peer,
    /// The present moment.
    pub now: Timestamp,
    /// When the request began: how old its token and its login were then counts for as long as it lasts. Of a request that
    /// begins, the present moment.
    pub begun: Timestamp,
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
    /// The proxy answers itself.
    Own(Own<'a>),
}

/// An answer of the proxy itself.
#[derive(Debug)]
pub enum Own<'a> {
    /// The metadata document of the protected resource (RFC 9728, section 3.2), JSON.
    Metadata(&'a str),
    /// The answer to a preflight: its fields (Fetch standard, CORS-preflight request).
    Preflight(HeaderMap),
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
    let considered = consider(question, authenticate);
    question.conclude(considered, authenticate)
}

/// Decides a request and tells what every check saw.
pub fn explain<'a>(question: Question<'a>, authenticate: &mut impl Authenticate) -> Explained<'a> {
    let mut considered = consider(question, authenticate);
    // A signature that was not worth its cost to the decision is worth it to whoever asks why.
    if let Considered::Rules { token: token @ TokenState::NotLookedAt, outcome, .. } = &mut considered {
        let (Outcome::Pass(rule) | Outcome::Fail(rule, _)) = outcome;
        if rule.needs_token() {
            *token = question.look_at_token(authenticate);
        }
    }
    let checks = report::of(question, &considered);
    Explained { decision: question.conclude(considered, authenticate), checks }
}

/// A request that cannot be made canonical: before a policy in Audit it passes as it came.
///
/// # Errors
/// Why it is refused: `reason` where the policy enforces and for CONNECT, the limit where it is too large, for limits always hold.
pub fn audit_unreadable<'a>(
    ruleset: &'a Ruleset,
    head: RequestHead<'a>,
    peer: &'a Peer,
    now: Timestamp,
    (reason, limits): (Reason, &SizeLimits),
    authenticate: &mut impl Authenticate,
) -> Result<Granted<'a>, Reason> {
    // CONNECT asks for a tunnel, which nobody here opens: passed on, it would get no answer.
    if !ruleset.audit || head.method == Method::CONNECT {
        return Err(reason);
    }
    limits.check(&head)?;
    let client = ruleset.addresses.client(peer, head.headers);
    let credential = request::credential(head.headers);
    let token = look_at_token(ruleset, peer, (now, now), credential, authenticate).into_verified();
    let audited = Some(Refused { reason, rule: None, ruleset });
    Ok(Granted { rule: None, request: None, head, ruleset, peer, client, token, audited })
}

/// What the policy says, before audit.
enum Considered<'a> {
    /// Refused before any rule was evaluated; `tried_out` where every rule that is left is in Audit.
    Before { reason: Reason, rule: Option<&'a Rule>, tried_out: bool },
    /// What the rules come to, with the token that they saw.
    Rules { token: TokenState, outcome: Outcome<'a>, tried_out: bool },
    /// The proxy answers itself.
    Own(Own<'a>),
}

impl<'a> Considered<'a> {
    fn before(reason: Reason) -> Self {
        Self::Before { reason, rule: None, tried_out: false }
    }
}

fn consider<'a>(question: Question<'a>, authenticate: &mut impl Authenticate) -> Considered<'a> {
    let Question { ruleset, request, .. } = question;
    if !ruleset.tls.takes(question.peer) {
        return Considered::before(Reason::TlsMode);
    }
    let client = question.client();
    if let Err(reason) = ruleset.addresses.check(client) {
        return Considered::before(reason);
    }
    if let Some(considered) = question.own() {
        return considered;
    }
    let Some(routed) = ruleset.route(request) else { return Considered::before(Reason::NoRule) };
    let rules = routed.rules(&ruleset.rules, request.host().name()).filter(|rule| rule.allows_method(request.method()));
    let Some(first) = rules.clone().next() else { return Considered::before(Reason::NoRule) };
    let tried_out = rules.clone().all(|rule| rule.audit);
    if routed.folded && !ruleset.paths.case_insensitive {
        return Considered::Before { reason: Reason::PathCase, rule: Some(first), tried_out };
    }
    if routed.aliased {
        return Considered::Before { reason: Reason::PathAlias, rule: Some(first), tried_out };
    }
    // A refused address must not cost the verification of a signature.
    let looks = |rule: &Rule| rule.needs_token() && rule.admits(client.address);
    let token = match rules.clone().any(looks) {
        true => question.look_at_token(authenticate),
        false => TokenState::NotLookedAt,
    };
    match authorize::authorize(rules, &question.facts(client, &token)) {
        Some(outcome) => Considered::Rules { token, outcome, tried_out },
        None => Considered::before(Reason::NoRule),
    }
}

impl<'a> Question<'a> {
    fn client(self) -> Client {
        self.ruleset.addresses.client(self.peer, self.head.headers)
    }

    /// Paths of the proxy itself, whatever the case, and preflights, which come without credentials.
    fn own(self) -> Option<Considered<'a>> {
        let first_segment = self.request.segments().next();
        if first_segment.is_some_and(|segment| segment.folded().eq(".doorward".chars())) {
            return Some(Considered::before(Reason::NotFound));
        }
        let document = self.ruleset.resource.as_ref().filter(|resource| resource.is_asked_for(self.request));
        if let Some(resource) = document {
            return Some(Considered::Own(Own::Metadata(&resource.document)));
        }
        let preflight = self.ruleset.cors.as_ref().and_then(|cors| cors.preflight(self.request, self.head.headers));
        preflight.map(|fields| Considered::Own(Own::Preflight(fields)))
    }

    fn look_at_token(self, authenticate: &mut impl Authenticate) -> TokenState {
        look_at_token(self.ruleset, self.peer, (self.now, self.begun), self.request.credential(), authenticate)
    }

    fn facts<'f>(self, client: Client, token: &'f TokenState) -> Facts<'f>
    where
        'a: 'f,
    {
        let Self { ruleset, request, peer, now, begun, .. } = self;
        Facts { request, peer, address: client.address, token, issuers: &ruleset.issuers, now, begun }
    }

    fn conclude(self, considered: Considered<'a>, authenticate: &mut impl Authenticate) -> Decision<'a> {
        match considered {
            Considered::Own(own) => Decision::Own(own),
            Considered::Rules { token, outcome: Outcome::Pass(rule), .. } => {
                let token = token.into_verified().filter(|_| rule.needs_token());
                Decision::Granted(self.grant(Some(rule), token, None))
            }
            Considered::Rules { token, outcome: Outcome::Fail(rule, reason), tried_out } => {
                let refused = Refused { reason, rule: Some(rule), ruleset: self.ruleset };
                if !tried_out && !self.ruleset.audit {
                    return Decision::Refused(refused);
                }
                // A denied address cost no signature so far, and the identity is told whatever the denial.
                let token = match token {
                    TokenState::NotLookedAt if rule.needs_token() => self.look_at_token(authenticate),
                    token => token,
                };
                let token = token.into_verified().filter(|_| rule.needs_token());
                Decision::Granted(self.grant(Some(rule), token, Some(refused)))
            }
            Considered::Before { reason, rule, tried_out } => {
                let refused = Refused { reason, rule, ruleset: self.ruleset };
                if !tried_out && !self.ruleset.audit {
                    return Decision::Refused(refused);
                }
                let looks = rule.is_none_or(Rule::needs_token);
                let token = if looks { self.look_at_token(authenticate).into_verified() } else { None };
                Decision::Granted(self.grant(rule, token, Some(refused)))
            }
        }
    }

    fn grant(
        self,
        rule: Option<&'a Rule>,
        token: Option<Arc<VerifiedToken>>,
        audited: Option<Refused<'a>>,
    ) -> Granted<'a> {
        let Self { ruleset, head, request, peer, .. } = self;
        Granted { rule, request: Some(request), head, ruleset, peer, client: self.client(), token, audited }
    }
}

fn look_at_token(
    ruleset: &Ruleset,
    peer: &Peer,
    (now, begun): (Timestamp, Timestamp),
    credential: Credential,
    authenticate: &mut impl Authenticate,
) -> TokenState {
    let token = match credential {
        Credential::Absent => return TokenState::Missing,
        Credential::Malformed => return TokenState::Unproven(TokenFault::Malformed.into()),
        Credential::Bearer(token) => token,
    };
    let usable = authenticate.authenticate(token).and_then(|token| {
        let issuer = ruleset.issuers.get(token.issuer()).ok_or(TokenFault::UnknownIssuer)?;
        token.check(issuer, peer, now, begun)?;
        Ok(token)
    });
    usable.map_or_else(TokenState::Unproven, TokenState::Verified)
}

impl Own<'_> {
    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Metadata(_) => 200,
            Self::Preflight(_) => 204,
        }
    }
}
