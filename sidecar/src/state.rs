//! What is in force: one value, replaced as a whole, loaded once by every request.

mod client_cas;

pub use client_cas::ClientCas;

use arc_swap::ArcSwap;
use policy::certificate::CertificateFault;
use policy::keys::{KeySet, KeySetFault};
use policy::reason::Reason;
use policy::ruleset::{Ruleset, RulesetError};
use policy::wire::{FORMAT, KeysMessage, Snapshot, TlsMode, WireError};
use rustls_pki_types::CertificateDer;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What every request is decided with.
#[derive(Debug)]
pub struct State {
    current: Arc<ArcSwap<Configuration>>,
    fault: Mutex<Option<String>>,
    applied: AtomicU64,
    refused: AtomicU64,
    generation: AtomicU64,
}

/// What happened to a state, in figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// Snapshots that were put in force.
    pub(crate) applied: u64,
    /// Snapshots that could not be read or used.
    pub(crate) refused: u64,
    /// Of the policy in force; 0 without one.
    pub(crate) generation: u64,
}

/// What there is to decide with.
#[derive(Debug)]
pub enum Configuration {
    /// Nothing was ever received.
    Missing,
    /// Something was received that cannot be used, and nothing before it.
    Invalid,
    /// A policy.
    InForce(Box<InForce>),
}

/// A policy with all that it refers to.
#[derive(Debug)]
pub struct InForce {
    /// The rules.
    pub ruleset: Ruleset,
    /// The keys of each of its issuers; none where they were never loaded.
    pub keys: Vec<Option<Arc<KeySet>>>,
    /// Who vouches for client certificates.
    pub client_cas: Arc<ClientCas>,
    /// The revisions of rules and keys: where they are equal, a token that verified once verifies again.
    pub revision: Box<str>,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It cannot be read, or its revisions do not fit.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Its rules make no ruleset.
    #[error("the ruleset cannot be used")]
    Ruleset(#[from] RulesetError),
    /// It protects no port.
    #[error("no ruleset in it")]
    NoRuleset,
    /// It protects several ports, and this proxy has one.
    #[error("{0} rulesets in it, and there is one port: compile the policies of one port alone")]
    SeveralRulesets(usize),
    /// Two sets of keys of one id.
    #[error("two sets of keys for `{0}`")]
    SameKeys(String),
    /// A set of keys that is none.
    #[error("the keys of `{id}` cannot be used")]
    Keys {
        /// What the ruleset calls the set.
        id: String,
        /// What is wrong with it.
        source: KeySetFault,
    },
    /// A CA whose certificates cannot be used.
    #[error("CA `{name}` cannot be used")]
    ClientCa {
        /// Its name in the policy.
        name: String,
        /// What is wrong with it.
        source: CertificateFault,
    },
    /// Client certificates are demanded and nobody can vouch for one.
    #[error(
        "`tls.mode: Mutual`, and no certificate of any client CA is there: give the built-in CA's with `--client-ca`"
    )]
    NoClientCa,
}

impl State {
    /// A state in which nothing was received: every request is refused.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a default that denies everything is a decision, to be read where it is made"
    )]
    pub fn new() -> Self {
        let current = Arc::new(ArcSwap::from_pointee(Configuration::Missing));
        let (applied, refused, generation) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { current, fault: Mutex::new(None), applied, refused, generation }
    }

    /// Puts a snapshot in force, or leaves everything as it was.
    ///
    /// # Errors
    /// Where anything in the snapshot cannot be used; the fault stays visible in [`fault`](Self::fault).
    pub fn apply(&self, snapshot: &Snapshot, built_in_ca: &[CertificateDer<'static>]) -> Result<(), ApplyError> {
        match self.build(snapshot, built_in_ca) {
            Ok(in_force) => {
                self.current.store(Arc::new(Configuration::InForce(Box::new(in_force))));
                self.set_fault(None);
                let generation = snapshot.rulesets.first().and_then(|ruleset| u64::try_from(ruleset.generation).ok());
                self.generation.store(generation.unwrap_or(0), Ordering::Relaxed);
                self.applied.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                self.refuse(&error);
                Err(error)
            }
        }
    }

    /// Notes that what was received cannot be used; what is in force stays, and where nothing is, requests are refused as
    /// `config_invalid`.
    pub fn refuse(&self, error: &dyn std::error::Error) {
        self.note_fault(error);
        if matches!(**self.current.load(), Configuration::Missing) {
            self.current.store(Arc::new(Configuration::Invalid));
        }
    }

    /// Notes why nothing was received; what is in force stays, and where nothing is, requests are refused as
    /// `not_configured`.
    pub fn note_fault(&self, error: &dyn std::error::Error) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.set_fault(Some(in_full(error)));
    }

    /// Whether a policy is in force.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(**self.current.load(), Configuration::InForce(_))
    }

    /// What is wrong with what was received last, where something is.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn told(&self) -> Told {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Told { applied: of(&self.applied), refused: of(&self.refused), generation: of(&self.generation) }
    }

    pub(crate) fn current(&self) -> &Arc<ArcSwap<Configuration>> {
        &self.current
    }

    fn set_fault(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn build(&self, snapshot: &Snapshot, built_in_ca: &[CertificateDer<'static>]) -> Result<InForce, ApplyError> {
        if snapshot.format != FORMAT {
            return Err(WireError::Format(snapshot.format).into());
        }
        let message = match &snapshot.rulesets[..] {
            [] => return Err(ApplyError::NoRuleset),
            [one] => one,
            several => return Err(ApplyError::SeveralRulesets(several.len())),
        };
        let ruleset = Ruleset::new(&message.body()?)?;
        let sets = key_sets(&snapshot.keys)?;
        let of_issuer = |id: &str| sets.iter().find(|(message, _)| message.id == id).map(|(_, set)| Arc::clone(set));
        let keys = ruleset.issuers().iter().map(|issuer| of_issuer(issuer.keys())).collect();
        let client_cas = self.client_cas(&ruleset, built_in_ca)?;
        let revisions = snapshot.keys.iter().flat_map(|keys| [keys.id.as_str(), keys.revision.as_str()]);
        let revision = std::iter::once(message.revision.as_str()).chain(revisions).collect::<Vec<_>>().join(" ").into();
        Ok(InForce { ruleset, keys, client_cas, revision })
    }

    /// The CAs of a ruleset: the very value that is in force where they are equal, so that live connections see no change.
    fn client_cas(
        &self,
        ruleset: &Ruleset,
        built_in_ca: &[CertificateDer<'static>],
    ) -> Result<Arc<ClientCas>, ApplyError> {
        let cas = ClientCas::new(ruleset.tls(), built_in_ca)?;
        if ruleset.tls().mode == TlsMode::Mutual && cas.is_empty() {
            return Err(ApplyError::NoClientCa);
        }
        match &**self.current.load() {
            Configuration::InForce(old) if old.client_cas.is_same(&cas) => Ok(Arc::clone(&old.client_cas)),
            _ => Ok(Arc::new(cas)),
        }
    }
}

impl Configuration {
    /// The policy.
    ///
    /// # Errors
    /// Why every request is refused, where there is none.
    pub fn in_force(&self) -> Result<&InForce, Reason> {
        match self {
            Self::Missing => Err(Reason::NotConfigured),
            Self::Invalid => Err(Reason::ConfigInvalid),
            Self::InForce(in_force) => Ok(in_force),
        }
    }
}

fn key_sets(messages: &[KeysMessage]) -> Result<Vec<(&KeysMessage, Arc<KeySet>)>, ApplyError> {
    let mut sets: Vec<(&KeysMessage, Arc<KeySet>)> = Vec::with_capacity(messages.len());
    for message in messages {
        if sets.iter().any(|(other, _)| other.id == message.id) {
            return Err(ApplyError::SameKeys(message.id.clone()));
        }
        let set = KeySet::parse(message.jwks()?.as_bytes())
            .map_err(|source| ApplyError::Keys { id: message.id.clone(), source })?;
        sets.push((message, Arc::new(set)));
    }
    Ok(sets)
}

/// An error with everything behind it, in one line.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
