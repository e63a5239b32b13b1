//! Fields after a body, on their way to an application that HTTP/2 is spoken to.

use super::{is_identity, is_ours, names};
use crate::permit::Permit;
use crate::ruleset::Forward;
use http::HeaderMap;
use http::header::{self, HeaderName};
use std::sync::Arc;

/// What of a request's trailers may reach the application: nothing by which it could be told another length, host,
/// credential or caller than the head that was decided on tells (RFC 9110, section 6.5.1).
#[derive(Clone, Debug)]
pub struct Trailers {
    forward: Arc<Forward>,
    as_it_came: bool,
}

impl Trailers {
    /// For a request that may be forwarded.
    #[must_use]
    pub fn of(permit: &Permit) -> Self {
        Self { forward: Arc::clone(permit.forward()), as_it_came: permit.is_as_it_came() }
    }

    /// Removes what must not pass.
    pub fn strip(&self, trailers: &mut HeaderMap) {
        let goes = |name: &HeaderName| {
            let belongs_to_head = names::is_hop_by_hop(name)
                || matches!(*name, header::HOST | header::AUTHORIZATION | header::COOKIE | header::EXPECT)
                || name.as_str().starts_with("content-");
            belongs_to_head || is_identity(&self.forward, name) || (!self.as_it_came && is_ours(&self.forward, name))
        };
        let named: Vec<HeaderName> = trailers.keys().filter(|name| goes(name)).cloned().collect();
        for name in named {
            trailers.remove(name);
        }
    }
}
