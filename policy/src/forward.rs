//! What the application receives: the client's fields without those that are ours, then ours (RFC 9110, section 7.6.1).

mod certificate;
pub mod names;
mod trailers;
mod trusted;
mod value;

pub use trailers::Trailers;

use crate::permit::Permit;
use crate::ruleset::Forward;
use crate::wire::AppProtocol;
use http::HeaderMap;
use http::header::{self, Entry, HeaderName, HeaderValue};
use std::collections::HashSet;
use trusted::Told;

/// What the connection adds to a request.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// `https` or `http`, as the connection is.
    pub scheme: &'static str,
    /// The identifier of this request.
    pub request_id: &'a str,
}

/// The names of the client's fields that do not reach the application: in lower case, once each, in order.
#[must_use]
pub fn removed(permit: &Permit, headers: &HeaderMap) -> Vec<HeaderName> {
    let named = named_by_connection(headers);
    let told = Told::by_proxy(permit, headers);
    let keeps_te = permit.protocol() == AppProtocol::H2c && takes_trailers(headers);
    let goes = |name: &HeaderName| {
        (names::is_hop_by_hop(name) && !(keeps_te && *name == header::TE))
            || (named.contains(name) && !names::outlives_connection(name))
            || (*name == header::AUTHORIZATION && !permit.keeps_authorization())
            || (if permit.is_as_it_came() {
                is_identity(permit.forward(), name)
            } else {
                is_ours(permit.forward(), name)
            })
    };
    headers.keys().filter(|name| goes(name) && !told.keeps(name)).cloned().collect()
}

/// The identity headers that the policy configures, with their values for this caller.
#[must_use]
pub fn identity_headers(permit: &Permit) -> Vec<(HeaderName, HeaderValue)> {
    let Some(token) = permit.token() else { return Vec::new() };
    let set = |header: &crate::ruleset::IdentityHeader| {
        let text = value::of(header, token.identity())?;
        Some((header.name.clone(), HeaderValue::from_str(&text).ok()?))
    };
    permit.forward().headers.iter().filter_map(set).collect()
}

/// Turns the client's fields into those for the application.
pub fn rewrite(permit: &Permit, headers: &mut HeaderMap, exchange: &Exchange) {
    let told = Told::by_proxy(permit, headers);
    for name in removed(permit, headers) {
        headers.remove(name);
    }
    join_cookies(headers);
    if let Some(length) = headers.get(header::CONTENT_LENGTH).cloned() {
        // Equal ones may come repeated; the application sees one.
        headers.insert(header::CONTENT_LENGTH, length);
    }
    if permit.is_as_it_came() {
        complete(permit, headers, exchange);
    } else {
        set_ours(permit, headers, exchange, told);
    }
    for (name, value) in identity_headers(permit).into_iter().chain(certificate::header(permit)) {
        headers.insert(name, value);
    }
}

fn set_ours(permit: &Permit, headers: &mut HeaderMap, exchange: &Exchange, told: Told) {
    let text = |text: &str| HeaderValue::from_str(text).ok();
    let host = permit.host().and_then(text);
    let ours = [
        (header::HOST, host.clone()),
        (names::X_FORWARDED_FOR, permit.client().address.and_then(|client| text(&client.to_string()))),
        (names::X_FORWARDED_PROTO, told.proto.or(Some(HeaderValue::from_static(exchange.scheme)))),
        (names::X_FORWARDED_HOST, told.host.or(host)),
        (names::X_FORWARDED_PORT, told.port),
        (names::X_REQUEST_ID, told.request_id.or_else(|| text(exchange.request_id))),
    ];
    for (name, value) in ours {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
}

/// Under a policy in Audit the request goes on as it came: only what would be missing is added.
fn complete(permit: &Permit, headers: &mut HeaderMap, exchange: &Exchange) {
    let text = |text: &str| HeaderValue::from_str(text).ok();
    let wanted = [(header::HOST, permit.authority().and_then(text)), (names::X_REQUEST_ID, text(exchange.request_id))];
    for (name, value) in wanted {
        if let (Some(value), false) = (value, headers.contains_key(&name)) {
            headers.insert(name, value);
        }
    }
}

/// Fields that the client says are for the next hop only (RFC 9110, section 7.6.1).
fn named_by_connection(headers: &HeaderMap) -> HashSet<HeaderName> {
    let options =
        headers.get_all(header::CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    options.filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok()).collect()
}

/// The one `TE` that HTTP/2 knows (RFC 9113, section 8.2.2); gRPC servers look for it.
fn takes_trailers(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::TE).iter();
    fields.next().is_some_and(|value| value == "trailers") && fields.next().is_none()
}

fn is_ours(forward: &Forward, name: &HeaderName) -> bool {
    let by_name = |mapped: &str| names::is_ours(mapped) || names::is_always_removed(mapped);
    names::with_mapped(name.as_str(), by_name) || names::is_look_alike(name.as_str()) || is_identity(forward, name)
}

/// Whether an application could take the field for one that tells who calls.
fn is_identity(forward: &Forward, name: &HeaderName) -> bool {
    names::with_mapped(name.as_str(), |mapped| {
        let configured = forward.headers.iter().any(|header| *header.mapped == *mapped);
        configured || (forward.client_certificate && mapped == names::X_FORWARDED_CLIENT_CERT)
    })
}

/// HTTP/2 may split a cookie into several fields; HTTP/1.1 knows one (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let Entry::Occupied(mut cookies) = headers.entry(header::COOKIE) else { return };
    if cookies.iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = cookies.iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        cookies.insert(joined);
    }
}

#[cfg(test)]
mod tests;
