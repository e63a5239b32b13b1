//! What the application receives: the client's fields without those that are ours, then ours (RFC 9110, section 7.6.1).

pub mod names;
mod value;

use crate::permit::Permit;
use http::HeaderMap;
use http::header::{self, Entry, HeaderName, HeaderValue};
use std::net::IpAddr;

/// What the connection adds to a request.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The address of the client, where it is known.
    pub client: Option<IpAddr>,
    /// `https` or `http`, as the client sees it.
    pub scheme: &'static str,
    /// The identifier of this request.
    pub request_id: &'a str,
}

/// The names of the client's fields that do not reach the application: in lower case, once each, in order.
#[must_use]
pub fn removed(permit: &Permit, headers: &HeaderMap) -> Vec<HeaderName> {
    let named = named_by_connection(headers);
    let goes = |name: &HeaderName| {
        names::is_hop_by_hop(name)
            || (named.contains(name) && !names::outlives_connection(name))
            || (*name == header::AUTHORIZATION && !permit.keeps_authorization())
            || is_ours(permit, name)
    };
    headers.keys().filter(|name| goes(name)).cloned().collect()
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
    for name in removed(permit, headers) {
        headers.remove(name);
    }
    join_cookies(headers);
    let text = |text: &str| HeaderValue::from_str(text).ok();
    let client = exchange.client.and_then(|client| text(&client.to_string()));
    let ours = [
        (header::HOST, text(permit.host())),
        (names::X_FORWARDED_FOR, client),
        (names::X_FORWARDED_PROTO, Some(HeaderValue::from_static(exchange.scheme))),
        (names::X_FORWARDED_HOST, text(permit.host())),
        (names::X_REQUEST_ID, text(exchange.request_id)),
    ];
    for (name, value) in ours {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    for (name, value) in identity_headers(permit) {
        headers.insert(name, value);
    }
}

/// Fields that the client says are for the next hop only (RFC 9110, section 7.6.1).
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let options =
        headers.get_all(header::CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    options.filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok()).collect()
}

fn is_ours(permit: &Permit, name: &HeaderName) -> bool {
    let configured = |mapped: &str| permit.forward().headers.iter().any(|header| *header.mapped == *mapped);
    names::with_mapped(name.as_str(), |mapped| {
        names::is_ours(mapped) || names::is_always_removed(mapped) || configured(mapped)
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
