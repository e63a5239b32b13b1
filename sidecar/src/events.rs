//! What became of a request, told once, when its answer is through.
//!
//! A [`Record`] goes along with the request, learns its outcome where that is known, and hands itself to metrics and access
//! log when it is dropped: whatever ends a request, it is told.

use crate::access_log::{self, Line};
use crate::clock::Clock;
use crate::denials::{Denial, Denials};
use crate::metrics::Counters;
use http::StatusCode;
use http::request::Parts;
use policy::permit::Granted;
use policy::reason::Reason;
use policy::ruleset::{Rule, Ruleset};
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What was done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Forwarded.
    Allow,
    /// Refused.
    Deny,
    /// Forwarded although the policy, were it not in Audit, refuses it.
    Audit,
    /// Answered by the proxy itself.
    Own,
    /// Allowed, and there is no answer of the application.
    Error,
}

impl Effect {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Audit => "audit",
            Self::Own => "own",
            Self::Error => "error",
        }
    }
}

/// What metrics and access log are told of a finished request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished {
    pub(crate) effect: Effect,
    /// Why it was refused, would have been, or was not answered.
    pub(crate) reason: Option<Reason>,
    /// Of the answer; none where the caller went away before there was one.
    pub(crate) status: Option<StatusCode>,
    pub(crate) duration: Duration,
    /// Of the answer's body.
    pub(crate) bytes: u64,
}

impl Finished {
    /// The code of the reason, or that there is none.
    pub(crate) fn code(&self) -> &'static str {
        self.reason.map_or("ok", Reason::code)
    }
}

/// Where the requests of one thread are told.
pub(crate) struct Events {
    pub(crate) counters: Arc<Counters>,
    log: Option<Rc<access_log::Local>>,
    denials: Arc<Denials>,
    port: u16,
    clock: Clock,
}

/// A request on its way.
pub(crate) struct Record {
    events: Rc<Events>,
    started: Instant,
    outcome: Cell<(Effect, Option<Reason>)>,
    status: Cell<Option<StatusCode>>,
    bytes: Cell<u64>,
    rule: Cell<Option<usize>>,
    line: RefCell<Option<Line>>,
}

impl Events {
    /// For the requests to a port; 0 where it has no number.
    pub(crate) fn new(
        port: u16,
        counters: Arc<Counters>,
        log: Option<Rc<access_log::Local>>,
        denials: Arc<Denials>,
        clock: Clock,
    ) -> Rc<Self> {
        Rc::new(Self { counters, log, denials, port, clock })
    }

    /// A request begins.
    pub(crate) fn begin(self: &Rc<Self>, head: &Parts, id: &str, client: IpAddr) -> Record {
        let mut line = self.log.as_ref().map(|log| log.begin(self.clock.now(), head, id, client));
        if let Some(line) = line.as_mut().filter(|_| self.port != 0) {
            line.port(self.port);
        }
        Record {
            events: Rc::clone(self),
            started: Instant::now(),
            outcome: Cell::new((Effect::Allow, None)),
            status: Cell::new(None),
            bytes: Cell::new(0),
            rule: Cell::new(None),
            line: RefCell::new(line),
        }
    }
}

impl Record {
    /// The policy that judges it.
    pub(crate) fn judged_by(&self, ruleset: &Ruleset) {
        if let Some(line) = &mut *self.line.borrow_mut() {
            line.policy(ruleset.policy());
        }
    }

    /// The rule that decides, where one does; a request that waited for its key is decided twice.
    pub(crate) fn by_rule(&self, rule: Option<&Rule>) {
        self.rule.set(rule.map(Rule::index));
    }

    pub(crate) fn granted(&self, granted: &Granted) {
        self.by_rule(granted.rule());
        let audited = granted.audited().map(|refused| (Effect::Audit, Some(refused.reason())));
        self.outcome.set(audited.unwrap_or((Effect::Allow, None)));
    }

    pub(crate) fn denied(&self, head: &Parts, reason: Reason) {
        self.outcome.set((Effect::Deny, Some(reason)));
        let Events { denials, port, clock, .. } = &*self.events;
        denials.note(Denial::new(*clock, *port, head, reason, self.rule.get()));
    }

    /// It was let pass, and has lost its ground since: the log tells, `/debug/decisions` lists refused requests alone.
    pub(crate) fn revoked(&self, reason: Reason) {
        self.outcome.set((Effect::Deny, Some(reason)));
    }

    pub(crate) fn failed(&self, reason: Reason) {
        self.outcome.set((Effect::Error, Some(reason)));
    }

    pub(crate) fn own(&self) {
        self.outcome.set((Effect::Own, None));
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        self.status.set(Some(status));
    }

    /// So many bytes of the answer's body went to its caller.
    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(bytes as u64));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let (effect, reason) = self.outcome.get();
        let finished = Finished {
            effect,
            reason,
            status: self.status.get(),
            duration: self.started.elapsed(),
            bytes: self.bytes.get(),
        };
        self.events.counters.note(&finished);
        if let (Some(log), Some(mut line)) = (&self.events.log, self.line.take()) {
            if let Some(rule) = self.rule.get() {
                line.rule(rule);
            }
            log.note(line, &finished);
        }
    }
}
