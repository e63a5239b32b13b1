//! `spec.issuers[].keys`: keys that are at hand, or where they are fetched from.

use policy::egress::{self, HttpUrl, UrlFault};
use policy::keys::{KeyFault, KeySet, KeySource, at_hand_id};
use policy::wire::KeysMessage;

use super::super::{Context, certificates};
use super::Sink;
use crate::diagnostic::{Code, quoted};

/// The keys of an issuer.
pub(super) enum Keys {
    /// In the policy, or in a ConfigMap.
    AtHand(KeysMessage),
    /// With the provider.
    Fetched(KeySource),
}

/// None where they cannot be told, which is reported.
pub(super) fn lower(context: &Context, issuer: &crds::Issuer, pointer: &str, sink: &mut Sink) -> Option<Keys> {
    let none = crds::IssuerKeys::default();
    let keys = issuer.keys.as_ref().unwrap_or(&none);
    let place = format!("{pointer}/keys");
    match (&keys.inline, &keys.config_map_name, &keys.key) {
        (Some(inline), _, _) => {
            at_hand(context, issuer, (inline, "inline"), &format!("{place}/inline"), sink).map(Keys::AtHand)
        }
        (None, Some(name), Some(key)) => {
            let jwks = context.text(name, key, &place, sink)?;
            let from = format!("configmap:{}/{name}/{key}", context.namespace);
            at_hand(context, issuer, (jwks, &from), &format!("{place}/key"), sink).map(Keys::AtHand)
        }
        _ => fetched(context, issuer, keys, pointer, sink).map(Keys::Fetched),
    }
}

fn at_hand(
    context: &Context,
    issuer: &crds::Issuer,
    (jwks, from): (&str, &str),
    place: &str,
    sink: &mut Sink,
) -> Option<KeysMessage> {
    check_keys(jwks, place, sink);
    let policy = context.policy.metadata.name.as_deref().unwrap_or_default();
    let id = at_hand_id(&issuer.issuer, from, &format!("{}/{policy}", context.namespace));
    // What is no JSON is already reported as no JSON Web Key Set.
    KeysMessage::new(id, issuer.issuer.clone(), jwks).ok()
}

fn fetched(
    context: &Context,
    issuer: &crds::Issuer,
    keys: &crds::IssuerKeys,
    pointer: &str,
    sink: &mut Sink,
) -> Option<KeySource> {
    let usable = match &keys.jwks_url {
        Some(url) => check_url(context, url, &format!("{pointer}/keys/jwksURL"), sink),
        None => check_discovery(context, &issuer.issuer, &format!("{pointer}/issuer"), sink),
    };
    let ca_bundle = match &keys.ca_bundle {
        None => None,
        Some(source) => {
            let place = format!("{pointer}/keys/caBundle");
            let pem = context.text(&source.config_map_name, &source.key, &place, sink)?;
            let what = format!("{} of ConfigMap {}", quoted(&source.key), quoted(&source.config_map_name));
            certificates::read(pem, &what, &format!("{place}/key"), context.now(), sink);
            Some(pem.to_owned())
        }
    };
    usable.then(|| KeySource::new(issuer.issuer.clone(), keys.jwks_url.clone(), ca_bundle))
}

/// An identifier from which the place of the discovery document follows (OpenID Connect Discovery, section 4).
fn check_discovery(context: &Context, issuer: &str, pointer: &str, sink: &mut Sink) -> bool {
    let with_query = HttpUrl::parse(issuer).is_ok_and(|url| url.target().contains('?'));
    match HttpUrl::parse_secure(issuer, context.settings.loopback_issuers) {
        Ok(url) if !with_query => check_address(context, &url, pointer, sink),
        // Reported where identifiers are looked at.
        Err(UrlFault::NotHttps) => false,
        fault => {
            let why = fault.err().map_or_else(|| "it holds a query".to_owned(), |fault| fault.to_string());
            let message = format!("the keys of {} cannot be discovered: {why}", quoted(issuer));
            let hint = "write where they are: `keys: {jwksURL: …}`, `inline`, or `configMapName` and `key`";
            sink.error(pointer, Code::BadUrl, message, hint);
            false
        }
    }
}

fn check_url(context: &Context, text: &str, pointer: &str, sink: &mut Sink) -> bool {
    match HttpUrl::parse_secure(text, context.settings.loopback_issuers) {
        Ok(url) => check_address(context, &url, pointer, sink),
        Err(fault) => {
            let hint = "write the URL that the provider names as `jwks_uri`: `https://login.example.com/jwks`";
            sink.error(pointer, Code::BadUrl, format!("{} is no place of keys: {fault}", quoted(text)), hint);
            false
        }
    }
}

/// Names are resolved, and looked at, when they are fetched.
fn check_address(context: &Context, url: &HttpUrl, pointer: &str, sink: &mut Sink) -> bool {
    let is_ours = context.settings.loopback_issuers && url.is_loopback();
    let Some(address) = url.address().filter(|_| !is_ours) else { return true };
    let Err(forbidden) = egress::check(address, &context.settings.allowed_networks) else { return true };
    let message = format!("`{}` is {}", forbidden.address, forbidden.kind);
    sink.error(pointer, Code::ForbiddenAddress, message, &forbidden.cure());
    false
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
