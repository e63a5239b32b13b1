//! `spec.issuers`: whose tokens are accepted, with the defaults of presets.

mod presets;

use std::time::Duration;

use policy::keys::{KeyFault, KeySet};
use policy::wire::{Algorithm, IdentityMapping, Issuer, KeysMessage};

use super::Context;
use super::sink::Sink;
use super::units::{check_claim, millis};
use crate::diagnostic::{Code, quoted};

/// Beyond it a leeway no longer corrects clocks, it prolongs tokens.
const MAX_LEEWAY: Duration = Duration::from_mins(5);
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
/// Longer than any token should live; the bound keeps sums of times in range.
const MAX_AGE: Duration = Duration::from_hours(24 * 366 * 10);

const DEFAULT_ALGORITHMS: [Algorithm; 5] =
    [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];
const DEFAULT_TOKEN_TYPES: [&str; 3] = ["at+jwt", "JWT", "absent"];

pub(super) fn lower(context: &Context, sink: &mut Sink) -> (Vec<Issuer>, Vec<KeysMessage>) {
    let mut issuers: Vec<Issuer> = Vec::new();
    let mut keys = Vec::new();
    for (index, issuer) in context.policy.spec.issuers.iter().enumerate() {
        let pointer = format!("/spec/issuers/{index}");
        check_identifier(context, issuer, &issuers, &pointer, sink);
        let message = key_set(context, issuer, &pointer, sink);
        let id = message.as_ref().map(|message| message.id.clone()).unwrap_or_default();
        keys.extend(message);
        issuers.push(lower_one(issuer, id, &pointer, sink));
    }
    (issuers, keys)
}

fn check_identifier(context: &Context, issuer: &crds::Issuer, earlier: &[Issuer], pointer: &str, sink: &mut Sink) {
    let pointer = format!("{pointer}/issuer");
    let insecure = issuer.issuer.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"));
    if insecure && !(context.settings.loopback_issuers && is_loopback(&issuer.issuer)) {
        sink.error(
            &pointer,
            Code::InsecureIssuer,
            format!("{} is not https", quoted(&issuer.issuer)),
            "write the `https:` identifier that the provider puts into `iss`",
        );
    }
    if let Some(other) = earlier.iter().find(|other| other.issuer == issuer.issuer) {
        let message = format!("issuer `{}` has the same identifier as `{}`", issuer.name, other.name);
        sink.error(&pointer, Code::DuplicateIssuer, message, "join the two: one issuer may have several audiences");
    }
}

/// Whether an `http:` identifier names this machine.
fn is_loopback(identifier: &str) -> bool {
    let rest = identifier.strip_prefix("http://").unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    let Ok(host) = policy::request::Host::parse(authority) else { return false };
    let name = host.name();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn lower_one(issuer: &crds::Issuer, keys: String, pointer: &str, sink: &mut Sink) -> Issuer {
    for (index, claim) in issuer.required_claims.iter().enumerate() {
        check_claim(claim, &format!("{pointer}/requiredClaims/{index}"), sink);
    }
    for (index, kind) in issuer.token_types.iter().enumerate() {
        check_type(kind, &format!("{pointer}/tokenTypes/{index}"), sink);
    }
    let types: Vec<&str> = match issuer.token_types.is_empty() {
        true => DEFAULT_TOKEN_TYPES.to_vec(),
        false => issuer.token_types.iter().map(String::as_str).collect(),
    };
    let leeway = millis(issuer.leeway.as_deref(), MAX_LEEWAY, &format!("{pointer}/leeway"), sink);
    Issuer {
        name: issuer.name.clone(),
        issuer: issuer.issuer.clone(),
        keys,
        audiences: issuer.audiences.clone(),
        any_audience: issuer.any_audience == Some(true),
        algorithms: algorithms(&issuer.algorithms),
        token_types: types.iter().filter(|kind| !is_word(kind)).map(|kind| media_type(kind)).collect(),
        untyped: types.contains(&"absent"),
        id_tokens: types.contains(&"IdToken"),
        leeway_ms: leeway.unwrap_or(DEFAULT_LEEWAY.as_secs() * 1000),
        max_token_age_ms: millis(issuer.max_token_age.as_deref(), MAX_AGE, &format!("{pointer}/maxTokenAge"), sink),
        required_claims: issuer.required_claims.clone(),
        clients: issuer.clients.clone(),
        email_trusted: issuer.email_trusted == Some(true),
        access_token_use: issuer.preset == Some(crds::Preset::Cognito),
        identity: identity(issuer, pointer, sink),
    }
}

/// Spelled otherwise, the two words would be media types that no token can have.
fn check_type(kind: &str, pointer: &str, sink: &mut Sink) {
    let meant = ["absent", "IdToken"].into_iter().find(|word| media_type(kind) == word.to_ascii_lowercase());
    if let Some(word) = meant.filter(|word| *word != kind) {
        let message = format!("{} is no type of a token", quoted(kind));
        sink.error(pointer, Code::BadFormat, message, &format!("write `{word}`"));
    }
}

/// The two words of `tokenTypes` that are no media types.
fn is_word(kind: &str) -> bool {
    kind == "absent" || kind == "IdToken"
}

/// As tokens are compared: in lower case, without `application/` (RFC 7515, section 4.1.9).
fn media_type(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    kind.strip_prefix("application/").map(str::to_owned).unwrap_or(kind)
}

fn algorithms(listed: &[crds::Algorithm]) -> Vec<Algorithm> {
    if listed.is_empty() {
        return DEFAULT_ALGORITHMS.to_vec();
    }
    let one = |algorithm: &crds::Algorithm| match algorithm {
        crds::Algorithm::Rs256 => Algorithm::RS256,
        crds::Algorithm::Rs384 => Algorithm::RS384,
        crds::Algorithm::Rs512 => Algorithm::RS512,
        crds::Algorithm::Ps256 => Algorithm::PS256,
        crds::Algorithm::Ps384 => Algorithm::PS384,
        crds::Algorithm::Ps512 => Algorithm::PS512,
        crds::Algorithm::Es256 => Algorithm::ES256,
        crds::Algorithm::Es384 => Algorithm::ES384,
        crds::Algorithm::EdDsa => Algorithm::EdDSA,
    };
    listed.iter().map(one).collect()
}

/// The preset's mapping, attribute by attribute replaced by what the policy says.
fn identity(issuer: &crds::Issuer, pointer: &str, sink: &mut Sink) -> IdentityMapping {
    let mut mapping = presets::mapping(issuer.preset);
    let Some(wanted) = &issuer.identity else { return mapping };
    let mut claim = |name: &str, path: &Option<String>| {
        let path = path.as_ref()?;
        check_claim(path, &format!("{pointer}/identity/{name}"), sink);
        Some(path.clone())
    };
    let replace = |slot: &mut String, path: Option<String>| *slot = path.unwrap_or_else(|| std::mem::take(slot));
    replace(&mut mapping.subject, claim("subject", &wanted.subject));
    replace(&mut mapping.email, claim("email", &wanted.email));
    replace(&mut mapping.name, claim("name", &wanted.name));
    mapping.scopes = claim("scopes", &wanted.scopes).or(mapping.scopes);
    mapping.roles = claim("roles", &wanted.roles).or(mapping.roles);
    mapping.groups = claim("groups", &wanted.groups).or(mapping.groups);
    mapping.tenant = claim("tenant", &wanted.tenant).or(mapping.tenant);
    mapping.tenant_value = wanted.tenant_value.clone();
    mapping.client = claim("client", &wanted.client).map_or(mapping.client, |path| vec![path]);
    mapping
}

fn key_set(context: &Context, issuer: &crds::Issuer, pointer: &str, sink: &mut Sink) -> Option<KeysMessage> {
    let pointer = format!("{pointer}/keys");
    let (jwks, source, place) = match (&issuer.keys.inline, &issuer.keys.config_map_name, &issuer.keys.key) {
        (Some(inline), _, _) => (inline.as_str(), "inline".to_owned(), format!("{pointer}/inline")),
        (None, Some(name), Some(key)) => (
            context.text(name, key, &pointer, sink)?,
            format!("configmap:{}/{name}/{key}", context.namespace),
            format!("{pointer}/key"),
        ),
        _ => return None,
    };
    check_keys(jwks, &place, sink);
    let id = format!(
        "{} {source} of {}/{}",
        issuer.issuer,
        context.namespace,
        context.policy.metadata.name.as_deref().unwrap_or_default()
    );
    // What is no JSON is already reported as no JSON Web Key Set.
    KeysMessage::new(id, issuer.issuer.clone(), jwks).ok()
}

fn check_keys(jwks: &str, pointer: &str, sink: &mut Sink) {
    let set = match KeySet::parse(jwks.as_bytes()) {
        Ok(set) => set,
        Err(fault) => {
            return sink.error(
                pointer,
                Code::BadKeys,
                fault.to_string(),
                "write the provider's JSON Web Key Set as it is: `{\"keys\":[…]}`",
            );
        }
    };
    for ignored in set.ignored() {
        let name =
            ignored.id.as_deref().map_or_else(|| format!("key {}", ignored.index), |id| format!("key {}", quoted(id)));
        let message = format!("{name} is not used: {}", ignored.why);
        match ignored.why {
            KeyFault::Private | KeyFault::Symmetric => sink.error(
                pointer,
                Code::BadKeys,
                message,
                "write public keys only, and replace this key: it is known now",
            ),
            _ => sink.warning(pointer, Code::IgnoredKey, message, ""),
        }
    }
    if set.is_empty() {
        sink.error(
            pointer,
            Code::BadKeys,
            "no key of the set can verify a token",
            "write public keys of type RSA (2048 bits or more), EC (P-256, P-384) or OKP (Ed25519)",
        );
    }
}
