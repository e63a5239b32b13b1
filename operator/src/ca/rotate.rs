//! The life of the built-in CA: the next one is told to everybody before it signs, the last one until nothing of it is left.

use super::pair::{Pair, validity};
use super::{CaError, pem};
use crate::limits::{CA_ANNOUNCED, CA_OVERLAP, CA_RETIRED, CERTIFICATE_LIFE};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use std::collections::BTreeMap;

/// The names of the entries in the Secret.
mod entry {
    pub(super) const CERTIFICATE: &str = "tls.crt";
    pub(super) const KEY: &str = "tls.key";
    pub(super) const NEXT_CERTIFICATE: &str = "next.crt";
    pub(super) const NEXT_KEY: &str = "next.key";
    pub(super) const NEXT_SINCE: &str = "next.since";
    pub(super) const OLD_CERTIFICATE: &str = "old.crt";
    pub(super) const OLD_UNTIL: &str = "old.until";
}

/// What the Secret of the built-in CA holds. Its `Debug` shows no key.
#[derive(Clone, Debug)]
pub struct State {
    /// The one that signs.
    pub current: Pair,
    /// The one that will, and since when it is told to everybody.
    pub next: Option<(Pair, Timestamp)>,
    /// The one that did, and until when it is still told.
    pub old: Option<(CertificateDer<'static>, Timestamp)>,
}

/// What the leader does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A next CA is made and told.
    Announce,
    /// The next CA signs from now on.
    Promote,
    /// The last CA is forgotten.
    Forget,
}

/// What is due; none where nothing is.
#[must_use]
pub fn plan(now: Timestamp, state: &State) -> Option<Step> {
    if state.old.as_ref().is_some_and(|(_, until)| *until <= now) {
        return Some(Step::Forget);
    }
    let ends = state.current.not_after();
    match &state.next {
        // An operator that was away too long: a CA whose end is near can issue nothing that lasts.
        Some((_, since))
            if since.saturating_add(CA_OVERLAP).is_ok_and(|due| due <= now) || ends <= now + last_call() =>
        {
            Some(Step::Promote)
        }
        None if ends <= now + CA_ANNOUNCED => Some(Step::Announce),
        _ => None,
    }
}

/// A CA that lasts no longer than that gives way, whether or not the next one was told long enough.
fn last_call() -> jiff::SignedDuration {
    CERTIFICATE_LIFE * 2
}

impl State {
    /// The first CA of an installation.
    ///
    /// # Errors
    /// [`CaError::Internal`] in theory.
    pub fn first(now: Timestamp) -> Result<Self, CaError> {
        Ok(Self { current: Pair::generate(now)?, next: None, old: None })
    }

    /// The state after a step.
    ///
    /// # Errors
    /// [`CaError::Internal`] in theory.
    pub fn after(self, step: Step, now: Timestamp) -> Result<Self, CaError> {
        Ok(match (step, self.next) {
            (Step::Announce, _) => Self { next: Some((Pair::generate(now)?, now)), ..self },
            (Step::Promote, Some((next, _))) => {
                let old = self.current.certificate().clone();
                Self { current: next, next: None, old: Some((old, now + CA_RETIRED)) }
            }
            (Step::Promote, None) => Self { next: None, ..self },
            (Step::Forget, next) => Self { next, old: None, ..self },
        })
    }

    /// All certificates that are told, in PEM, the one that signs first.
    #[must_use]
    pub fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|(pair, _)| pair.certificate_pem());
        let old = self.old.as_ref().map(|(certificate, _)| pem::certificate(certificate));
        [Some(self.current.certificate_pem()), next, old].into_iter().flatten().collect()
    }

    /// Reads the Secret.
    ///
    /// # Errors
    /// See [`CaError`]; whether a time is over is not looked at.
    pub fn read(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, CaError> {
        let current = pair(data, entry::CERTIFICATE, entry::KEY)?.ok_or(CaError::Missing(entry::CERTIFICATE))?;
        let next = match pair(data, entry::NEXT_CERTIFICATE, entry::NEXT_KEY)? {
            Some(next) => Some((next, time(data, entry::NEXT_SINCE)?)),
            None => None,
        };
        let old = match certificate(data, entry::OLD_CERTIFICATE)? {
            Some(old) => {
                validity(entry::OLD_CERTIFICATE, &old)?;
                Some((old, time(data, entry::OLD_UNTIL)?))
            }
            None => None,
        };
        Ok(Self { current, next, old })
    }

    /// What the Secret holds.
    #[must_use]
    pub fn write(&self) -> BTreeMap<String, Vec<u8>> {
        let mut data = BTreeMap::new();
        let mut put = |name: &str, text: String| data.insert(name.to_owned(), text.into_bytes());
        put(entry::CERTIFICATE, self.current.certificate_pem());
        put(entry::KEY, self.current.key_pem());
        if let Some((next, since)) = &self.next {
            put(entry::NEXT_CERTIFICATE, next.certificate_pem());
            put(entry::NEXT_KEY, next.key_pem());
            put(entry::NEXT_SINCE, since.to_string());
        }
        if let Some((old, until)) = &self.old {
            put(entry::OLD_CERTIFICATE, pem::certificate(old));
            put(entry::OLD_UNTIL, until.to_string());
        }
        data
    }
}

type Data = BTreeMap<String, Vec<u8>>;

fn pair(data: &Data, name: &'static str, key: &'static str) -> Result<Option<Pair>, CaError> {
    let Some(certificate) = certificate(data, name)? else { return Ok(None) };
    let key = data.get(key).ok_or(CaError::Missing(key))?;
    Pair::read(name, certificate, key).map(Some)
}

fn certificate(data: &Data, name: &'static str) -> Result<Option<CertificateDer<'static>>, CaError> {
    let Some(text) = data.get(name) else { return Ok(None) };
    let all = pem::certificates(text).ok_or(CaError::Unreadable(name))?;
    <[_; 1]>::try_from(all).map(|[one]| Some(one)).map_err(|_| CaError::Unreadable(name))
}

fn time(data: &Data, name: &'static str) -> Result<Timestamp, CaError> {
    let text = data.get(name).ok_or(CaError::Missing(name))?;
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(CaError::Unreadable(name))
}

#[cfg(test)]
mod tests;
