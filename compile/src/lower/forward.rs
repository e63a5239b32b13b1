//! `spec.forward`: what the application is told.

use policy::forward::names::{ReservedName, check, mapped};
use policy::wire::{AppProtocol, AttributeName, Forward, ForwardHeader, HeaderFormat, HeaderSource};

use super::Context;
use super::sink::Sink;
use super::units::check_claim;
use crate::diagnostic::{Code, quoted};

pub(super) fn lower(context: &Context, sink: &mut Sink) -> Forward {
    let Some(forward) = &context.policy.spec.forward else {
        let protocol = AppProtocol::Http1;
        return Forward { keep_token: false, headers: Vec::new(), client_certificate: false, protocol };
    };
    let mut headers: Vec<ForwardHeader> = Vec::with_capacity(forward.headers.len());
    for (index, header) in forward.headers.iter().enumerate() {
        let lowered = lower_one(header, index, sink);
        let name = mapped(&lowered.name);
        if let Some(other) = headers.iter().find(|other| mapped(&other.name) == name) {
            let message =
                format!("many applications take {} and {} for one header", quoted(&header.name), quoted(&other.name));
            sink.error(
                &format!("/spec/forward/headers/{index}/name"),
                Code::ReservedHeader,
                message,
                "give each header a name of its own",
            );
        }
        headers.push(lowered);
    }
    check_several_issuers(context, &headers, sink);
    Forward {
        keep_token: forward.token == Some(crds::ForwardToken::Keep),
        headers,
        client_certificate: forward.client_certificate == Some(crds::ClientCertificate::Xfcc),
        protocol: match forward.protocol {
            None | Some(crds::AppProtocol::Http1) => AppProtocol::Http1,
            Some(crds::AppProtocol::H2c) => AppProtocol::H2c,
        },
    }
}

fn lower_one(header: &crds::IdentityHeader, index: usize, sink: &mut Sink) -> ForwardHeader {
    let pointer = format!("/spec/forward/headers/{index}");
    let name = header.name.to_ascii_lowercase();
    if let Err(fault) = check(&name) {
        let hint = match fault {
            ReservedName::NotAName => "write letters, digits and `-`, such as `x-user`",
            _ => "choose a name of your own, such as `x-user`",
        };
        sink.error(
            &format!("{pointer}/name"),
            Code::ReservedHeader,
            format!("{}: {fault}", quoted(&header.name)),
            hint,
        );
    }
    if let Some(claim) = &header.claim {
        check_claim(claim, &format!("{pointer}/claim"), sink);
    }
    let value = match (header.identity, &header.claim) {
        (Some(attribute), _) => HeaderSource::Identity(attribute_name(attribute)),
        (None, claim) => HeaderSource::Claim(claim.clone().unwrap_or_default()),
    };
    let format = match header.format {
        None | Some(crds::HeaderFormat::Comma) => HeaderFormat::Comma,
        Some(crds::HeaderFormat::Json) => HeaderFormat::Json,
    };
    ForwardHeader { name, value, format }
}

/// Two providers may each have their own `alice`.
fn check_several_issuers(context: &Context, headers: &[ForwardHeader], sink: &mut Sink) {
    let position =
        |wanted: AttributeName| headers.iter().position(|header| header.value == HeaderSource::Identity(wanted));
    let (Some(subject), None) = (position(AttributeName::Subject), position(AttributeName::Issuer)) else { return };
    if context.policy.spec.issuers.len() > 1 {
        let hint = "add a header with `identity: issuer`, and let the application tell users by both";
        sink.warning(
            &format!("/spec/forward/headers/{subject}"),
            Code::AmbiguousSubject,
            "two issuers may each have a user of that name",
            hint,
        );
    }
}

fn attribute_name(attribute: crds::IdentityAttribute) -> AttributeName {
    match attribute {
        crds::IdentityAttribute::Subject => AttributeName::Subject,
        crds::IdentityAttribute::Issuer => AttributeName::Issuer,
        crds::IdentityAttribute::Tenant => AttributeName::Tenant,
        crds::IdentityAttribute::Scopes => AttributeName::Scopes,
        crds::IdentityAttribute::Roles => AttributeName::Roles,
        crds::IdentityAttribute::Groups => AttributeName::Groups,
        crds::IdentityAttribute::Email => AttributeName::Email,
        crds::IdentityAttribute::Name => AttributeName::Name,
        crds::IdentityAttribute::Client => AttributeName::Client,
    }
}
