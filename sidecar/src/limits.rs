//! Every bound and every time of the proxy, with what it is derived from. No library default stays implicit.

mod machine;

use policy::request::SizeLimits;
use policy::wire;
use std::time::Duration;

/// The bounds of the process. What a policy sets holds below them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most that `spec.limits.headers` and `spec.limits.body` may allow.
    pub size: SizeLimits,
    /// Connections at once over all workers. One costs about 45 KiB at rest (rustls and hyper); where memory is limited, so many that
    /// it carries them all while each sends a head that does not end.
    pub connections: usize,
    /// From the first byte of a connection to the end of its TLS handshake: three round trips on a bad mobile link.
    pub handshake: Duration,
    /// From the first byte of a request head to its last; over HTTP/2, of a head and of every frame but DATA. They are one or
    /// two packets.
    pub head: Duration,
    /// From a request's head to the last byte of its body or the response head, whichever is first; then once more from the
    /// end of the body to the response head: the most that `spec.limits.requestTimeout` may allow.
    pub request: Duration,
    /// Without a byte in either direction, between requests, within bodies, in tunnels: the most that
    /// `spec.limits.idleTimeout` may allow.
    pub idle: Duration,
    /// How often a silent HTTP/2 connection is asked whether it is still there.
    pub ping: Duration,
    /// How long it may take to answer that.
    pub pong: Duration,
    /// For a TCP connection to the application, which is in the same pod: beyond a second it is not coming up.
    pub connect: Duration,
    /// How long a connection to the application is kept for the next request. Node closes idle ones after 5 s; a request
    /// that meets the close would be lost.
    pub pool_idle: Duration,
    /// Idle connections to the application for each worker: as many as requests that it has in flight at a busy time.
    pub pool: usize,
    /// Bytes of verified tokens that each worker keeps; a token with its claims takes about 3 KiB, so 10,000 callers fit.
    pub token_cache: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            size: SizeLimits { headers: MAX_HEADERS as u64, body: u64::MAX },
            connections: 5_000,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            request: Duration::from_hours(1),
            idle: Duration::from_hours(24),
            ping: Duration::from_secs(60),
            pong: Duration::from_secs(20),
            connect: Duration::from_secs(2),
            pool_idle: Duration::from_secs(4),
            pool: 256,
            token_cache: 32 * 1024 * 1024,
        }
    }
}

/// What holds for one request or connection: the policy's limits, below those of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InForceLimits {
    pub(crate) size: SizeLimits,
    pub(crate) request: Duration,
    pub(crate) idle: Duration,
    pub(crate) age: Duration,
}

impl Limits {
    /// The limits of a policy, or the defaults of one where there is none.
    pub(crate) fn under(&self, policy: Option<wire::Limits>) -> InForceLimits {
        let policy = policy.unwrap_or_default();
        InForceLimits {
            size: SizeLimits { headers: policy.headers.min(self.size.headers), body: policy.body.min(self.size.body) },
            request: Duration::from_millis(policy.request_timeout_ms).min(self.request),
            idle: Duration::from_millis(policy.idle_timeout_ms).min(self.idle),
            age: Duration::from_millis(policy.connection_age_ms),
        }
    }
}

/// The largest `limits.headers`; the parsers' own bounds stand above it, so that our answer comes first.
pub const MAX_HEADERS: usize = 48 * 1024;

/// The buffer of an HTTP/1 connection in each direction: an answer of 64 KiB with its head in one piece (with 64 KiB here such
/// answers cost a fifth more), and well above [`MAX_HEADERS`]; hyper grows to it only where a connection uses it.
pub const H1_BUFFER: usize = 128 * 1024;
/// Bytes of a head, finished or not, that the HTTP/1 parser holds: [`MAX_HEADERS`] with the request line and what stands between
/// fields. Without it a head that never ends would take all of [`H1_BUFFER`]. It is the
/// parser's bound on trailers too, which are read and end here.
pub const H1_HEAD: usize = 56 * 1024;
/// Fields of an HTTP/1 head. This is hyper's own bound: setting any value, even this one, makes it allocate for every
/// request, so it is written here and not set. A head with more gets a bare 431 from the parser.
pub const H1_FIELDS: usize = 100;

/// Streams of one HTTP/2 connection at once: what browsers and gRPC clients open, and all that one caller may occupy.
pub const H2_STREAMS: u32 = 100;
/// Bytes of a body that a caller may send ahead on one stream.
pub const H2_STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes of all bodies that a caller may send ahead on one connection: what it can make us hold.
pub const H2_CONNECTION_WINDOW: u32 = 256 * 1024;
/// Bytes of one frame (the smallest that RFC 9113, section 4.2, allows to ask for).
pub const H2_FRAME: u32 = 16 * 1024;
/// Bytes of a decoded head, each field counted with 32 more (RFC 9113, section 6.5.2).
pub const H2_HEADERS: u32 = 64 * 1024;
/// Bytes of the table by which heads are compressed (RFC 7541, section 4.2; its default).
pub const H2_HEADER_TABLE: u32 = 4096;
/// Streams that a caller opened and reset before we looked: beyond, it is a rapid reset attack (CVE-2023-44487).
pub const H2_PENDING_RESETS: usize = 20;
/// Streams that we had to reset for a caller's faults: beyond, it is a MadeYouReset attack (CVE-2025-8671).
pub const H2_LOCAL_RESETS: usize = 100;
/// Bytes of an answer that wait for one stream's window.
pub const H2_SEND_BUFFER: usize = 64 * 1024;
/// Frames of a caller in a row by which no request moves: pings, settings, priorities, windows. Beyond, in less than
/// [`H2_IDLE_WINDOW`], it is a flood (CVE-2019-9512 and its kin); a browser or a gRPC client sends some ten.
pub const H2_IDLE_FRAMES: usize = 1000;
/// The time in which those are too many: a connection that rests for a day may send its pings.
pub const H2_IDLE_WINDOW: Duration = Duration::from_secs(60);

/// Streams of one HTTP/2 connection to the application at once, below what it allows: as for callers.
pub const H2C_STREAMS: u32 = 100;
/// Bytes of an answer that the application may send ahead on one stream.
pub const H2C_STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes of all answers that it may send ahead on one connection: a caller that does not read its answer must not take the
/// room of the others, so there is room for all.
pub const H2C_CONNECTION_WINDOW: u32 = H2C_STREAMS * H2C_STREAM_WINDOW;
/// How often it is looked whether the application said how many streams it takes: the first request on a new connection
/// waits for that, and the smallest time that the timer knows is this.
pub const H2C_SETTINGS_CHECK: Duration = Duration::from_millis(1);
/// How often a request is given to another connection because the one that it was given to went away before it was sent.
pub const H2C_ATTEMPTS: usize = 3;

/// Bytes of a body that nobody wants which are read and thrown away while its caller reads why: what Linux lets it have under
/// way (the usual tcp_wmem, tcp(7)).
pub const DISCARD: usize = 4 * 1024 * 1024;
/// How long: a round trip on a bad mobile link, with its retransmission.
pub const DISCARD_LINGER: Duration = Duration::from_secs(1);

/// Plaintext that rustls holds for a connection that is not read: four records.
pub const TLS_BUFFER: usize = 64 * 1024;
/// Connections that the kernel holds for us before they are accepted.
pub const BACKLOG: i32 = 1024;
/// After an accept that failed (no descriptors left): long enough to cost nothing, short enough to recover at once.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Between two attempts to listen on a port that something else has: seen at once by people, and costs nothing.
pub const REBIND_PAUSE: Duration = Duration::from_secs(1);
/// Where every place is taken: how long a connection that proves nothing and asks for nothing is left alone. Three round trips
/// on a bad mobile link, and what thousands of callers take to shake hands when they come at once.
pub const CROWDED_GRACE: Duration = Duration::from_secs(1);
/// How often it is looked whether some of those can go.
pub const CROWDED_CHECK: Duration = Duration::from_millis(100);
/// How many go then: 2,560 a second, so that whoever fills the port again has to come faster than that.
pub const CROWDED_AT_ONCE: usize = 256;
/// For the fixed answer to plaintext, and for what a caller still sends meanwhile.
pub const PLAINTEXT_LINGER: Duration = Duration::from_secs(1);
/// Bytes read and thrown away while a plaintext caller reads that answer.
pub const PLAINTEXT_DRAIN: usize = 64 * 1024;
/// Between two looks at the first bytes of a plaintext connection that may become HTTP/2.
pub const PREFACE_PAUSE: Duration = Duration::from_millis(10);
/// So long before its certificate's end a connection takes no further request: time for the caller to come again.
pub const CERTIFICATE_MARGIN: Duration = Duration::from_secs(60);
/// How often an open stream is decided anew: five times within what it may outlive its ground.
pub const STREAM_CHECK: Duration = Duration::from_secs(1);
/// For the close frame of a tunnel that is no longer allowed, and its caller's answer to it.
pub const CLOSE_LINGER: Duration = Duration::from_secs(1);
/// For the open streams of a connection that is to end: with [`STREAM_CHECK`], by which it is found, five seconds.
pub const CLOSING: Duration = Duration::from_secs(4);
/// What `Retry-After` says where configuration or keys are on their way, in seconds.
pub const RETRY_AFTER: &str = "5";

/// Still accepting after the drain began: what endpoints lag behind a pod that goes (`--drain-delay`).
pub const DRAIN_DELAY: Duration = Duration::from_secs(5);
/// For what is in flight after that: with the delay it is Kubernetes' `terminationGracePeriodSeconds` of 30 s.
pub const DRAIN_FINISH: Duration = Duration::from_secs(25);
/// A connection on which nothing happened for so long, once the port is closed, is closed: a new caller's first request has
/// come by then, three round trips on a bad mobile link.
pub const DRAIN_QUIET: Duration = Duration::from_secs(1);
/// The longest `--drain-delay`: a longer one is a typing error.
pub const DRAIN_DELAY_MOST: Duration = Duration::from_mins(10);

/// Bytes of access log that a worker gathers before it hands them over: some 100 lines for one wake-up and one write, and half
/// of what a pipe takes at once (pipe(7)).
pub const LOG_BATCH: usize = 32 * 1024;
/// Batches that wait for the thread that writes: 1 MiB in all, 3,000 lines.
pub const LOG_QUEUE: usize = 32;
/// How long a line may wait for others: nobody who reads along sees it.
pub const LOG_FLUSH: Duration = Duration::from_millis(50);
/// Between two attempts to tell how many lines were dropped.
pub const LOG_RETRY: Duration = Duration::from_millis(250);
/// At the end, for the lines that are not written yet.
pub const LOG_LINGER: Duration = Duration::from_secs(1);
/// Lines whose memory each worker keeps for the next ones: the streams of a few busy HTTP/2 connections. Allocating each anew
/// costs 1 µs a request there.
pub const LOG_SPARE: usize = 256;
/// Bytes that a usual line needs, and up to which its memory is kept: 128 KiB in all.
pub const LOG_LINE: usize = 512;
/// Bytes of a path in the access log; with the query gone, templates and identifiers fit.
pub const LOG_PATH: usize = 256;
/// Bytes of a host in the access log: one label of the longest kind.
pub const LOG_HOST: usize = 64;
/// Bytes of a method in the access log: the longest that is registered has 17.
pub const LOG_METHOD: usize = 20;

/// How long a request waits for a key that its issuer's set does not have: a report, one fetch and a message take less than a
/// second, and a caller's own patience is longer.
pub const KEY_PATIENCE: Duration = Duration::from_secs(2);
/// How often a key may be looked for anew: as often as the operator fetches the keys of one issuer for this.
pub const KEY_REFETCH: Duration = Duration::from_secs(10);
/// Requests that wait for keys of one issuer at once: a burst after a rotation, and no more than made-up tokens may hold.
pub const KEY_WAITERS: usize = 64;
/// Sets of keys at once: 32 ports with eight issuers each.
pub const KEY_SETS: usize = 256;

/// For a connection to the operator and its TLS handshake, across the cluster.
pub const LINK_CONNECT: Duration = Duration::from_secs(5);
/// For the head of an answer of the operator, and once more for the rest of a short one: it asks the API server about the
/// token first.
pub const LINK_ANSWER: Duration = Duration::from_secs(10);
/// The buffer of a connection to the operator (hyper's smallest is 8 KiB): a line of the stream is gathered outside.
pub const LINK_BUFFER: usize = 64 * 1024;
/// Fields in the head of an answer of the operator.
pub const LINK_FIELDS: usize = 32;
/// Bytes of the file with the service-account token; one has about 1 KiB.
pub const TOKEN_FILE: u64 = 16 * 1024;
/// Between two looks whether the kubelet replaced the token that is about to end.
pub const TOKEN_LOOK: Duration = Duration::from_secs(5);
/// Without a line for so long the stream is dead: the operator sends one at least every 15 s, and two may be late.
pub const STREAM_SILENCE: Duration = Duration::from_secs(45);
/// The first wait before a broken stream is opened again, doubled each time.
pub const STREAM_RETRY: Duration = Duration::from_millis(250);
/// The longest such wait: what an operator that comes back is away for longer.
pub const STREAM_RETRY_MOST: Duration = Duration::from_secs(15);
/// How long changes are gathered for one report: those of one `kubectl apply` come together.
pub const REPORT_GATHER: Duration = Duration::from_millis(10);
/// Between two reports: what 10,000 sidecars may send to one operator.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of a reported fault: the operator takes 1024.
pub const REPORT_ERROR: usize = 1024;
/// Connections that are tried for one report when they lead to another replica: of two, one in 256 reports is late.
pub const REPORT_REDIALS: usize = 8;
/// The first wait before a certificate is asked for again, doubled each time.
pub const CERTIFICATE_RETRY: Duration = Duration::from_millis(250);
/// The longest such wait: a third of a certificate's life of 24 h has room for 480 attempts.
pub const CERTIFICATE_RETRY_MOST: Duration = Duration::from_mins(1);
/// The first wait before a certificate that says nothing new is asked for again, doubled each time.
pub const CERTIFICATE_AGAIN: Duration = Duration::from_secs(1);
/// The longest such wait.
pub const CERTIFICATE_AGAIN_MOST: Duration = Duration::from_secs(15);
/// How often that is done: for at least 37 s. The replicas of the operator see each other's CA within 30 s.
pub const CERTIFICATE_AGAIN_TIMES: usize = 8;
/// Bytes of the answer with a certificate: chain and bundle have below 2 KiB each certificate.
pub const CERTIFICATE_ANSWER: usize = 64 * 1024;
/// How often a folder with a certificate is looked at: the kubelet itself needs up to a minute for a Secret.
pub const CERTIFICATE_CHECK: Duration = Duration::from_secs(1);
/// Bytes of the file that proves the capture: 32 ports.
pub const CAPTURED_BYTES: u64 = 4096;
/// For the conversation of `drain` with the sidecar beside it.
pub const DRAIN_ASK: Duration = Duration::from_secs(2);
/// Bytes of a file on the volume: the largest message and what stands around it.
pub const VOLUME_FILE: u64 = wire::MAX_SNAPSHOT_BYTES as u64 + 64;

/// How often the snapshot file is looked at: half of what a change may take to be in force leaves room for slow disks.
pub const FILE_CHECK: Duration = Duration::from_millis(100);
/// Connections to the admin port at once, beside two for each probe of the application: the kubelet and a scraper use a handful.
/// Beyond, whoever was silent longest goes, so that nobody keeps the kubelet out.
pub const ADMIN_CONNECTIONS: usize = 32;
/// Of these, from one address.
pub const ADMIN_CONNECTIONS_PER_ADDRESS: usize = 8;
/// Bytes of a request head on the admin port (hyper allows no less).
pub const ADMIN_BUFFER: usize = 8192;
/// For a whole connection to the admin port, beside the time of the longest probe.
pub const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests that were refused and can be looked at.
pub const DENIALS: usize = 100;
/// The longest that a probe may take, whatever the pod says: the kubelet has no bound, and a run has to end.
pub const PROBE_MOST: Duration = Duration::from_mins(10);
/// Bytes of the head of an answer to a probe (hyper allows no less).
pub const PROBE_BUFFER: usize = 8192;
/// Bytes of a gRPC answer to a probe, of which seven are looked at.
pub const PROBE_ANSWER: usize = 1024;

const _: () = {
    assert!(MAX_HEADERS < H1_HEAD, "our 431 comes before the parser's");
    assert!(H1_HEAD < H1_BUFFER, "the parser's bound is reached");
    assert!(MAX_HEADERS < H2_HEADERS as usize, "our 431 comes before the parser's");
    assert!(MAX_HEADERS >= 32 * 1024, "the default of limits.headers is allowed");
    assert!(H2_STREAM_WINDOW <= H2_CONNECTION_WINDOW, "one stream never needs more than its connection may");
    assert!(H2_FRAME <= H2_STREAM_WINDOW, "a frame fits its window");
    assert!(policy::token::MAX_TOKEN_BYTES < 32 * 1024, "the largest token fits a head");
    assert!(ADMIN_BUFFER >= 8192, "hyper's minimum");
    assert!(LINK_BUFFER >= 8192, "hyper's minimum");
    assert!(STREAM_SILENCE.as_secs() == 3 * 15, "three of the operator's pings");
    assert!(REPORT_INTERVAL.as_secs() < KEY_PATIENCE.as_secs(), "a key is reported while requests wait for it");
    assert!(KEY_PATIENCE.as_secs() < KEY_REFETCH.as_secs(), "nobody waits for what is not looked for");
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_keep_their_relations() {
        let limits = Limits::default();
        assert!(limits.size.headers <= MAX_HEADERS as u64);
        assert!(limits.pool_idle < Duration::from_secs(5), "below Node's");
        assert!(limits.connect < limits.request && limits.head < limits.request && limits.request < limits.idle);
        let policy = limits.under(None);
        assert_eq!(policy.size, SizeLimits::default());
        assert!(limits.head < policy.request && policy.request < policy.idle && policy.idle < policy.age);
    }
}
