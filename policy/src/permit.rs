//! The right to forward one request.

use crate::address::Client;
use crate::decide::Refused;
use crate::peer::Peer;
use crate::request::{CanonicalRequest, Credential, RequestHead};
use crate::ruleset::{Access, Forward, Rule, Ruleset};
use crate::token::VerifiedToken;
use crate::wire::AppProtocol;
use std::borrow::Cow;
use std::sync::Arc;

/// What the rules grant; whatever must still happen before a request may pass stands between it and a [`Permit`].
#[derive(Debug)]
#[must_use]
pub struct Granted<'a> {
    pub(crate) rule: Option<&'a Rule>,
    /// None where a policy in Audit lets pass what cannot be made canonical.
    pub(crate) request: Option<&'a CanonicalRequest<'a>>,
    pub(crate) head: RequestHead<'a>,
    pub(crate) ruleset: &'a Ruleset,
    pub(crate) peer: &'a Peer,
    pub(crate) client: Client,
    pub(crate) token: Option<Arc<VerifiedToken>>,
    pub(crate) audited: Option<Refused<'a>>,
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

    /// The rule that grants; none where a policy in Audit lets pass what no rule is for.
    #[must_use]
    pub fn rule(&self) -> Option<&'a Rule> {
        self.rule
    }

    /// Why the request would have been refused, had the policy or the rule not been in Audit.
    #[must_use]
    pub fn audited(&self) -> Option<Refused<'a>> {
        self.audited
    }
}

impl Permit<'_> {
    /// The target in origin form: as it was decided on, or, under a policy in Audit, as it came.
    #[must_use]
    pub fn target(&self) -> Cow<'_, str> {
        match self.granted.request.filter(|_| !self.is_as_it_came()) {
            Some(request) => request.target(),
            None => Cow::Borrowed(self.granted.head.uri.path_and_query().map_or("/", |target| target.as_str())),
        }
    }

    /// Host and port in canonical form; none where the request goes on as it came.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.granted.request.filter(|_| !self.is_as_it_came()).map(|request| request.host().as_str())
    }

    /// The rule that grants, where one does.
    #[must_use]
    pub fn rule(&self) -> Option<&Rule> {
        self.granted.rule
    }

    /// The token that was verified for this request, where one was.
    #[must_use]
    pub fn token(&self) -> Option<&VerifiedToken> {
        self.granted.token.as_deref()
    }

    /// Who sends the request.
    #[must_use]
    pub fn client(&self) -> Client {
        self.granted.client
    }

    /// What is spoken to the application.
    #[must_use]
    pub fn protocol(&self) -> AppProtocol {
        self.forward().protocol
    }

    pub(crate) fn peer(&self) -> &Peer {
        self.granted.peer
    }

    /// The authority of an HTTP/2 request, which has no Host field of its own.
    pub(crate) fn authority(&self) -> Option<&str> {
        self.granted.head.uri.authority().map(http::uri::Authority::as_str)
    }

    /// A policy in Audit changes nothing but identity headers.
    pub(crate) fn is_as_it_came(&self) -> bool {
        self.granted.ruleset.audit
    }

    pub(crate) fn forward(&self) -> &Arc<Forward> {
        &self.granted.ruleset.forward
    }

    /// A bearer token stays only where it was verified and the policy keeps it; another scheme only where nobody looked.
    pub(crate) fn keeps_authorization(&self) -> bool {
        let Some(request) = self.granted.request.filter(|_| !self.is_as_it_came()) else { return true };
        match request.credential() {
            Credential::Absent => self.granted.rule.is_some_and(|rule| matches!(rule.access, Access::Anonymous)),
            Credential::Malformed => false,
            Credential::Bearer(_) => self.granted.token.is_some() && self.forward().keep_token,
        }
    }
}
