//! `spec.limits`.

use std::time::Duration;

use policy::wire::Limits;

use super::Context;
use super::sink::Sink;
use super::units::{bytes, millis};
use crate::diagnostic::Code;

const MIB: u64 = 1024 * 1024;
/// Below it not even a token fits.
const MIN_HEADERS: u64 = 1024;
/// The parsers' own bounds stand above it.
const MAX_HEADERS: u64 = 48 * 1024;
const MAX_BODY: u64 = 100 * 1024 * MIB;

pub(super) fn lower(context: &Context, sink: &mut Sink) -> Limits {
    let defaults = Limits::default();
    let Some(limits) = &context.policy.spec.limits else { return defaults };
    let mut time = |text: &Option<String>, name: &str, min: Duration, max: Duration, default: u64| {
        let pointer = format!("/spec/limits/{name}");
        let Some(wanted) = millis(text.as_deref(), max, &pointer, sink) else { return default };
        if u128::from(wanted) < min.as_millis() {
            sink.error(
                &pointer,
                Code::OutOfBounds,
                "shorter than any network is fast",
                &format!("write at least `{}s`", min.as_secs()),
            );
        }
        wanted
    };
    let (second, hour, day) = (Duration::from_secs(1), Duration::from_hours(1), Duration::from_hours(24));
    Limits {
        request_timeout_ms: time(&limits.request_timeout, "requestTimeout", second, hour, defaults.request_timeout_ms),
        idle_timeout_ms: time(&limits.idle_timeout, "idleTimeout", second, day, defaults.idle_timeout_ms),
        connection_age_ms: time(&limits.connection_age, "connectionAge", 10 * second, day, defaults.connection_age_ms),
        body: bytes(limits.body.as_ref(), 0..=MAX_BODY, "/spec/limits/body", sink).unwrap_or(defaults.body),
        headers: bytes(limits.headers.as_ref(), MIN_HEADERS..=MAX_HEADERS, "/spec/limits/headers", sink)
            .unwrap_or(defaults.headers),
    }
}
