//! `allow` and `require`: who a rule lets pass.

use std::time::Duration;

use policy::ruleset::{Template, is_host_pattern};
use policy::wire::{Access, AttributeName, Caller, ClaimRequirement, Require, Tls};

use super::Context;
use super::sink::Sink;
use super::units::{check_claim, millis};
use crate::diagnostic::{Code, quoted};

/// Longer than any session; the bound keeps sums of times in range.
const MAX_AUTH_AGE: Duration = Duration::from_hours(24 * 366);

pub(super) fn lower(
    context: &Context,
    tls: &Tls,
    rule: &crds::Rule,
    template: Option<&Template>,
    pointer: &str,
    sink: &mut Sink,
) -> Access {
    match (&rule.allow, &rule.require) {
        (Some(crds::Allow::Authenticated), _) => {
            check_issuers_exist(context, &format!("{pointer}/allow"), sink);
            Access::Authenticated
        }
        (Some(crds::Allow::Certificate), _) => Access::Certificate,
        (Some(crds::Allow::Anonymous), _) => Access::Anonymous,
        (None, Some(wanted)) => {
            Access::Require(Box::new(require(context, tls, wanted, template, &format!("{pointer}/require"), sink)))
        }
        // The shape was refused before; nobody passes meanwhile.
        (None, None) => Access::Require(Box::default()),
    }
}

fn check_issuers_exist(context: &Context, pointer: &str, sink: &mut Sink) {
    if context.policy.spec.issuers.is_empty() {
        sink.error(
            pointer,
            Code::NoIssuer,
            "it asks for a token, and the policy has no issuer",
            "add the provider to `spec.issuers`",
        );
    }
}

fn require(
    context: &Context,
    tls: &Tls,
    wanted: &crds::Require,
    template: Option<&Template>,
    pointer: &str,
    sink: &mut Sink,
) -> Require {
    let lowered = Require {
        issuers: wanted.issuers.clone(),
        clients: wanted.clients.clone(),
        scopes: wanted.scopes.clone(),
        any_scope: wanted.any_scope.clone(),
        roles: wanted.roles.clone(),
        any_role: wanted.any_role.clone(),
        any_group: wanted.any_group.clone(),
        claims: claims(&wanted.claims, pointer, sink),
        path_params: wanted
            .path_params
            .iter()
            .map(|(name, attribute)| (name.clone(), path_attribute(*attribute)))
            .collect(),
        callers: wanted
            .callers
            .iter()
            .enumerate()
            .filter_map(|(index, one)| caller(tls, one, &format!("{pointer}/callers/{index}"), sink))
            .collect(),
        bound_token: wanted.bound_token.is_some(),
        max_auth_age_ms: millis(wanted.max_auth_age.as_deref(), MAX_AUTH_AGE, &format!("{pointer}/maxAuthAge"), sink),
    };
    check_issuers(context, &lowered, pointer, sink);
    check_scopes(&lowered, pointer, sink);
    check_parameters(&lowered, template, pointer, sink);
    lowered
}

fn claims(wanted: &[crds::ClaimRequirement], pointer: &str, sink: &mut Sink) -> Vec<ClaimRequirement> {
    for (index, one) in wanted.iter().enumerate() {
        check_claim(&one.claim, &format!("{pointer}/claims/{index}/claim"), sink);
    }
    wanted.iter().map(|one| ClaimRequirement { claim: one.claim.clone(), any_of: one.any_of.clone() }).collect()
}

/// Whether anything of a token is listed.
fn looks_at_token(require: &Require) -> bool {
    let only_callers = Require { callers: require.callers.clone(), ..Require::default() };
    *require != only_callers
}

fn check_issuers(context: &Context, require: &Require, pointer: &str, sink: &mut Sink) {
    let issuers = &context.policy.spec.issuers;
    for (index, name) in require.issuers.iter().enumerate() {
        if !issuers.iter().any(|issuer| issuer.name == *name) {
            let known = issuers.iter().map(|issuer| format!("`{}`", issuer.name)).collect::<Vec<_>>().join(", ");
            sink.error(
                &format!("{pointer}/issuers/{index}"),
                Code::UnknownIssuer,
                format!("the policy has no issuer {}", quoted(name)),
                &format!("it has {known}"),
            );
        }
    }
    if !looks_at_token(require) {
        return;
    }
    check_issuers_exist(context, pointer, sink);
    if issuers.len() > 1 && require.issuers.is_empty() {
        let hint =
            "add `issuers: [NAME]`, so that a second provider cannot mint the subjects, tenants or roles of the first";
        sink.error(
            pointer,
            Code::UnnamedIssuer,
            "the policy has several issuers, and the rule does not say whose tokens it means",
            hint,
        );
    }
}

/// A scope with a space can never be in a token (RFC 6749, section 3.3), and would end the challenge's quoted text.
fn check_scopes(require: &Require, pointer: &str, sink: &mut Sink) {
    for (field, scopes) in [("scopes", &require.scopes), ("anyScope", &require.any_scope)] {
        for (index, scope) in scopes.iter().enumerate() {
            let token = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            if !scope.bytes().all(token) {
                let hint = "write one scope an entry, without spaces, quotes and backslashes";
                sink.error(
                    &format!("{pointer}/{field}/{index}"),
                    Code::BadFormat,
                    format!("{} is no scope", quoted(scope)),
                    hint,
                );
            }
        }
    }
}

fn check_parameters(require: &Require, template: Option<&Template>, pointer: &str, sink: &mut Sink) {
    let Some(template) = template else { return };
    for name in require.path_params.keys() {
        if template.parameters().any(|(_, known)| known == name) {
            continue;
        }
        let known = template.parameters().map(|(_, known)| format!("`{known}`")).collect::<Vec<_>>();
        let hint = if known.is_empty() {
            format!("write `{{{name}}}` into the path")
        } else {
            format!("the path has {}", known.join(", "))
        };
        let place = format!("{pointer}/pathParams/{}", crate::diagnostic::escape(name));
        sink.error(&place, Code::UnknownParameter, format!("the path has no parameter {}", quoted(name)), &hint);
    }
}

fn path_attribute(attribute: crds::PathAttribute) -> AttributeName {
    match attribute {
        crds::PathAttribute::Subject => AttributeName::Subject,
        crds::PathAttribute::Tenant => AttributeName::Tenant,
        crds::PathAttribute::Email => AttributeName::Email,
        crds::PathAttribute::Name => AttributeName::Name,
        crds::PathAttribute::Client => AttributeName::Client,
    }
}

pub(super) fn caller(tls: &Tls, caller: &crds::Caller, pointer: &str, sink: &mut Sink) -> Option<Caller> {
    let ca = match &caller.ca {
        None => tls.client_cas.iter().find(|ca| ca.built_in),
        Some(name) => tls.client_cas.iter().find(|ca| ca.name == *name),
    };
    let Some(ca) = ca else {
        let known = tls.client_cas.iter().map(|ca| format!("`{}`", ca.name)).collect::<Vec<_>>().join(", ");
        let message = caller.ca.as_ref().map_or_else(
            || "the policy has no built-in CA".to_owned(),
            |name| format!("the policy has no CA {}", quoted(name)),
        );
        sink.error(&format!("{pointer}/ca"), Code::UnknownCa, message, &format!("it has {known}"));
        return None;
    };
    if let Some(account) = &caller.service_account {
        check_service_account(account, ca.built_in, &format!("{pointer}/serviceAccount"), sink);
    }
    let is_spiffe = |id: &str| id.starts_with("spiffe://") && id.bytes().all(|byte| byte.is_ascii_graphic());
    if let Some(id) = caller.spiffe.as_ref().filter(|id| !is_spiffe(id)) {
        sink.error(
            &format!("{pointer}/spiffe"),
            Code::BadFormat,
            format!("{} is no SPIFFE ID", quoted(id)),
            "write it whole, in ASCII: `spiffe://TRUST-DOMAIN/PATH`",
        );
    }
    let dns = caller.dns.as_ref().map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
    let is_name = |name: &str| !name.contains('*') && is_host_pattern(name);
    if let Some(name) = dns.as_ref().filter(|name| !is_name(name)) {
        sink.error(
            &format!("{pointer}/dns"),
            Code::BadFormat,
            format!("{} is no DNS name", quoted(name)),
            "write a host name in ASCII without port; wildcards never match, so list the names",
        );
    }
    // The built-in CA vouches for Services alone. Those of one name are in many namespaces, and a Service `example` in a
    // namespace `com` would be what looks like a host of somebody else.
    let of_service = |name: &str| name.split('.').nth(2) == Some("svc");
    if let Some(name) = dns.as_ref().filter(|name| ca.built_in && is_name(name) && !of_service(name)) {
        sink.error(
            &format!("{pointer}/dns"),
            Code::BadFormat,
            format!("{} does not name a Service whole, and the built-in CA knows no other names", quoted(name)),
            "write `SERVICE.NAMESPACE.svc`, or name the service account, or the `ca` that vouches for this name",
        );
    }
    Some(Caller {
        ca: ca.name.clone(),
        service_account: caller.service_account.clone(),
        dns,
        spiffe: caller.spiffe.clone(),
    })
}

fn check_service_account(account: &str, built_in: bool, pointer: &str, sink: &mut Sink) {
    if !built_in {
        let hint = "leave `ca` out, or name the partner's workload by `spiffe` or `dns`";
        sink.error(pointer, Code::WrongCombination, "only the built-in CA knows service accounts", hint);
    }
    let parts: Vec<&str> = account.split('/').collect();
    if parts.len() != 2 || parts.iter().any(|part| part.is_empty()) {
        sink.error(
            pointer,
            Code::BadFormat,
            format!("{} is no service account", quoted(account)),
            "write `NAMESPACE/NAME`",
        );
    }
}
