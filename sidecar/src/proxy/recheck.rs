//! Streams that were opened are decided anew while they last.

use super::{Worker, request_head};
use crate::answer::Refusal;
use crate::connection::Connection;
use http::request::Parts;
use policy::decide::{Decision, Question, decide};
use policy::reason::Reason;
use policy::request::CanonicalRequest;
use policy::time::Timestamp;
use std::rc::Rc;

/// A request that was let pass, with all that it takes to decide it again.
pub(crate) struct Opened {
    pub(super) worker: Rc<Worker>,
    pub(super) connection: Rc<Connection>,
    pub(super) head: Parts,
    pub(super) begun: Timestamp,
}

impl Opened {
    /// Its head as it came.
    pub(crate) fn head(&self) -> &Parts {
        &self.head
    }

    /// Whether it would be let pass now: by its token, its peer and the policy in force. How long ago the login or the token
    /// was made counts for the opening only.
    pub(crate) fn still_allowed(&self) -> Result<(), Refusal> {
        let Self { worker, connection, head: parts, .. } = self;
        let mut seen = worker.seen.borrow_mut();
        let in_force = seen.load().in_force()?;
        let ruleset = &in_force.ruleset;
        let head = request_head(parts);
        let peer = connection.peer.by(&in_force.client_cas, worker.clock);
        if ruleset.is_audit() {
            return Ok(());
        }
        if connection.peer.lost_its_word() {
            return Err(Reason::TlsMode.into());
        }
        let limits = worker.limits.under(Some(ruleset.limits()));
        let request = CanonicalRequest::read(&head, ruleset.paths(), &limits.size)?;
        let mut tokens = worker.tokens.borrow_mut();
        let (now, begun) = (worker.clock.now(), self.begun);
        let question = Question { ruleset, head, request: &request, peer: &peer, now, begun };
        let decision = decide(question, &mut tokens.before(in_force));
        // A stream waits for no key; the next request must not ask for this one's.
        tokens.take_unknown();
        match decision {
            Decision::Granted(_) => Ok(()),
            Decision::Refused(refused) => Err(Refusal::of(refused)),
            // What was forwarded once is answered by the proxy itself now.
            Decision::Own(_) => Err(Reason::NoRule.into()),
        }
    }
}
