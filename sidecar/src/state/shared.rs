//! What the rulesets of all ports refer to: keys, each set parsed once, and the built-in CA.

use super::ApplyError;
use crate::limits::KEY_SETS;
use policy::keys::KeySet;
use policy::wire::KeysMessage;
use rustls_pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keys and the built-in CA.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    keys: BTreeMap<Box<str>, Keys>,
    pub(super) built_in_ca: Vec<CertificateDer<'static>>,
}

/// One set of keys, shared by all that verify with it.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) revision: Box<str>,
    pub(super) set: Arc<KeySet>,
}

impl Shared {
    /// All that a snapshot holds beside its rulesets.
    pub(super) fn of_snapshot(
        messages: &[KeysMessage],
        built_in_ca: &[CertificateDer<'static>],
    ) -> Result<Self, ApplyError> {
        let mut made = Self { keys: BTreeMap::new(), built_in_ca: built_in_ca.to_vec() };
        for message in messages {
            if made.keys.insert(message.id.as_str().into(), Keys::parse(message)?).is_some() {
                return Err(ApplyError::SameKeys(message.id.clone()));
            }
        }
        Ok(made)
    }

    pub(super) fn keys(&self, id: &str) -> Option<&Keys> {
        self.keys.get(id)
    }

    /// Puts a set in the place of the one of the same id; false where it is the same.
    pub(super) fn replace(
        &mut self,
        message: &KeysMessage,
        is_needed: impl Fn(&str) -> bool,
    ) -> Result<bool, ApplyError> {
        let new = Keys::parse(message)?;
        if let Some(old) = self.keys.get_mut(message.id.as_str()) {
            let differs = old.revision != new.revision;
            *old = new;
            return Ok(differs);
        }
        if self.keys.len() >= KEY_SETS {
            self.retain(is_needed);
        }
        if self.keys.len() >= KEY_SETS {
            return Err(ApplyError::TooManyKeys(message.id.clone()));
        }
        self.keys.insert(message.id.as_str().into(), new);
        Ok(true)
    }

    /// Forgets the sets that nothing needs.
    pub(super) fn retain(&mut self, is_needed: impl Fn(&str) -> bool) {
        self.keys.retain(|id, _| is_needed(id));
    }
}

impl Keys {
    fn parse(message: &KeysMessage) -> Result<Self, ApplyError> {
        let set = KeySet::parse(message.jwks()?.as_bytes())
            .map_err(|source| ApplyError::Keys { id: message.id.clone(), source })?;
        Ok(Self { revision: message.revision.as_str().into(), set: Arc::new(set) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_keys_are_bounded_and_what_nothing_needs_gives_way() {
        let message = |id: usize| {
            let jwks = r#"{"keys":[{"kid":"k","kty":"EC","crv":"P-256","x":"9IEysKodLvzHZDO_FkIFAO4rJu62S91MOx7gN-MASnA","y":"UDEFPLapVoGauDwXe0xFYcjfPtpEEPE41PmW7WdjWTc"}]}"#;
            KeysMessage::new(id.to_string(), "https://login.example.com".to_owned(), jwks).unwrap()
        };
        let mut shared = Shared::default();
        for id in 0..KEY_SETS {
            assert!(shared.replace(&message(id), |_| true).unwrap(), "{id}");
        }
        assert!(matches!(shared.replace(&message(KEY_SETS), |_| true), Err(ApplyError::TooManyKeys(_))));
        assert!(!shared.replace(&message(7), |_| true).unwrap(), "one that is there is no further one");
        assert!(shared.replace(&message(KEY_SETS), |id| id == "7").unwrap());
        assert_eq!(shared.keys.len(), 2);
    }
}
