//! The text that a scraper reads (OpenMetrics 1.0).

use super::{BUCKETS, Count, Counters, DECIDED, FAILED, Metrics};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;

/// How the text is announced.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics as text; none where they cannot be written, which memory alone could bring about.
pub(crate) fn text(metrics: &Arc<Metrics>) -> Option<String> {
    let mut registry = Registry::with_prefix("doorward");
    registry.register_collector(Box::new(Arc::clone(metrics)));
    let mut text = String::new();
    encode(&mut text, &registry).ok()?;
    Some(text)
}

type Written = Result<(), fmt::Error>;
/// A part of what a worker counts.
type Of<T> = fn(&Counters) -> &T;
type Counts = Of<[Count]>;

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Written {
        self.requests(&mut encoder)?;
        self.durations(&mut encoder)?;
        let open = self.sum(|worker| &worker.opened).wrapping_sub(self.sum(|worker| &worker.closed));
        gauge(&mut encoder, "connections", "Connections that are open", open)?;
        let counters: [(&str, &str, Of<Count>); 8] = [
            ("tls_handshake_failures", "TLS handshakes that failed or took too long", |worker| {
                &worker.handshake_failures
            }),
            ("parser_refused", "Requests that the HTTP/1 parser refused", |worker| &worker.parser_refused),
            ("plaintext_refused", "Plaintext requests on a port that speaks TLS", |worker| &worker.plaintext_refused),
            ("token_cache_hits", "Tokens that were verified before", |worker| &worker.token_hits),
            ("token_cache_misses", "Tokens that were verified anew or refused", |worker| &worker.token_misses),
            ("app_connects", "Connections opened to the application", |worker| &worker.app_connects),
            ("app_reuses", "Requests sent on a connection to the application that was open", |worker| {
                &worker.app_reuses
            }),
            ("app_connect_failures", "Connections to the application that could not be opened", |worker| {
                &worker.app_failures
            }),
        ];
        for (name, help, of) in counters {
            counter(&mut encoder, name, help, self.sum(of))?;
        }
        let dropped = self.sum(|worker| &worker.log_dropped).wrapping_add(self.log_lost.get());
        counter(&mut encoder, "access_log_dropped_lines", "Lines of the access log that nobody took in time", dropped)?;
        gauge(
            &mut encoder,
            "token_cache_entries",
            "Verified tokens that are kept",
            self.sum(|worker| &worker.token_entries),
        )?;
        gauge(
            &mut encoder,
            "token_cache_bytes",
            "Memory that they are reckoned at",
            self.sum(|worker| &worker.token_bytes),
        )?;
        self.snapshots(&mut encoder)
    }
}

impl Metrics {
    fn requests(&self, encoder: &mut DescriptorEncoder) -> Written {
        let mut family = encoder.encode_descriptor(
            "requests",
            "Requests by what was done with them and why",
            None,
            MetricType::Counter,
        )?;
        let mut one = |effect: &str, code: &str, count: u64| {
            let labels = [("effect", effect), ("code", code)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)
        };
        one("allow", "ok", self.sum(|worker| &worker.allow))?;
        one("own", "ok", self.sum(|worker| &worker.own))?;
        let lists: [(&str, &[&str], Counts); 3] = [
            ("deny", &DECIDED, |worker| &worker.deny),
            ("audit", &DECIDED, |worker| &worker.audit),
            ("error", &FAILED, |worker| &worker.error),
        ];
        for (effect, codes, of) in lists {
            for (place, code) in codes.iter().enumerate() {
                let count = self.workers.iter().filter_map(|worker| of(worker).get(place)).map(Count::get).sum();
                one(effect, code, count)?;
            }
        }
        Ok(())
    }

    fn durations(&self, encoder: &mut DescriptorEncoder) -> Written {
        let ends = BUCKETS.iter().map(|end| end.as_secs_f64()).chain([f64::INFINITY]);
        let of =
            |place: usize| self.workers.iter().filter_map(|worker| worker.durations.get(place)).map(Count::get).sum();
        let buckets: Vec<(f64, u64)> = ends.enumerate().map(|(place, end)| (end, of(place))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        #[expect(clippy::cast_precision_loss, reason = "exact for 285 years of requests")]
        let seconds = self.sum(|worker| &worker.duration_micros) as f64 / 1e6;
        let help = "From the head of a request to the end of its answer";
        encoder
            .encode_descriptor("request_duration", help, Some(&Unit::Seconds), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
    }

    fn snapshots(&self, encoder: &mut DescriptorEncoder) -> Written {
        let told = self.state.told();
        let mut family = encoder.encode_descriptor(
            "snapshot_reloads",
            "Snapshots that came, by whether they could be used",
            None,
            MetricType::Counter,
        )?;
        for (outcome, count) in [("ok", told.applied), ("failed", told.refused)] {
            ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
        }
        let help = "The generation of the policy in force; 0 without one";
        let mut family = encoder.encode_descriptor("snapshot_generation", help, None, MetricType::Gauge)?;
        for (port, generation) in told.generations {
            let generation = i64::try_from(generation).unwrap_or(i64::MAX);
            ConstGauge::new(generation).encode(family.encode_family(&[("port", port)])?)?;
        }
        Ok(())
    }
}

fn counter(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> Written {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> Written {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}
