//! The way of a request.

use crate::answer::{self, Asked, Refusal};
use crate::body::{Outgoing, Progress, Upload};
use crate::clock::Clock;
use crate::connection::Connection;
use crate::limits::Limits;
use crate::request_id::RequestIds;
use crate::state::Configuration;
use crate::tls::TlsParts;
use crate::tokens::TokenCache;
use crate::upstream::{Arrival, Outbound, Upstream, tunnel};
use arc_swap::{ArcSwap, Cache};
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use policy::decide::{Decision, Question, decide};
use policy::forward::Exchange;
use policy::reason::Reason;
use policy::request::{CanonicalRequest, RequestHead};
use policy::ruleset::Paths;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What all requests of one thread share. Nothing in it is locked.
pub(crate) struct Worker {
    pub(crate) limits: Limits,
    pub(crate) state: Arc<ArcSwap<Configuration>>,
    pub(crate) tls: Arc<TlsParts>,
    /// Sees a change by comparing one pointer, without touching a counter that other threads write.
    seen: RefCell<Cache<Arc<ArcSwap<Configuration>>, Arc<Configuration>>>,
    tokens: RefCell<TokenCache>,
    upstream: Rc<Upstream>,
    ids: RequestIds,
    clock: Clock,
}

impl Worker {
    pub(crate) fn new(state: Arc<ArcSwap<Configuration>>, tls: Arc<TlsParts>, upstream: Rc<Upstream>, limits: Limits, clock: Clock) -> Self {
        Self {
            seen: RefCell::new(Cache::new(Arc::clone(&state))),
            tokens: RefCell::new(TokenCache::new(limits.token_cache)),
            ids: RequestIds::new(),
            limits,
            state,
            tls,
            upstream,
            clock,
        }
    }

    /// Answers a request: with the application's answer, or with why there is none.
    pub(crate) async fn answer(&self, connection: &Rc<Connection>, mut request: Request<Incoming>) -> Response<Outgoing> {
        let turn = connection.turn();
        let asked = Asked::by(request.headers(), connection.is_h2);
        let id = self.ids.next();
        let client_side = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        let arrival = match self.decide(connection, &head, &id) {
            Err(refusal) => Err(refusal),
            Ok(outbound) => {
                let progress = Progress::new(self.limits.idle);
                let upload = Upload::new(body, self.limits.size.body, Rc::clone(&progress));
                self.upstream.send(outbound, upload, progress).await.map_err(Refusal::from)
            }
        };
        match arrival {
            Ok(Arrival::Answer(response)) => response.map(|download| Outgoing::of_app(download, turn)),
            Ok(Arrival::Tunnel(response, app_side)) => {
                connection.becomes_tunnel();
                tunnel::open(client_side, app_side, Rc::clone(connection), self.limits.idle);
                response.map(|()| Outgoing::ours(Bytes::new(), turn))
            }
            Err(refusal) => {
                if answer::ends_connection(refusal.reason) {
                    connection.close();
                }
                answer::refuse(&refusal, asked, &id, turn)
            }
        }
    }

    /// From a head to the only thing that can be sent to the application.
    fn decide(&self, connection: &Connection, head: &Parts, id: &str) -> Result<Outbound, Refusal> {
        let mut seen = self.seen.borrow_mut();
        let configuration = seen.load().in_force();
        let paths = configuration.map_or_else(|_| Paths::default(), |in_force| in_force.ruleset.paths());
        let request_head = RequestHead { method: &head.method, uri: &head.uri, version: head.version, headers: &head.headers };
        let request = CanonicalRequest::read(&request_head, paths, &self.limits.size)?;
        let in_force = configuration?;
        let peer = connection.peer.by(&in_force.client_cas, self.clock);
        if connection.peer.lost_its_word() {
            return Err(Reason::TlsMode.into());
        }
        let question = Question { ruleset: &in_force.ruleset, head: request_head, request: &request, peer: &peer, now: self.clock.now() };
        match decide(question, &mut self.tokens.borrow_mut().before(in_force)) {
            Decision::Own(_) => Err(Reason::NotFound.into()),
            Decision::Refused(refused) => Err(Refusal { reason: refused.reason(), challenge: refused.challenge() }),
            Decision::Granted(granted) => {
                let permit = granted.discharge();
                let exchange = Exchange { scheme: "https", request_id: id };
                Ok(Outbound::new(&permit, head, &exchange)?)
            }
        }
    }
}
