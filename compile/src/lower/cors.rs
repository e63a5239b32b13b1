//! `spec.cors`.

use std::time::Duration;

use policy::ruleset::is_forwardable_method;
use policy::wire::Cors;

use super::Context;
use super::sink::Sink;
use super::units::millis;
use crate::diagnostic::{Code, quoted};

/// No browser remembers longer.
const MAX_AGE: Duration = Duration::from_hours(24);
const DEFAULT_MAX_AGE: Duration = Duration::from_mins(10);

pub(super) fn lower(context: &Context, sink: &mut Sink) -> Option<Cors> {
    let cors = context.policy.spec.cors.as_ref()?;
    for (index, origin) in cors.origins.iter().enumerate() {
        check_origin(origin, &format!("/spec/cors/origins/{index}"), sink);
    }
    for (index, method) in cors.methods.iter().enumerate().filter(|(_, method)| !is_forwardable_method(method)) {
        let hint = "write it in upper case, such as `PUT`; TRACE and CONNECT never pass";
        sink.error(
            &format!("/spec/cors/methods/{index}"),
            Code::BadMethod,
            format!("{} is no method that can pass", quoted(method)),
            hint,
        );
    }
    for (index, header) in cors.headers.iter().enumerate().filter(|(_, header)| !is_field_name(header)) {
        let hint = "write the name of a header, such as `authorization`";
        sink.error(
            &format!("/spec/cors/headers/{index}"),
            Code::BadFormat,
            format!("{} is no header name", quoted(header)),
            hint,
        );
    }
    let max_age = millis(cors.max_age.as_deref(), MAX_AGE, "/spec/cors/maxAge", sink).map(Duration::from_millis);
    Some(Cors {
        origins: cors.origins.clone(),
        methods: cors.methods.clone(),
        headers: cors.headers.iter().map(|header| header.to_ascii_lowercase()).collect(),
        credentials: cors.credentials == Some(true),
        max_age_seconds: max_age.unwrap_or(DEFAULT_MAX_AGE).as_secs(),
    })
}

/// A token (RFC 9110, section 5.6.2) but for the characters that only confuse.
fn is_field_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Browsers send origins in one form only (RFC 6454, section 6.2): what is written otherwise never matches.
fn check_origin(origin: &str, pointer: &str, sink: &mut Sink) {
    let authority = ["https://", "http://"].into_iter().find_map(|scheme| origin.strip_prefix(scheme));
    let usual_port = origin.starts_with("https://") && origin.ends_with(":443")
        || origin.starts_with("http://") && origin.ends_with(":80");
    let canonical = authority
        .is_some_and(|authority| policy::request::Host::parse(authority).is_ok_and(|host| host.as_str() == authority));
    if !canonical || usual_port {
        let hint = "write it as a browser sends it: `https://app.example.com`, in lower case, without path, without the usual port; `*` is not taken";
        sink.error(pointer, Code::BadFormat, format!("{} is no origin", quoted(origin)), hint);
    }
}
