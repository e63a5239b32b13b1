//! What is in force: one value a port, replaced as a whole, loaded once by every request.

mod client_cas;
mod error;
mod in_force;
mod port;
mod shared;

pub use client_cas::ClientCas;
pub use error::ApplyError;
pub use in_force::InForce;

use crate::unknown_key::{Refetch, UnknownKeys};
use arc_swap::ArcSwap;
use policy::reason::Reason;
use policy::wire::{Applied, FORMAT, KeysMessage, RulesetMessage, Snapshot, WireError};
use port::Port;
use rustls_pki_types::CertificateDer;
use shared::Shared;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What every request is decided with.
#[derive(Debug)]
pub struct State {
    ports: Box<[Port]>,
    /// Locked by whoever replaces anything, so that two never do at once.
    shared: Mutex<Shared>,
    unknown_keys: Arc<UnknownKeys>,
    applied: AtomicU64,
    refused: AtomicU64,
}

/// What happened to a state, in figures.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// What was received and put in force.
    pub(crate) applied: u64,
    /// What was received and could not be read or used.
    pub(crate) refused: u64,
    /// For each port the generation of the policy in force; 0 without one.
    pub(crate) generations: Vec<(u16, u64)>,
}

/// What there is to decide with.
#[derive(Debug)]
pub enum Configuration {
    /// Nothing was ever received.
    Missing,
    /// Something was received that cannot be used, and nothing before it.
    Invalid,
    /// No policy selects the port, or none does any more.
    Absent,
    /// A policy.
    InForce(Box<InForce>),
}

impl State {
    /// A state of one port, whatever its number, in which nothing was received: every request is refused.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a default that denies everything is a decision, to be read where it is made"
    )]
    pub fn new() -> Self {
        Self::for_ports(&[0])
    }

    /// A state of several ports in which nothing was received: every request is refused.
    #[must_use]
    pub fn for_ports(numbers: &[u16]) -> Self {
        Self {
            ports: numbers.iter().copied().map(Port::new).collect(),
            shared: Mutex::default(),
            unknown_keys: Arc::default(),
            applied: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Puts a snapshot in force, or leaves everything as it was. A state of one port takes a ruleset of any; a state of
    /// several takes a ruleset for each, and a port without one refuses every request from then on.
    ///
    /// # Errors
    /// Where anything in the snapshot cannot be used; the fault stays visible in [`fault`](Self::fault).
    pub fn apply(&self, snapshot: &Snapshot, built_in_ca: &[CertificateDer<'static>]) -> Result<(), ApplyError> {
        let mut shared = self.lock();
        match self.read(snapshot, built_in_ca) {
            Ok((new, policies)) => {
                *shared = new;
                for (port, policy) in policies {
                    match policy {
                        Some(policy) => port.put(policy),
                        None => port.clear(),
                    };
                }
                self.took();
                Ok(())
            }
            Err(error) => {
                self.refuse(&error);
                Err(error)
            }
        }
    }

    /// Puts a ruleset in force on its port, or leaves everything as it was; false where it was in force already.
    ///
    /// # Errors
    /// Where it cannot be used; the fault stays visible until something that can be used comes for the port.
    pub fn apply_ruleset(&self, message: &RulesetMessage) -> Result<bool, ApplyError> {
        let shared = self.lock();
        let port = self.port(message.port).ok_or(ApplyError::UnknownPort(message.port))?;
        match port.read(message, &shared) {
            Ok(policy) => {
                let changed = port.put(policy);
                self.took();
                Ok(changed)
            }
            Err(error) => {
                port.note_fault(in_full(&error));
                port.invalidate();
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Refuses every request to a port: no policy selects it. False where it was so already.
    ///
    /// # Errors
    /// Where there is no such port.
    pub fn apply_absent(&self, port: u16) -> Result<bool, ApplyError> {
        let _shared = self.lock();
        let changed = self.port(port).ok_or(ApplyError::UnknownPort(port))?.clear();
        self.took();
        Ok(changed)
    }

    /// Refuses every request to a port unless the rules in force there are those of a policy of one of these UIDs, which cannot
    /// be used now and keeps its last good rules. True where other rules were in force.
    ///
    /// # Errors
    /// Where there is no such port.
    pub fn apply_retain(&self, port: u16, policies: &[String]) -> Result<bool, ApplyError> {
        let _shared = self.lock();
        let port = self.port(port).ok_or(ApplyError::UnknownPort(port))?;
        let of_another =
            port.current.load().in_force().is_ok_and(|in_force| !policies.contains(&in_force.ruleset.policy().uid));
        let changed = of_another && port.clear();
        self.took();
        Ok(changed)
    }

    /// Replaces a set of keys for all policies that name it; false where it is the same.
    ///
    /// # Errors
    /// Where it cannot be used; the keys before stay.
    pub fn apply_keys(&self, message: &KeysMessage) -> Result<bool, ApplyError> {
        let mut shared = self.lock();
        // Told by whoever received it, not on the ports: a fault of keys says nothing about what is in force there.
        let changed = shared.replace(message, |id| self.names_keys(id)).inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })?;
        for port in self.ports_of(&message.id) {
            port.renewed(&shared)?.map(|policy| port.swap(policy));
        }
        self.took();
        Ok(changed)
    }

    /// Replaces the certificates of the built-in CA for the policies of all ports.
    ///
    /// # Errors
    /// The first reason why a policy cannot be used with them; all keep the ones before.
    pub fn trust(&self, built_in_ca: &[CertificateDer<'static>]) -> Result<(), ApplyError> {
        let mut shared = self.lock();
        let mut new = shared.clone();
        new.built_in_ca = built_in_ca.to_vec();
        let renewed = self.ports.iter().map(|port| port.renewed(&new)).collect::<Result<Vec<_>, _>>()?;
        *shared = new;
        for (port, policy) in self.ports.iter().zip(renewed) {
            policy.map(|policy| port.swap(policy));
        }
        Ok(())
    }

    /// Forgets the keys that no policy in force names.
    pub fn forget_unused_keys(&self) {
        self.lock().retain(|id| self.names_keys(id));
    }

    /// Whether a policy in force names a set of keys.
    #[must_use]
    pub fn names_keys(&self, id: &str) -> bool {
        self.ports_of(id).next().is_some()
    }

    /// Notes that what was received cannot be used; what is in force stays, and where nothing is, requests are refused as
    /// `config_invalid`.
    pub fn refuse(&self, error: &dyn std::error::Error) {
        self.note_fault(error);
        self.ports.iter().for_each(Port::invalidate);
    }

    /// Notes why nothing was received; what is in force stays, and where nothing is, requests are refused as
    /// `not_configured`.
    pub fn note_fault(&self, error: &dyn std::error::Error) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.ports.iter().for_each(|port| port.note_fault(in_full(error)));
    }

    /// Notes that something for one port cannot be used, which stays as it is.
    pub fn note_fault_of(&self, port: u16, error: &dyn std::error::Error) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(port) = self.port(port) {
            port.note_fault(in_full(error));
        }
    }

    /// Whether a policy is in force on every port.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ports.iter().all(Port::is_ready)
    }

    /// Whether any port needs the certificate that callers see.
    #[must_use]
    pub fn speaks_tls(&self) -> bool {
        self.ports.iter().any(Port::speaks_tls)
    }

    /// What is wrong with what was received last, where something is, on the first port where it is.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.ports.iter().find_map(Port::fault)
    }

    /// What is in force on each port that ever got something.
    #[must_use]
    pub fn status(&self) -> Vec<Applied> {
        self.ports.iter().filter_map(Port::applied).collect()
    }

    /// The ports.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().map(|port| port.number)
    }

    /// Names who can have keys fetched anew when a token names one that no set has; without it such tokens are refused at
    /// once. To be named once, before the proxy starts.
    pub fn refetch_with(&self, refetch: Arc<dyn Refetch>) {
        self.unknown_keys.refetch_with(refetch);
    }

    pub(crate) fn told(&self) -> Told {
        let generation = |port: &Port| {
            let current = port.current.load();
            let generation = current.in_force().map_or(0, |in_force| in_force.generation);
            (port.number, u64::try_from(generation).unwrap_or(0))
        };
        Told {
            applied: self.applied.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            generations: self.ports.iter().map(generation).collect(),
        }
    }

    pub(crate) fn current(&self, port: u16) -> Option<&Arc<ArcSwap<Configuration>>> {
        self.port(port).map(|port| &port.current)
    }

    pub(crate) fn unknown_keys(&self) -> &Arc<UnknownKeys> {
        &self.unknown_keys
    }

    fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    fn ports_of(&self, keys: &str) -> impl Iterator<Item = &Port> {
        self.ports.iter().filter(move |port| port.current.load().in_force().is_ok_and(|policy| policy.names_keys(keys)))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was put in force: who waits for a key looks again.
    fn took(&self) {
        self.applied.fetch_add(1, Ordering::Relaxed);
        self.unknown_keys.wake();
    }

    /// What a snapshot comes to on every port.
    fn read(
        &self,
        snapshot: &Snapshot,
        built_in_ca: &[CertificateDer<'static>],
    ) -> Result<(Shared, Vec<OfPort<'_>>), ApplyError> {
        if snapshot.format != FORMAT {
            return Err(WireError::Format(snapshot.format).into());
        }
        let shared = Shared::of_snapshot(&snapshot.keys, built_in_ca)?;
        let policies = match (&*self.ports, &snapshot.rulesets[..]) {
            (_, []) => return Err(ApplyError::NoRuleset),
            ([port], [message]) => vec![(port, Some(port.read(message, &shared)?))],
            ([_], several) => return Err(ApplyError::SeveralRulesets(several.len())),
            (ports, messages) => {
                if let Some(stray) = messages.iter().find(|message| self.port(message.port).is_none()) {
                    return Err(ApplyError::UnknownPort(stray.port));
                }
                let of_port = |port| read_for(port, messages, &shared).map(|policy| (port, policy));
                ports.iter().map(of_port).collect::<Result<_, _>>()?
            }
        };
        Ok((shared, policies))
    }
}

/// A port with what a snapshot puts in force there.
type OfPort<'a> = (&'a Port, Option<InForce>);

/// What the rulesets of a snapshot come to on one port.
fn read_for(port: &Port, messages: &[RulesetMessage], shared: &Shared) -> Result<Option<InForce>, ApplyError> {
    let mut own = messages.iter().filter(|message| message.port == port.number);
    match (own.next(), own.next()) {
        (_, Some(_)) => Err(ApplyError::SamePort(port.number)),
        (message, None) => message.map(|message| port.read(message, shared)).transpose(),
    }
}

impl Configuration {
    /// The policy.
    ///
    /// # Errors
    /// Why every request is refused, where there is none.
    pub fn in_force(&self) -> Result<&InForce, Reason> {
        match self {
            Self::Missing | Self::Absent => Err(Reason::NotConfigured),
            Self::Invalid => Err(Reason::ConfigInvalid),
            Self::InForce(in_force) => Ok(in_force),
        }
    }
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
