//! The right to forward one request.

use crate::reason::Reason;
use crate::request::CanonicalRequest;
use crate::ruleset::{Access, Forward, Rule};
use crate::token::VerifiedToken;
use std::borrow::Cow;
use std::sync::Arc;

/// What the rules grant; whatever must still happen before a request may pass stands between it and a [`Permit`].
#[derive(Debug)]
#[must_use]
pub struct Granted<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) request: &'a CanonicalRequest<'a>,
    pub(crate) forward: &'a Forward,
    pub(crate) token: Option<Arc<VerifiedToken>>,
    pub(crate) audited: Option<Reason>,
}

/// The proof that a request may be forwarded. Only [`Granted::discharge`] makes one:
///
/// ```compile_fail,E0451
/// fn forge<'a>(granted: policy::permit::Granted<'a>) -> policy::permit::Permit<'a> {
///     policy::permit::Permit { granted }
/// }
/// ```
#[derive(Debug)]
pub struct Permit<'a> {
    granted: Granted<'a>,
}

impl<'a> Granted<'a> {
    /// Turns the grant into a permit. No obligation exists yet; those to come (rate limits, introspection, validation of
    /// bodies) will hand in their outcomes here, so that none of them can be forgotten.
    pub fn discharge(self) -> Permit<'a> {
        Permit { granted: self }
    }

    /// The rule that grants.
    #[must_use]
    pub fn rule(&self) -> &'a Rule {
        self.rule
    }

    /// Why the request would have been refused, had the policy not been in Audit.
    #[must_use]
    pub fn audited(&self) -> Option<Reason> {
        self.audited
    }
}

impl Permit<'_> {
    /// The target in origin form, as it was decided on.
    #[must_use]
    pub fn target(&self) -> Cow<'_, str> {
        self.granted.request.target()
    }

    /// Host and port in canonical form.
    #[must_use]
    pub fn host(&self) -> &str {
        self.granted.request.host().as_str()
    }

    /// The rule that grants.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        self.granted.rule
    }

    /// The token that was verified for this request, where one was.
    #[must_use]
    pub fn token(&self) -> Option<&VerifiedToken> {
        self.granted.token.as_deref()
    }

    pub(crate) fn forward(&self) -> &Forward {
        self.granted.forward
    }

    /// A bearer token stays only where it was verified and the policy keeps it; another scheme only where nobody looked.
    pub(crate) fn keeps_authorization(&self) -> bool {
        use crate::request::Credential;
        match self.granted.request.credential() {
            Credential::Absent => matches!(self.granted.rule.access, Access::Anonymous),
            Credential::Malformed => false,
            Credential::Bearer(_) => self.granted.token.is_some() && self.granted.forward.keep_token,
        }
    }
}
