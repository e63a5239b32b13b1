//! Every bound and time of the bench, with what it is derived from. What a sidecar does has the sidecar's own times.

use std::time::Duration;

/// Requests to the API server at once: what it answers as fast as one after the other on two cores, many times over.
pub(crate) const REQUESTS: usize = 16;
/// Sidecars that connect at once: each needs a TokenReview, of which the operator has 32 under way.
pub(crate) const RAMP: usize = 32;
/// For anything that must happen: a loaded machine takes minutes for 10,000 handshakes and reviews.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);
/// Between two looks at a status: a hundredth of the second that the operator leaves between two writes.
pub(crate) const LOOK: Duration = Duration::from_millis(10);
/// After the last report: the operator closes connections that are idle for 10 s, and then only the streams are left.
pub(crate) const SETTLE: Duration = Duration::from_secs(12);
/// Between two changes of policies over many pods, beside the wait for the last one's status: longer than the second for which
/// the operator gathers changes that follow one another.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// Seconds that a token lives: longer than any run.
pub(crate) const TOKEN_SECONDS: i64 = 7200;
/// Events of sidecars that wait to be counted; beyond, sidecars wait. Their times are taken before.
pub(crate) const EVENTS: usize = 4096;

/// For a connection to the operator and its TLS handshake. A sidecar gives up after 5 s and tries again; here all share two
/// cores with the operator, and trying again would only add to the load.
pub(crate) const CONNECT: Duration = Duration::from_secs(60);
/// For the head of an answer, longer than a sidecar's for the same reason.
pub(crate) const ANSWER: Duration = Duration::from_secs(60);
/// The first wait before a sidecar tries again, doubled each time.
pub(crate) const RETRY: Duration = Duration::from_millis(250);
/// The longest such wait.
pub(crate) const RETRY_MOST: Duration = Duration::from_secs(15);
/// How long a sidecar gathers changes for one report.
pub(crate) const REPORT_GATHER: Duration = Duration::from_millis(10);
/// Between two reports of one sidecar.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// hyper's smallest buffer: 10,000 clients share one process.
pub(crate) const BUFFER: usize = 8192;
