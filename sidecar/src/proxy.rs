//! The way of a request.

mod recheck;
mod unknown_key;

pub(crate) use recheck::Opened;

use crate::answer::{self, Asked, OwnAnswer, Refusal};
use crate::body::{Outgoing, Progress, Upload};
use crate::clock::Clock;
use crate::connection::{Connection, Registry};
use crate::drain;
use crate::events::{Events, Record};
use crate::limits::{InForceLimits, Limits};
use crate::request_id::RequestIds;
use crate::state::{Configuration, InForce};
use crate::tls::TlsParts;
use crate::tokens::TokenCache;
use crate::unknown_key::UnknownKeys;
use crate::upstream::{Arrival, Outbound, Upstream, tunnel};
use arc_swap::{ArcSwap, Cache};
use bytes::Bytes;
use http::header::{HeaderMap, ORIGIN};
use http::request::Parts;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use policy::decide::{Decision, Question, audit_unreadable, decide};
use policy::forward::Exchange;
use policy::permit::Granted;
use policy::reason::Reason;
use policy::request::{CanonicalRequest, RequestHead};
use policy::ruleset::Paths;
use policy::wire::UnknownKey;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::Instant;

/// Who answers a request.
enum Answered {
    /// The proxy itself.
    Here(OwnAnswer),
    /// The application.
    There(Arrival, Rc<Progress>),
}

/// What all requests of one thread share. Nothing in it is locked.
pub(crate) struct Worker {
    pub(crate) limits: Limits,
    pub(crate) state: Arc<ArcSwap<Configuration>>,
    pub(crate) tls: Arc<TlsParts>,
    pub(crate) drain: Rc<drain::Local>,
    pub(crate) events: Rc<Events>,
    unknown_keys: Arc<UnknownKeys>,
    pub(crate) connections: Registry,
    pub(crate) clock: Clock,
    /// Sees a change by comparing one pointer, without touching a counter that other threads write.
    seen: RefCell<Cache<Arc<ArcSwap<Configuration>>, Arc<Configuration>>>,
    tokens: RefCell<TokenCache>,
    upstream: Rc<Upstream>,
    ids: RequestIds,
}

impl Worker {
    pub(crate) fn new(
        state: Arc<ArcSwap<Configuration>>,
        tls: Arc<TlsParts>,
        upstream: Rc<Upstream>,
        limits: Limits,
        clock: Clock,
        told: Told,
    ) -> Self {
        let Told { drain, events, unknown_keys } = told;
        Self {
            seen: RefCell::new(Cache::new(Arc::clone(&state))),
            tokens: RefCell::new(TokenCache::new(limits.token_cache, Arc::clone(&events.counters))),
            ids: RequestIds::new(),
            connections: Registry::default(),
            limits,
            state,
            tls,
            drain,
            events,
            unknown_keys,
            upstream,
            clock,
        }
    }

    /// Answers a request: with the application's answer, or with why there is none.
    pub(crate) async fn answer(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        mut request: Request<Incoming>,
    ) -> Response<Outgoing> {
        let asked = Asked::by(request.headers(), connection.is_h2);
        let id = self.ids.next();
        let client_side = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        let begun = self.clock.now();
        let turn = connection.turn(self.events.begin(&head, &id, connection.address.ip()), &body);
        let record = &turn.record;
        let verdict = self.decide(connection, &head, &id, record);
        let Verdict { course, limits, browsers, .. } = self.with_its_key(verdict, connection, &head, &id, record).await;
        // What the answer must tell a browser depends on one field, and the others go with the request.
        let mut browsers = browsers.map(|configuration| (configuration, origin_of(&head.headers)));
        let arrival = match course {
            Course::Own(own) => {
                record.own();
                connection.leave_unread(body);
                Ok(Answered::Here(own))
            }
            Course::Refuse(refusal) => {
                record.denied(&head, refusal.reason);
                connection.leave_unread(body);
                Err(refusal)
            }
            Course::Forward(outbound) => {
                let opened = Opened { worker: Rc::clone(self), connection: Rc::clone(connection), head, begun };
                let progress = Progress::new(limits.idle, connection.moved(), opened);
                let upload = Upload::new(body, limits.size.body, Rc::clone(&progress), outbound.trailers());
                let sent = self.upstream.send(*outbound, upload, &progress, limits.request).await;
                match sent {
                    Ok(arrival) => Ok(Answered::There(arrival, progress)),
                    Err(reason) => {
                        let refusal = unanswered(reason, &progress, record);
                        connection.leave_upload(progress);
                        Err(refusal)
                    }
                }
            }
        };
        let mut response = match arrival {
            Ok(Answered::Here(own)) => {
                browsers = browsers.filter(|_| !own.is_preflight);
                answer::own(own, &id, turn)
            }
            Ok(Answered::There(Arrival::Answer(response), _)) => response.map(|mut download| {
                download.ends_in_trailers = asked.reads_trailers() && download.body.size_hint().exact().is_none();
                Outgoing::of_app(download, turn)
            }),
            Ok(Answered::There(Arrival::Tunnel(response, app_side), progress)) => {
                connection.becomes_tunnel();
                let allowed = move || progress.opened().still_allowed().is_ok();
                tunnel::open(client_side, app_side, limits.idle, allowed);
                return response.map(|()| Outgoing::ours(Bytes::new(), turn));
            }
            Err(refusal) => {
                if answer::ends_connection(refusal.reason, connection.is_h2) {
                    connection.end_now();
                }
                answer::refuse(&refusal, asked, &id, turn)
            }
        };
        if let Some((configuration, origin)) = &browsers
            && let Ok(in_force) = configuration.in_force()
        {
            in_force.ruleset.tell_browsers(origin, response.headers_mut());
        }
        if connection.is_over(self.clock) {
            connection.end_gently();
            answer::end_connection(&mut response, connection.is_h2);
        }
        response
    }

    /// What becomes of a request.
    fn decide(&self, connection: &Connection, head: &Parts, id: &str, record: &Record) -> Verdict {
        let mut seen = self.seen.borrow_mut();
        let configuration = seen.load();
        let in_force = match configuration.in_force() {
            Ok(in_force) => in_force,
            Err(reason) => return self.without_policy(head, reason),
        };
        let ruleset = &in_force.ruleset;
        record.judged_by(ruleset);
        let limits = self.limits.under(Some(ruleset.limits()));
        let course = self.course(connection, head, id, in_force, &limits, record);
        // Shared by all threads, so it is held only where the answer needs it.
        let browsers = ruleset.has_cors().then(|| Arc::clone(configuration));
        let unknown_key = self.tokens.borrow_mut().take_unknown();
        Verdict { course: course.unwrap_or_else(Course::Refuse), limits, browsers, unknown_key }
    }

    /// Ambiguous input is told first even where no policy is in force.
    fn without_policy(&self, head: &Parts, reason: Reason) -> Verdict {
        let limits = self.limits.under(None);
        let hygiene = CanonicalRequest::read(&request_head(head), Paths::default(), &limits.size).err();
        let course = Course::Refuse(hygiene.unwrap_or(reason).into());
        Verdict { course, limits, browsers: None, unknown_key: None }
    }

    fn course(
        &self,
        connection: &Connection,
        parts: &Parts,
        id: &str,
        in_force: &InForce,
        limits: &InForceLimits,
        record: &Record,
    ) -> Result<Course, Refusal> {
        let (ruleset, now) = (&in_force.ruleset, self.clock.now());
        let head = request_head(parts);
        let peer = connection.peer.by(&in_force.client_cas, self.clock);
        let mut tokens = self.tokens.borrow_mut();
        let mut verifier = tokens.before(in_force);
        let exchange = Exchange { scheme: if peer.plaintext { "http" } else { "https" }, request_id: id };
        let forward = |granted: Granted| -> Result<Course, Refusal> {
            record.granted(&granted);
            Ok(Course::Forward(Box::new(Outbound::new(&granted.discharge(), parts, &exchange)?)))
        };
        let request = match CanonicalRequest::read(&head, ruleset.paths(), &limits.size) {
            Ok(request) => request,
            Err(reason) => {
                let audited = audit_unreadable(ruleset, head, &peer, now, (reason, &limits.size), &mut verifier);
                return forward(audited?);
            }
        };
        if connection.peer.lost_its_word() && !ruleset.is_audit() {
            return Err(Reason::TlsMode.into());
        }
        match decide(Question { ruleset, head, request: &request, peer: &peer, now, begun: now }, &mut verifier) {
            Decision::Own(own) => Ok(Course::Own(own.into())),
            Decision::Refused(refused) => {
                record.by_rule(refused.rule());
                Err(Refusal::of(refused))
            }
            Decision::Granted(granted) => forward(granted),
        }
    }
}

/// Where a worker is told that it is to end, and where it tells what it does and what it lacks.
pub(crate) struct Told {
    pub(crate) drain: Rc<drain::Local>,
    pub(crate) events: Rc<Events>,
    pub(crate) unknown_keys: Arc<UnknownKeys>,
}

/// What was decided, and what the rest of the way needs to know.
struct Verdict {
    course: Course,
    limits: InForceLimits,
    /// The configuration whose `cors` the answer must tell, where it has one.
    browsers: Option<Arc<Configuration>>,
    /// The key that the token names, where the issuer's set does not have it.
    unknown_key: Option<UnknownKey>,
}

/// What becomes of a request.
enum Course {
    Forward(Box<Outbound>),
    Own(OwnAnswer),
    Refuse(Refusal),
}

/// What the caller of a request is told to which there is no answer.
fn unanswered(reason: Reason, progress: &Progress, record: &Record) -> Refusal {
    match progress.ended(Instant::now()) {
        Some(refusal) if refusal.reason == reason => {
            record.denied(progress.opened().head(), reason);
            refusal.clone()
        }
        _ => {
            record.failed(reason);
            reason.into()
        }
    }
}

/// The one field that says which page asks.
fn origin_of(headers: &HeaderMap) -> HeaderMap {
    headers.get_all(ORIGIN).iter().map(|value| (ORIGIN, value.clone())).collect()
}

fn request_head(parts: &Parts) -> RequestHead<'_> {
    RequestHead { method: &parts.method, uri: &parts.uri, version: parts.version, headers: &parts.headers }
}
