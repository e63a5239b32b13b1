//! Whether one access lets pass everybody that another one lets pass: beside it the other one is without effect.

use policy::wire::{Access, Require};

/// The access with its lists as sets, so that two ways to write one thing are equal.
pub(super) fn normal(access: &Access) -> Access {
    let Access::Require(require) = access else { return access.clone() };
    let mut require = require.clone();
    let Require { issuers, clients, scopes, any_scope, roles, any_role, any_group, .. } = &mut *require;
    for list in [issuers, clients, scopes, any_scope, roles, any_role, any_group] {
        list.sort();
        list.dedup();
    }
    for claim in &mut require.claims {
        claim.any_of.sort();
        claim.any_of.dedup();
    }
    Access::Require(require)
}

/// Whether `weak` asks for nothing that `strong` does not ask for.
pub(super) fn asks_no_more(weak: &Access, strong: &Access) -> bool {
    match (weak, strong) {
        (Access::Anonymous, _) => true,
        (Access::Authenticated, Access::Require(require)) => looks_at_token(require),
        (Access::Certificate, Access::Require(require)) => !require.callers.is_empty(),
        (Access::Require(weak), Access::Require(strong)) => requires_no_more(weak, strong),
        (weak, strong) => weak == strong,
    }
}

fn requires_no_more(weak: &Require, strong: &Require) -> bool {
    let all = |weak: &[String], strong: &[String]| weak.iter().all(|wanted| strong.contains(wanted));
    all(&weak.scopes, &strong.scopes)
        && all(&weak.roles, &strong.roles)
        && weak.claims.iter().all(|wanted| strong.claims.contains(wanted))
        && weak.path_params.iter().all(|(name, attribute)| strong.path_params.get(name) == Some(attribute))
        && alternatives(&weak.issuers, &strong.issuers)
        && alternatives(&weak.clients, &strong.clients)
        && alternatives(&weak.any_scope, &strong.any_scope)
        && alternatives(&weak.any_role, &strong.any_role)
        && alternatives(&weak.any_group, &strong.any_group)
        && alternatives(&weak.callers, &strong.callers)
        && (strong.bound_token || !weak.bound_token)
        && weak.max_auth_age_ms.is_none_or(|age| strong.max_auth_age_ms.is_some_and(|strong| strong <= age))
}

/// Of alternatives the longer list asks for less, and none for nothing.
fn alternatives<T: PartialEq>(weak: &[T], strong: &[T]) -> bool {
    weak.is_empty() || (!strong.is_empty() && strong.iter().all(|one| weak.contains(one)))
}

/// Whether anything of a token is listed.
fn looks_at_token(require: &Require) -> bool {
    *require != Require { callers: require.callers.clone(), ..Require::default() }
}
