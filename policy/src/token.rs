//! From the bytes of a token to what it proves (RFC 7515, 7519, 8725, 9068).
//!
//! The order of checks is the order in which faults are named: form, header, issuer, kind of token, key, signature, claims,
//! required claims, and, at every use, times and the binding to a certificate.

mod attributes;
mod claims;
mod envelope;
mod weight;

pub use envelope::{MAX_TOKEN_BYTES, algorithm};

use crate::keys::{KeySet, NoKey};
use crate::peer::Peer;
use crate::principal::Identity;
use crate::reason::TokenFault;
use crate::ruleset::Issuer;
use crate::time::Timestamp;
use crate::wire::UnknownKey;
use claims::{Confirmation, Times};
use envelope::Envelope;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What a verified token proves. Times and binding are looked at on every use: see [`VerifiedToken::check`].
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    identity: Identity,
    times: Times,
    confirmation: Confirmation,
    issuer: usize,
}

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// The token is at fault.
    Fault(TokenFault),
    /// Every check before the key passed, and the keys of the issuer were never loaded.
    KeysUnavailable,
}

impl From<TokenFault> for Unproven {
    fn from(fault: TokenFault) -> Self {
        Self::Fault(fault)
    }
}

/// Verifies all of a token that does not change between two uses of it. `keys` holds one entry for each of `issuers`.
///
/// # Errors
/// The first fault in the documented order, up to the required claims.
pub fn verify(token: &str, issuers: &[Issuer], keys: &[Option<Arc<KeySet>>]) -> Result<VerifiedToken, Unproven> {
    let envelope = Envelope::open(token)?;
    let name = claims::required_text(&envelope.claims, "iss")?;
    let position = issuers.iter().position(|issuer| *issuer.issuer == *name).ok_or(TokenFault::UnknownIssuer)?;
    let issuer = issuers.get(position).ok_or(TokenFault::UnknownIssuer)?;
    if !issuer.algorithms.contains(&envelope.algorithm) {
        return Err(TokenFault::WrongAlgorithm.into());
    }
    claims::check_kind(&envelope, issuer)?;
    let set = keys.get(position).and_then(Option::as_ref).ok_or(Unproven::KeysUnavailable)?;
    let key = set.find(envelope.key_id.as_deref(), envelope.algorithm).map_err(|fault| match fault {
        NoKey::Unknown => TokenFault::UnknownKey,
        NoKey::WrongAlgorithm => TokenFault::WrongAlgorithm,
    })?;
    if !envelope.is_signed_by(key) {
        return Err(TokenFault::BadSignature.into());
    }
    claims::check_audience(&envelope.claims, issuer)?;
    let times = Times::read(&envelope.claims, issuer)?;
    let token = VerifiedToken::from_checked(envelope.claims, times, issuer, position)?;
    claims::check_required(&token.identity.claims, issuer)?;
    Ok(token.keeping(&issuer.kept_claims))
}

/// The set of keys and the `kid` that a token names: what is missing where [`verify`] found the key unknown. None where it
/// names no issuer of these, or no key.
#[must_use]
pub fn named_key(token: &str, issuers: &[Issuer]) -> Option<UnknownKey> {
    let envelope = Envelope::open(token).ok()?;
    let name = claims::required_text(&envelope.claims, "iss").ok()?;
    let issuer = issuers.iter().find(|issuer| *issuer.issuer == *name)?;
    Some(UnknownKey { issuer: issuer.keys.to_string(), kid: envelope.key_id?.into() })
}

impl VerifiedToken {
    /// A token whose signature, audience and times are taken as checked, as `explain` and `test` describe one.
    ///
    /// # Errors
    /// Where `scope` and `scp` disagree, or `cnf` is of the wrong form.
    pub fn assume(claims: Map<String, Value>, issuers: &[Issuer], position: usize) -> Result<Self, TokenFault> {
        let issuer = issuers.get(position).ok_or(TokenFault::UnknownIssuer)?;
        let times = Times::unlimited(&claims);
        Self::from_checked(claims, times, issuer, position)
    }

    fn from_checked(
        claims: Map<String, Value>,
        times: Times,
        issuer: &Issuer,
        position: usize,
    ) -> Result<Self, TokenFault> {
        let confirmation = Confirmation::read(&claims)?;
        let identity = attributes::read(claims, issuer)?;
        Ok(Self { identity, times, confirmation, issuer: position })
    }

    /// Without the claims that nothing in the policy looks at: they are most of what a cached token would hold.
    fn keeping(mut self, kept: &[Box<str>]) -> Self {
        let claims = std::mem::take(&mut self.identity.claims);
        let is_kept = |name: &String| kept.iter().any(|kept| **kept == **name);
        self.identity.claims = claims.into_iter().filter(|(name, _)| is_kept(name)).collect();
        self
    }

    /// Whether the token is good now and on this connection, and was young enough when the request began.
    ///
    /// # Errors
    /// The times first, then the binding (RFC 8705, section 3).
    pub fn check(&self, issuer: &Issuer, peer: &Peer, now: Timestamp, begun: Timestamp) -> Result<(), TokenFault> {
        self.times.check(issuer, now, begun)?;
        self.confirmation.check(peer)
    }

    /// The attributes.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The bytes of memory that it keeps, estimated from above.
    #[must_use]
    pub fn weight(&self) -> usize {
        weight::of(&self.identity)
    }

    /// The position of its issuer in the policy.
    #[must_use]
    pub fn issuer(&self) -> usize {
        self.issuer
    }

    /// When the person behind it logged in (`auth_time`, OpenID Connect Core, section 2).
    #[must_use]
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.times.authenticated_at()
    }

    /// Whether it is bound to the client certificate.
    #[must_use]
    pub fn is_certificate_bound(&self) -> bool {
        matches!(self.confirmation, Confirmation::Certificate(_))
    }
}

#[cfg(test)]
mod tests;
