//! Tokens that verified once: the signature is not looked at again while rules and keys stay the same.
//!
//! Only what cannot change between two uses is kept. Times and the binding to a certificate are checked by `policy` on
//! every use, a failure is never kept, and a new revision of rules or keys empties the cache.

use crate::state::InForce;
use policy::decide::Authenticate;
use policy::token::{Unproven, VerifiedToken};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// A token and its parsed claims take about this many times its bytes.
const CLAIMS_FACTOR: usize = 3;
/// Entry, queue and the fixed part of an identity.
const ENTRY: usize = 512;

/// The cache of one worker. Keys are hashed with the standard library's keyed SipHash (128 random bits), and compared
/// whole.
pub(crate) struct TokenCache {
    entries: HashMap<Rc<str>, Entry>,
    /// Oldest first; one that was used since it came to the front gets a second turn.
    turns: VecDeque<Rc<str>>,
    revision: Box<str>,
    bytes: usize,
    capacity: usize,
}

struct Entry {
    token: Arc<VerifiedToken>,
    used: bool,
}

impl TokenCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), turns: VecDeque::new(), revision: Box::default(), bytes: 0, capacity }
    }

    /// A verifier for what is in force, with this cache before it.
    pub(crate) fn before<'a>(&'a mut self, in_force: &'a InForce) -> CachedVerifier<'a> {
        if self.revision != in_force.revision {
            *self = Self::new(self.capacity);
            self.revision.clone_from(&in_force.revision);
        }
        CachedVerifier { cache: self, in_force }
    }

    fn get(&mut self, token: &str) -> Option<Arc<VerifiedToken>> {
        let entry = self.entries.get_mut(token)?;
        entry.used = true;
        Some(Arc::clone(&entry.token))
    }

    fn insert(&mut self, token: &str, verified: &Arc<VerifiedToken>) {
        let key: Rc<str> = token.into();
        self.bytes += cost(&key);
        self.turns.push_back(Rc::clone(&key));
        self.entries.insert(key, Entry { token: Arc::clone(verified), used: false });
        while self.bytes > self.capacity {
            let Some(oldest) = self.turns.pop_front() else { break };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.turns.push_back(oldest);
                }
                _ => {
                    self.entries.remove(&oldest);
                    self.bytes = self.bytes.saturating_sub(cost(&oldest));
                }
            }
        }
    }
}

fn cost(token: &str) -> usize {
    token.len() * CLAIMS_FACTOR + ENTRY
}

/// Looks into the cache, then at the keys.
pub(crate) struct CachedVerifier<'a> {
    cache: &'a mut TokenCache,
    in_force: &'a InForce,
}

impl Authenticate for CachedVerifier<'_> {
    fn authenticate(&mut self, token: &str) -> Result<Arc<VerifiedToken>, Unproven> {
        if let Some(verified) = self.cache.get(token) {
            return Ok(verified);
        }
        let verified = (&self.in_force.ruleset, &self.in_force.keys[..]).authenticate(token)?;
        self.cache.insert(token, &verified);
        Ok(verified)
    }
}
