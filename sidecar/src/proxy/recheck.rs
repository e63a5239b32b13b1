//! Streams that were opened are decided anew while they last.

use super::{Worker, request_head};
use crate::connection::Connection;
use http::request::Parts;
use policy::decide::{Decision, Question, decide};
use policy::reason::{Reason, TokenFault};
use policy::request::CanonicalRequest;

impl Worker {
    /// Whether what opened a stream would be let pass now: by its token, its peer and the policy in force. How long ago the
    /// login or the token was made counts for the opening only.
    pub(crate) fn still_allows(&self, connection: &Connection, parts: &Parts) -> bool {
        let mut seen = self.seen.borrow_mut();
        let Ok(in_force) = seen.load().in_force() else { return false };
        let ruleset = &in_force.ruleset;
        let head = request_head(parts);
        let peer = connection.peer.by(&in_force.client_cas, self.clock);
        if ruleset.is_audit() {
            return true;
        }
        let limits = self.limits.under(Some(ruleset.limits()));
        let Ok(request) = CanonicalRequest::read(&head, ruleset.paths(), &limits.size) else { return false };
        let mut tokens = self.tokens.borrow_mut();
        let question = Question { ruleset, head, request: &request, peer: &peer, now: self.clock.now() };
        let aged = |reason| matches!(reason, Reason::LoginTooOld | Reason::TokenInvalid(TokenFault::TokenTooOld));
        match decide(question, &mut tokens.before(in_force)) {
            Decision::Granted(_) => !connection.peer.lost_its_word(),
            Decision::Refused(refused) => aged(refused.reason()),
            Decision::Own(_) => false,
        }
    }
}
