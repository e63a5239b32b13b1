//! What is in force on one port.

use super::shared::Shared;
use super::{ApplyError, Configuration, InForce};
use crate::limits::REPORT_ERROR;
use arc_swap::ArcSwap;
use policy::wire::{Applied, RulesetMessage, TlsMode};
use std::sync::{Arc, Mutex, PoisonError};

/// What is in force on one port. Who writes holds the lock on what all ports share.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) number: u16,
    pub(super) current: Arc<ArcSwap<Configuration>>,
    fault: Mutex<Option<String>>,
}

impl Port {
    pub(super) fn new(number: u16) -> Self {
        Self { number, current: Arc::new(ArcSwap::from_pointee(Configuration::Missing)), fault: Mutex::default() }
    }

    /// What a message comes to here.
    pub(super) fn read(&self, message: &RulesetMessage, shared: &Shared) -> Result<InForce, ApplyError> {
        InForce::read(message, shared, self.current.load().in_force().ok())
    }

    /// Puts what was received in force; false where it is there already.
    pub(super) fn put(&self, new: InForce) -> bool {
        self.set_fault(None);
        self.swap(new)
    }

    /// Replaces what is in force; false where it is the same.
    pub(super) fn swap(&self, new: InForce) -> bool {
        let is_same = self.current.load().in_force().is_ok_and(|old| {
            (&old.revision, old.generation) == (&new.revision, new.generation)
                && Arc::ptr_eq(&old.client_cas, &new.client_cas)
        });
        if !is_same {
            self.current.store(Arc::new(Configuration::InForce(Box::new(new))));
        }
        !is_same
    }

    /// No policy selects the port; false where that was known.
    pub(super) fn clear(&self) -> bool {
        self.set_fault(None);
        let was = self.current.swap(Arc::new(Configuration::Absent));
        !matches!(*was, Configuration::Absent)
    }

    /// The policy in force with keys and CA as they are now; none where there is no policy.
    pub(super) fn renewed(&self, shared: &Shared) -> Result<Option<InForce>, ApplyError> {
        self.current.load().in_force().ok().map(|old| old.with(shared)).transpose()
    }

    pub(super) fn note_fault(&self, fault: String) {
        self.set_fault(Some(fault));
    }

    /// Something came that cannot be used, and nothing before it.
    pub(super) fn invalidate(&self) {
        if matches!(**self.current.load(), Configuration::Missing) {
            self.current.store(Arc::new(Configuration::Invalid));
        }
    }

    pub(super) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.current.load().in_force().is_ok()
    }

    /// Whether callers need TLS; they do unless a policy says that there is none.
    pub(super) fn speaks_tls(&self) -> bool {
        let mode = self.current.load().in_force().map(|in_force| in_force.ruleset.accepts());
        !matches!(mode, Ok(TlsMode::Plaintext))
    }

    /// What the operator is told; nothing where nothing ever came.
    pub(super) fn applied(&self) -> Option<Applied> {
        let (current, mut error) = (self.current.load(), self.fault());
        if let Some(text) = &mut error {
            text.truncate(text.floor_char_boundary(REPORT_ERROR));
        }
        let (generation, revision) = match &**current {
            Configuration::InForce(in_force) => (in_force.generation, in_force.ruleset_revision.to_string()),
            Configuration::Missing if error.is_none() => return None,
            Configuration::Missing | Configuration::Invalid | Configuration::Absent => (0, String::new()),
        };
        Some(Applied { port: self.number, generation, revision, error })
    }

    fn set_fault(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}
