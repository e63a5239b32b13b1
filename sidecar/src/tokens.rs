//! Tokens that verified once: the signature is not looked at again while rules and keys stay the same.
//!
//! Only what cannot change between two uses is kept. Times and the binding to a certificate are checked by `policy` on
//! every use, a failure is never kept, and a new revision of rules or keys empties the cache.

use crate::metrics::Counters;
use crate::state::InForce;
use policy::decide::Authenticate;
use policy::reason::TokenFault;
use policy::ruleset::Ruleset;
use policy::token::{Unproven, VerifiedToken, named_key};
use policy::wire::UnknownKey;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// Entry, queue and the fixed part of an identity.
const ENTRY: usize = 512;

/// The cache of one worker. Keys are hashed with the standard library's keyed SipHash (128 random bits), and compared
/// whole.
pub(crate) struct TokenCache {
    entries: HashMap<Rc<str>, Entry>,
    /// Oldest first; one that was used since it came to the front gets a second turn.
    turns: VecDeque<Rc<str>>,
    revision: Box<str>,
    /// The key that the token looked at last names, where the set does not have it.
    unknown: Option<UnknownKey>,
    bytes: usize,
    capacity: usize,
    counters: Arc<Counters>,
}

struct Entry {
    token: Arc<VerifiedToken>,
    cost: usize,
    used: bool,
}

impl TokenCache {
    pub(crate) fn new(capacity: usize, counters: Arc<Counters>) -> Self {
        let (entries, turns) = (HashMap::new(), VecDeque::new());
        Self { entries, turns, revision: Box::default(), unknown: None, bytes: 0, capacity, counters }
    }

    /// A verifier for what is in force, with this cache before it.
    pub(crate) fn before<'a>(&'a mut self, in_force: &'a InForce) -> CachedVerifier<'a> {
        if self.revision != in_force.revision {
            *self = Self::new(self.capacity, Arc::clone(&self.counters));
            self.revision.clone_from(&in_force.revision);
            self.tell_size();
        }
        CachedVerifier { cache: self, in_force }
    }

    /// The key that was missing since it was last asked.
    pub(crate) fn take_unknown(&mut self) -> Option<UnknownKey> {
        self.unknown.take()
    }

    fn get(&mut self, token: &str) -> Option<Arc<VerifiedToken>> {
        let entry = self.entries.get_mut(token)?;
        entry.used = true;
        Some(Arc::clone(&entry.token))
    }

    fn tell_size(&self) {
        self.counters.token_entries.set(self.entries.len() as u64);
        self.counters.token_bytes.set(self.bytes as u64);
    }

    fn insert(&mut self, token: &str, verified: &Arc<VerifiedToken>) {
        let key: Rc<str> = token.into();
        let cost = ENTRY + token.len() + verified.weight();
        self.bytes += cost;
        self.turns.push_back(Rc::clone(&key));
        self.entries.insert(key, Entry { token: Arc::clone(verified), cost, used: false });
        while self.bytes > self.capacity {
            let Some(oldest) = self.turns.pop_front() else { break };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.turns.push_back(oldest);
                }
                _ => {
                    let freed = self.entries.remove(&oldest).map_or(0, |entry| entry.cost);
                    self.bytes = self.bytes.saturating_sub(freed);
                }
            }
        }
    }
}

/// Looks into the cache, then at the keys.
pub(crate) struct CachedVerifier<'a> {
    cache: &'a mut TokenCache,
    in_force: &'a InForce,
}

impl Authenticate for CachedVerifier<'_> {
    fn authenticate(&mut self, token: &str) -> Result<Arc<VerifiedToken>, Unproven> {
        if let Some(verified) = self.cache.get(token) {
            self.cache.counters.token_hits.add(1);
            return Ok(verified);
        }
        self.cache.counters.token_misses.add(1);
        let ruleset: &Ruleset = &self.in_force.ruleset;
        let verified = (ruleset, &self.in_force.keys[..]).authenticate(token).inspect_err(|unproven| {
            if *unproven == Unproven::Fault(TokenFault::UnknownKey) {
                self.cache.unknown = named_key(token, ruleset.issuers());
            }
        })?;
        self.cache.insert(token, &verified);
        self.cache.tell_size();
        Ok(verified)
    }
}
