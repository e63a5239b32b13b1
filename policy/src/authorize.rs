//! Whether a rule lets a request pass: the checks, in the order in which they answer.

mod checks;
mod describe;

pub use describe::CheckReport;

use crate::peer::Peer;
use crate::reason::Reason;
use crate::request::CanonicalRequest;
use crate::ruleset::{Access, Issuer, Rule};
use crate::time::Timestamp;
use crate::token::{Unproven, VerifiedToken};
use checks::CHECKS;
pub(crate) use checks::is_caller;
use std::net::IpAddr;
use std::sync::Arc;

/// What came of the token in a request.
#[derive(Clone, Debug)]
pub(crate) enum TokenState {
    /// No rule that is left looks at it.
    NotLookedAt,
    /// There is none.
    Missing,
    /// It proves nothing.
    Unproven(Unproven),
    /// It is good, now and on this connection.
    Verified(Arc<VerifiedToken>),
}

impl TokenState {
    /// The token, where it is good.
    pub(crate) fn into_verified(self) -> Option<Arc<VerifiedToken>> {
        match self {
            Self::Verified(token) => Some(token),
            _ => None,
        }
    }
}

/// Everything that the checks of a rule look at.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) request: &'a CanonicalRequest<'a>,
    pub(crate) peer: &'a Peer,
    /// The client's address, perhaps behind trusted proxies.
    pub(crate) address: Option<IpAddr>,
    pub(crate) token: &'a TokenState,
    pub(crate) issuers: &'a [Issuer],
    pub(crate) now: Timestamp,
    pub(crate) begun: Timestamp,
}

impl<'a> Facts<'a> {
    fn verified(&self) -> Option<&'a VerifiedToken> {
        match self.token {
            TokenState::Verified(token) => Some(token),
            _ => None,
        }
    }
}

/// Why a rule does not let pass, and how far the checks got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) stage: usize,
    pub(crate) reason: Reason,
}

impl Failure {
    /// Whether this failure answers instead of an earlier rule's: it got further, or as far and asks for authentication.
    fn answers_before(self, other: Self) -> bool {
        let asks = |failure: Self| failure.reason.status() == 401;
        self.stage > other.stage || (self.stage == other.stage && asks(self) && !asks(other))
    }
}

/// What the rules of a template come to.
pub(crate) enum Outcome<'a> {
    /// This rule lets pass.
    Pass(&'a Rule),
    /// None does; this one got furthest.
    Fail(&'a Rule, Reason),
}

/// Evaluates the rules that are left after host and method: of those that pass the first that is not anonymous, else the
/// first; of those that fail the one that got furthest. None where there is no rule.
pub(crate) fn authorize<'a>(rules: impl Iterator<Item = &'a Rule>, facts: &Facts) -> Option<Outcome<'a>> {
    let mut anonymous = None;
    let mut furthest: Option<(&Rule, Failure)> = None;
    for rule in rules {
        match evaluate(rule, facts) {
            Ok(()) if matches!(rule.access, Access::Anonymous) => anonymous = anonymous.or(Some(rule)),
            Ok(()) => return Some(Outcome::Pass(rule)),
            Err(failure) if furthest.is_none_or(|(_, other)| failure.answers_before(other)) => {
                furthest = Some((rule, failure))
            }
            Err(_) => {}
        }
    }
    let failed = |(rule, failure): (&'a Rule, Failure)| Outcome::Fail(rule, failure.reason);
    anonymous.map(Outcome::Pass).or_else(|| furthest.map(failed))
}

fn evaluate(rule: &Rule, facts: &Facts) -> Result<(), Failure> {
    for check in CHECKS {
        (check.passes)(rule, facts).map_err(|reason| Failure { stage: check.stage, reason })?;
    }
    Ok(())
}

/// What every check of a rule saw, those behind the first failure included.
pub(crate) fn report(rule: &Rule, facts: &Facts) -> Vec<CheckReport> {
    CHECKS.iter().filter_map(|check| describe::report(check, rule, facts)).collect()
}
