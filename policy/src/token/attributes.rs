//! From claims to attributes, by the issuer's mapping.

use crate::claim::ClaimPath;
use crate::principal::Identity;
use crate::reason::TokenFault;
use crate::ruleset::Issuer;
use serde_json::{Map, Value};

type Claims = Map<String, Value>;

/// Reads every attribute of a token whose claims are believed.
pub(super) fn read(claims: Claims, issuer: &Issuer) -> Result<Identity, TokenFault> {
    let mapping = &issuer.identity;
    let mapped_client = mapping.client.iter().find_map(|path| text(path.find(&claims)));
    let named_clients = ["azp", "client_id"].iter().filter_map(|name| text(claims.get(*name)));
    let email_counts = issuer.email_trusted || claims.get("email_verified") == Some(&Value::Bool(true));
    Ok(Identity {
        issuer: issuer.name.clone(),
        subject: text(mapping.subject.find(&claims)),
        tenant: mapping
            .tenant_value
            .as_deref()
            .map(str::to_owned)
            .or_else(|| text(find(mapping.tenant.as_ref(), &claims))),
        scopes: scopes(mapping.scopes.as_ref(), &claims)?,
        roles: list(find(mapping.roles.as_ref(), &claims)),
        groups: list(find(mapping.groups.as_ref(), &claims)),
        email: text(mapping.email.find(&claims)).filter(|_| email_counts),
        name: text(mapping.name.find(&claims)),
        clients: named_clients.chain(mapped_client.clone()).collect(),
        client: mapped_client,
        claims,
    })
}

fn find<'a>(path: Option<&ClaimPath>, claims: &'a Claims) -> Option<&'a Value> {
    path.and_then(|path| path.find(claims))
}

/// A string that is not empty.
fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The strings of an array, or a string alone.
fn list(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(|item| text(Some(item))).collect(),
        other => text(other).into_iter().collect(),
    }
}

/// Scopes stand in one string or in an array (RFC 8693, section 4.2; providers differ).
fn scope_list(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(scopes)) => scopes.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        other => list(other),
    }
}

fn scopes(mapping: Option<&ClaimPath>, claims: &Claims) -> Result<Vec<String>, TokenFault> {
    if let Some(path) = mapping {
        return Ok(scope_list(path.find(claims)));
    }
    let present = |name: &str| claims.get(name).filter(|value| !value.is_null());
    match (present("scope"), present("scp")) {
        (Some(scope), Some(scp)) => {
            let (scope, scp) = (scope_list(Some(scope)), scope_list(Some(scp)));
            let equal = scope.iter().all(|one| scp.contains(one)) && scp.iter().all(|one| scope.contains(one));
            if equal { Ok(scope) } else { Err(TokenFault::Malformed) }
        }
        (one, other) => Ok(scope_list(one.or(other))),
    }
}
