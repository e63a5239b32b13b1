//! What the registered claims must say (RFC 7519, section 4.1; RFC 7800; RFC 8705, section 3).

use super::envelope::Envelope;
use crate::peer::Peer;
use crate::reason::TokenFault::{self, ClaimMissing, Malformed, WrongAudience, WrongType};
use crate::ruleset::Issuer;
use crate::time::Timestamp;
use serde_json::{Map, Value};

type Claims = Map<String, Value>;

/// A claim that must be there and be a string.
pub(super) fn required_text<'a>(claims: &'a Claims, name: &str) -> Result<&'a str, TokenFault> {
    claims.get(name).ok_or(ClaimMissing)?.as_str().ok_or(Malformed)
}

/// Whether this is an access token for an API (RFC 8725, section 3.11; RFC 9068, section 2.1).
pub(super) fn check_kind(envelope: &Envelope, issuer: &Issuer) -> Result<(), TokenFault> {
    let claims = &envelope.claims;
    let kind = envelope.kind.as_deref();
    let says = |name: &str, kinds: &[&str]| {
        claims
            .get(name)
            .and_then(Value::as_str)
            .is_some_and(|value| kinds.iter().any(|kind| value.eq_ignore_ascii_case(kind)))
    };
    let other = claims.contains_key("events")
        || says("typ", &["refresh", "refresh_token", "offline", "logout", "logout_token", "logout+jwt"])
        || says("token_use", &["refresh", "refresh_token", "logout", "logout_token"]);
    let id_token = claims.contains_key("at_hash")
        || claims.contains_key("c_hash")
        || says("typ", &["id", "id_token"])
        || says("token_use", &["id", "id_token"]);
    let accepted = if other {
        false
    } else if id_token {
        issuer.id_tokens && kind.is_none_or(|kind| kind == "jwt")
    } else {
        let listed = match kind {
            None => issuer.untyped,
            // The two words of `tokenTypes` that are no types.
            Some("absent" | "idtoken") => false,
            Some(kind) => issuer.token_types.iter().any(|listed| **listed == *kind),
        };
        listed && (!issuer.access_token_use || says_exactly(claims, "token_use", "access"))
    };
    if accepted { Ok(()) } else { Err(WrongType) }
}

fn says_exactly(claims: &Claims, name: &str, wanted: &str) -> bool {
    claims.get(name).and_then(Value::as_str) == Some(wanted)
}

/// Whether the token is for us.
pub(super) fn check_audience(claims: &Claims, issuer: &Issuer) -> Result<(), TokenFault> {
    let wanted = |audience: &str| issuer.any_audience || issuer.audiences.iter().any(|ours| **ours == *audience);
    let ours = match claims.get("aud") {
        Some(Value::String(audience)) => wanted(audience),
        Some(Value::Array(audiences)) => {
            let audiences =
                audiences.iter().map(|audience| audience.as_str().ok_or(Malformed)).collect::<Result<Vec<_>, _>>()?;
            issuer.any_audience || audiences.into_iter().any(wanted)
        }
        Some(_) => return Err(Malformed),
        None if issuer.any_audience => true,
        None if issuer.access_token_use => {
            let client = issuer.identity.client.iter().find_map(|path| path.find(claims)).ok_or(ClaimMissing)?;
            wanted(client.as_str().ok_or(Malformed)?)
        }
        None => return Err(ClaimMissing),
    };
    if ours { Ok(()) } else { Err(WrongAudience) }
}

/// The claims that the issuer's tokens must have, whatever they hold.
pub(super) fn check_required(claims: &Claims, issuer: &Issuer) -> Result<(), TokenFault> {
    if issuer.required_claims.iter().all(|path| path.find(claims).is_some()) { Ok(()) } else { Err(ClaimMissing) }
}

/// The times in a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    expires: Option<Timestamp>,
    not_before: Option<Timestamp>,
    issued: Option<Timestamp>,
    authenticated: Option<Timestamp>,
}

impl Times {
    /// Reads the times, and the subject, whose presence is as much a matter of form.
    pub(super) fn read(claims: &Claims, issuer: &Issuer) -> Result<Self, TokenFault> {
        let times = Self {
            expires: Some(date(claims, "exp")?.ok_or(ClaimMissing)?),
            not_before: date(claims, "nbf")?,
            issued: date(claims, "iat")?,
            authenticated: authenticated(claims),
        };
        if issuer.identity.subject_is_sub {
            required_text(claims, "sub")?;
        }
        if issuer.max_token_age.is_some() && times.issued.is_none() {
            return Err(ClaimMissing);
        }
        Ok(times)
    }

    /// Times that were checked elsewhere.
    pub(super) fn unlimited(claims: &Claims) -> Self {
        Self { expires: None, not_before: None, issued: None, authenticated: authenticated(claims) }
    }

    pub(super) fn check(&self, issuer: &Issuer, now: Timestamp, begun: Timestamp) -> Result<(), TokenFault> {
        let leeway = issuer.leeway;
        if self.expires.is_some_and(|expires| now >= expires.plus(leeway)) {
            return Err(TokenFault::TokenExpired);
        }
        let future = |time: Option<Timestamp>| time.is_some_and(|time| time > now.plus(leeway));
        if future(self.not_before) || future(self.issued) {
            return Err(TokenFault::TokenNotYetValid);
        }
        match (issuer.max_token_age, self.issued) {
            (Some(age), Some(issued)) if begun.since(issued) > age.saturating_add(leeway) => {
                Err(TokenFault::TokenTooOld)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn authenticated_at(&self) -> Option<Timestamp> {
        self.authenticated
    }
}

fn date(claims: &Claims, name: &str) -> Result<Option<Timestamp>, TokenFault> {
    claims.get(name).map(|value| value.as_f64().and_then(Timestamp::from_numeric_date).ok_or(Malformed)).transpose()
}

/// A login time of the wrong form counts as none: only rules that ask for it may refuse.
fn authenticated(claims: &Claims) -> Option<Timestamp> {
    date(claims, "auth_time").ok().flatten()
}

/// What the token asks the sender to prove (`cnf`, RFC 7800).
#[derive(Clone, Debug)]
pub(super) enum Confirmation {
    /// Nothing: whoever holds it may use it.
    None,
    /// That the connection's certificate has this thumbprint in base64url (RFC 8705, section 3.1).
    Certificate(Box<str>),
    /// Something that cannot be checked here.
    Unsupported,
}

impl Confirmation {
    pub(super) fn read(claims: &Claims) -> Result<Self, TokenFault> {
        let Some(confirmation) = claims.get("cnf") else { return Ok(Self::None) };
        let members = confirmation.as_object().ok_or(Malformed)?;
        match (members.get("x5t#S256"), members.len()) {
            (Some(Value::String(thumbprint)), 1) => Ok(Self::Certificate(thumbprint.as_str().into())),
            (Some(Value::String(_)) | None, _) => Ok(Self::Unsupported),
            (Some(_), _) => Err(Malformed),
        }
    }

    pub(super) fn check(&self, peer: &Peer) -> Result<(), TokenFault> {
        match self {
            Self::None => Ok(()),
            Self::Unsupported => Err(TokenFault::UnsupportedConfirmation),
            Self::Certificate(thumbprint) => {
                let ours = peer.certificate.as_ref().and_then(|certificate| certificate.thumbprint.as_deref());
                if ours == Some(&**thumbprint) { Ok(()) } else { Err(TokenFault::CertificateBinding) }
            }
        }
    }
}
