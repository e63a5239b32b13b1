//! A refusal, with what is needed to answer and to explain it.

use crate::reason::Reason;
use crate::ruleset::{Access, Require, Rule, Ruleset};

/// A refusal.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    pub(crate) reason: Reason,
    pub(crate) rule: Option<&'a Rule>,
    pub(crate) ruleset: &'a Ruleset,
}

impl<'a> Refused<'a> {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The rule that decides, where one does.
    #[must_use]
    pub fn rule(&self) -> Option<&'a Rule> {
        self.rule
    }

    /// The value of `WWW-Authenticate` (RFC 6750, section 3; RFC 9470, section 3; RFC 9728, section 5.1), where the answer
    /// has one.
    #[must_use]
    pub fn challenge(&self) -> Option<String> {
        let realm = &self.ruleset.policy.name;
        let metadata = self.ruleset.resource.as_ref();
        let metadata = metadata.map(|resource| format!(r#", resource_metadata="{}""#, resource.location));
        let parameters = match self.reason {
            Reason::TokenMissing => String::new(),
            Reason::TokenInvalid(_) => r#", error="invalid_token""#.to_owned(),
            Reason::LoginTooOld => {
                let age = self.require()?.max_auth_age?.as_secs();
                format!(r#", error="insufficient_user_authentication", max_age="{age}""#)
            }
            Reason::InsufficientScope => {
                format!(r#", error="insufficient_scope", scope="{}""#, scopes(self.require()?).join(" "))
            }
            _ => return None,
        };
        Some(format!(r#"Bearer realm="{realm}"{parameters}{}"#, metadata.unwrap_or_default()))
    }

    fn require(&self) -> Option<&'a Require> {
        match &self.rule?.access {
            Access::Require(require) => Some(require),
            _ => None,
        }
    }
}

/// What a client should ask for: all of `scopes`, and the first of `anyScope`.
fn scopes(require: &Require) -> Vec<&str> {
    require.scopes.iter().chain(require.any_scope.first()).map(AsRef::as_ref).collect()
}
