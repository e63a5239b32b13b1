//! A policy with all that it refers to, as one value.

use super::shared::Shared;
use super::{ApplyError, ClientCas};
use policy::keys::KeySet;
use policy::ruleset::Ruleset;
use policy::wire::{RulesetMessage, TlsMode};
use std::sync::Arc;

/// A policy with all that it refers to.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The rules.
    pub ruleset: Arc<Ruleset>,
    /// The keys of each of its issuers; none where they were never loaded.
    pub keys: Vec<Option<Arc<KeySet>>>,
    /// Who vouches for client certificates.
    pub client_cas: Arc<ClientCas>,
    /// The revisions of rules and of the keys that they name: where they are equal, a token that verified once verifies
    /// again.
    pub revision: Box<str>,
    /// The revision of the rules alone.
    pub ruleset_revision: Box<str>,
    /// The generation of the policy object.
    pub generation: i64,
}

impl InForce {
    /// Reads a message; what is the same as in `old` stays the very value.
    pub(super) fn read(message: &RulesetMessage, shared: &Shared, old: Option<&Self>) -> Result<Self, ApplyError> {
        let body = message.body()?;
        let same = old.filter(|old| *old.ruleset_revision == *message.revision);
        let ruleset = match same {
            Some(old) => Arc::clone(&old.ruleset),
            None => Arc::new(Ruleset::new(&body)?),
        };
        let bare = Self {
            ruleset,
            keys: Vec::new(),
            client_cas: old.map_or_else(Arc::default, |old| Arc::clone(&old.client_cas)),
            revision: Box::default(),
            ruleset_revision: message.revision.as_str().into(),
            generation: message.generation,
        };
        bare.with(shared)
    }

    /// The same policy with other keys and another built-in CA. CAs that are equal stay the very value, so that live
    /// connections see no change.
    pub(super) fn with(&self, shared: &Shared) -> Result<Self, ApplyError> {
        let (ruleset, mut revision) = (&self.ruleset, self.ruleset_revision.to_string());
        let mut keys = Vec::with_capacity(ruleset.issuers().len());
        for issuer in ruleset.issuers() {
            let found = shared.keys(issuer.keys());
            revision.extend([" ", found.map_or("-", |keys| &keys.revision)]);
            keys.push(found.map(|keys| Arc::clone(&keys.set)));
        }
        let cas = ClientCas::new(ruleset.tls(), &shared.built_in_ca)?;
        if ruleset.tls().mode == TlsMode::Mutual && cas.is_empty() {
            return Err(ApplyError::NoClientCa);
        }
        let client_cas = if self.client_cas.is_same(&cas) { Arc::clone(&self.client_cas) } else { Arc::new(cas) };
        Ok(Self { keys, client_cas, revision: revision.into(), ..self.clone() })
    }

    /// Whether its tokens are verified with a set of keys.
    pub(super) fn names_keys(&self, id: &str) -> bool {
        self.ruleset.issuers().iter().any(|issuer| issuer.keys() == id)
    }
}
