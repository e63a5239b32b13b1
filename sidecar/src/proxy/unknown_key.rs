//! A request whose token names an unknown key waits for the key, and is decided again.

use super::{Course, Verdict, Worker};
use crate::connection::Connection;
use crate::events::Record;
use crate::unknown_key::Asked;
use http::request::Parts;
use policy::reason::{Reason, TokenFault};

impl Worker {
    /// The verdict once the key is there or was waited for. Only a refusal waits: what passes without the token, or before a
    /// policy in Audit, is not held up.
    pub(super) async fn with_its_key(
        &self,
        mut verdict: Verdict,
        connection: &Connection,
        head: &Parts,
        id: &str,
        record: &Record,
    ) -> Verdict {
        let Some(key) = verdict.unknown_key.take() else { return verdict };
        if !lacks_its_key(&verdict) {
            self.unknown_keys.tell(&key);
            return verdict;
        }
        // One connection alone must not take the places of all others.
        let Some(_turn) = connection.waits_for_key() else { return too_many(verdict) };
        let mut place = match self.unknown_keys.ask(&key) {
            Asked::InVain => return verdict,
            Asked::Full => return too_many(verdict),
            Asked::Waiting(place) => place,
        };
        loop {
            verdict = self.decide(connection, head, id, record);
            let waits_on = lacks_its_key(&verdict) && verdict.unknown_key.as_ref() == Some(&key);
            if !waits_on || !place.changed().await {
                return verdict;
            }
        }
    }
}

fn lacks_its_key(verdict: &Verdict) -> bool {
    matches!(&verdict.course, Course::Refuse(refusal)
        if refusal.reason == Reason::TokenInvalid(TokenFault::UnknownKey))
}

fn too_many(verdict: Verdict) -> Verdict {
    Verdict { course: Course::Refuse(Reason::KeysUnavailable.into()), ..verdict }
}
