//! What a scraper sees. Labels come from lists in the code: nothing that a pod or a caller sends makes a series.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// How the text is announced (OpenMetrics 1.0).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One label, its values known when the program is built.
type Label = [(&'static str, &'static str); 1];

/// Counters of the whole process.
pub struct Metrics {
    registry: Mutex<Registry>,
    pub(crate) connections: Gauge,
    pub(crate) handshake_failures: Counter,
    pub(crate) streams: Gauge,
    pub(crate) messages: Counter,
    pub(crate) certificates: Counter,
    pub(crate) reports: Counter,
    stream_ends: Family<Label, Counter>,
    reviews: Family<Label, Counter>,
    refused: Family<Label, Counter>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("doorward_operator");
        let connections = Gauge::default();
        let handshake_failures = Counter::default();
        let streams = Gauge::default();
        let messages = Counter::default();
        let certificates = Counter::default();
        let reports = Counter::default();
        let stream_ends = Family::default();
        let reviews = Family::default();
        let refused = Family::default();
        registry.register("connections", "Connections of sidecars that are open", connections.clone());
        let help = "TLS handshakes of sidecars that failed or took too long";
        registry.register("tls_handshake_failures", help, handshake_failures.clone());
        registry.register("streams", "Streams of sidecars that are open", streams.clone());
        registry.register("stream_messages", "Messages sent on streams", messages.clone());
        registry.register("stream_ends", "Streams that ended, by why", Family::clone(&stream_ends));
        registry.register("token_reviews", "TokenReviews, by what came of them", Family::clone(&reviews));
        registry.register("certificates_issued", "Certificates issued to pods", certificates.clone());
        registry.register("reports", "Reports taken", reports.clone());
        registry.register("refused_requests", "Requests refused, by code", Family::clone(&refused));
        Arc::new(Self {
            registry: Mutex::new(registry),
            connections,
            handshake_failures,
            streams,
            messages,
            certificates,
            reports,
            stream_ends,
            reviews,
            refused,
        })
    }

    /// Adds metrics of another part; their names get the same prefix.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All metrics as text; none where they cannot be written, which memory alone could bring about.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner)).ok()?;
        Some(text)
    }

    pub(crate) fn stream_ended(&self, why: &'static str) {
        self.stream_ends.get_or_create(&[("reason", why)]).inc();
    }

    pub(crate) fn reviewed(&self, outcome: &'static str) {
        self.reviews.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn refused(&self, code: &'static str) {
        self.refused.get_or_create(&[("code", code)]).inc();
    }
}
