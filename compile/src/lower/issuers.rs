//! `spec.issuers`: whose tokens are accepted, with the defaults of presets.

mod keys;
mod presets;

use std::time::Duration;

use policy::egress::HttpUrl;
use policy::keys::KeySource;
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

/// The issuers, the keys that are at hand, and where the others are fetched from.
pub(super) fn lower(context: &Context, sink: &mut Sink) -> (Vec<Issuer>, Vec<KeysMessage>, Vec<KeySource>) {
    let mut issuers: Vec<Issuer> = Vec::new();
    let (mut messages, mut sources) = (Vec::new(), Vec::new());
    for (index, issuer) in context.policy.spec.issuers.iter().enumerate() {
        let pointer = format!("/spec/issuers/{index}");
        check_identifier(context, issuer, &issuers, &pointer, sink);
        let id = match keys::lower(context, issuer, &pointer, sink) {
            Some(keys::Keys::AtHand(message)) => {
                messages.push(message);
                messages.last().map(|message| message.id.clone())
            }
            Some(keys::Keys::Fetched(source)) => {
                sources.push(source);
                sources.last().map(|source| source.id().to_owned())
            }
            None => None,
        };
        issuers.push(lower_one(issuer, id.unwrap_or_default(), &pointer, sink));
    }
    (issuers, messages, sources)
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

/// Whether an identifier names this machine.
fn is_loopback(identifier: &str) -> bool {
    HttpUrl::parse(identifier).is_ok_and(|url| url.is_loopback())
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
