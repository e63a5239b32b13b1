//! Every bound and every time of the operator, with what it is derived from. No library default stays implicit.

use jiff::SignedDuration;
use std::time::Duration;

mod descriptors;

/// The bounds of the server that a deployment or a test may set.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once: 10,000 sidecars, each with its stream and for a moment a second connection for a report or a
    /// certificate. At 60 KiB each that is below 1 GiB.
    pub connections: usize,
    /// Connections at once from one address. Where nothing translates addresses that is one pod; behind a network that
    /// hides pods behind their node it is a node, and 250 pods have two connections each.
    pub connections_per_address: usize,
    /// Streams at once of one pod: the one in use, and its successor before a token ends.
    pub streams_per_pod: usize,
    /// For the TLS handshake: three round trips on a bad link, while 10,000 sidecars come back at once.
    pub handshake: Duration,
    /// For a request head, and for the quiet between two requests. Heads are one or two packets.
    pub head: Duration,
    /// For the body of a report or a certificate request, which is one or a few packets.
    pub body: Duration,
    /// Between two pings: a sidecar knows within a minute that the operator is gone, and 10,000 of them cost 700 lines a
    /// second.
    pub ping: Duration,
    /// The longest life of a stream, whatever its token says: beyond a day a pod is looked at anew.
    pub stream: Duration,
    /// A write on which nothing moves for so long ends the connection: its reader is gone or does not read.
    pub stalled: Duration,
    /// A stream lives so long after its pod was not there any more: a relist may miss a pod for a moment.
    pub gone: Duration,
    /// Over how long sidecars are told of a change of the CA: 10,000 of them then ask for 330 certificates a second, a part of
    /// what one core signs. A CA is told 30 days before it is needed.
    pub renew_spread: Duration,
    /// How long the outcome of a TokenReview counts: a deleted pod's token opens nothing after that.
    pub review_cache: Duration,
    /// For one TokenReview; waiting for a place included.
    pub review: Duration,
    /// TokenReviews at once: what an API server serves to one client without delay.
    pub reviews: usize,
    /// TokenReviews at once for one address; others wait.
    pub reviews_per_address: usize,
    /// Refused tokens of one address. A sidecar's own are good, so only who guesses meets it; cached tokens still pass.
    pub failures: Rate,
    /// TokenReviews of one pod: each of its requests may need one where none is cached.
    pub reviews_per_pod: Rate,
    /// Certificates of one pod: one at start, one in 16 hours, and one after each change of names or of the CA, which is asked
    /// for up to 8 times more where another replica answers than the one that told.
    pub certificates_per_pod: Rate,
    /// Reports of one pod: after each change, and for unknown keys.
    pub reports_per_pod: Rate,
}

/// So many at once, and one more in each period.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// One more in each such time.
    pub period: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_address: 512,
            streams_per_pod: 2,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            ping: Duration::from_secs(15),
            stream: Duration::from_hours(24),
            stalled: Duration::from_secs(30),
            gone: Duration::from_secs(30),
            renew_spread: Duration::from_secs(30),
            review_cache: Duration::from_secs(10),
            review: Duration::from_secs(10),
            reviews: 32,
            reviews_per_address: 4,
            failures: Rate { burst: 10, period: Duration::from_secs(1) },
            reviews_per_pod: Rate { burst: 10, period: Duration::from_secs(2) },
            certificates_per_pod: Rate { burst: 10, period: Duration::from_secs(60) },
            reports_per_pod: Rate { burst: 20, period: Duration::from_millis(500) },
        }
    }
}

/// Bytes of a request line and fields: a token of 8 KiB and what HTTP clients add.
pub const HEAD: usize = 16 * 1024;
/// Fields of a request head; a sidecar sends five.
pub const FIELDS: usize = 32;
/// Plaintext that rustls holds for a connection that is not read: one record.
pub const TLS_BUFFER: usize = 16 * 1024;
/// Bytes that the kernel holds for a reader that is slow (it doubles the number for its own needs): without it a socket
/// grows to megabytes, and 10,000 slow readers would hold gigabytes.
pub const SEND_BUFFER: usize = 128 * 1024;
/// Connections that the kernel holds for us before they are accepted: a rollout of the operator brings all back at once.
pub const BACKLOG: i32 = 4096;
/// After an accept that failed (no descriptors left): long enough to cost nothing, short enough to recover at once.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For open connections once the server stops: streams end at once, an answer in flight needs no longer.
pub const STOP: Duration = Duration::from_secs(5);
/// Tokens whose review is remembered: those of 10,000 pods that come back within [`Limits::review_cache`].
pub const REVIEWS_CACHED: usize = 16_384;
/// Pods or addresses whose rates are remembered; beyond, those that would be fresh again are forgotten first.
pub const RATES_KEPT: usize = 16_384;
/// Bytes of a `kid` in a report (the bound of token verification).
pub const KID: usize = 256;
/// Bytes of a text in a report that is shown in a status: a sentence.
pub const REPORT_TEXT: usize = 1024;
/// What `Retry-After` says where something is on its way, in seconds.
pub const RETRY_AFTER: &str = "5";

/// Connections to the health port at once: the kubelet and a scraper use a handful; the others are so many that few pods cannot take
/// them all and have the operator restarted.
pub const HEALTH_CONNECTIONS: usize = 256;
/// Of these, from one address, so that nobody keeps the kubelet out: it and a scraper ask one after the other.
pub const HEALTH_CONNECTIONS_PER_ADDRESS: usize = 8;
/// Bytes of a request head on the health port (hyper allows no less).
pub const HEALTH_HEAD: usize = 8192;
/// For a whole connection to the health port: an answer takes milliseconds.
pub const HEALTH_TIME: Duration = Duration::from_secs(5);

/// How long a workload certificate and the operator's own is valid: renewed at two thirds it survives an operator that is
/// away for eight hours.
pub const CERTIFICATE_LIFE: SignedDuration = SignedDuration::from_hours(24);
/// So long before it is issued a certificate is valid already: clocks differ.
pub const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
/// How long the certificate of the built-in CA is valid.
pub const CA_LIFE: SignedDuration = SignedDuration::from_hours(365 * 24);
/// So long before a CA's end the next one is made and told to everybody.
pub const CA_ANNOUNCED: SignedDuration = SignedDuration::from_hours(90 * 24);
/// So long the next CA is told before it signs. Sidecars have it after one life of a certificate; callers outside, who copy
/// `ca.crt` by hand, have a month.
pub const CA_OVERLAP: SignedDuration = SignedDuration::from_hours(30 * 24);
/// So long a CA that signs no more is still told: all that it signed has ended, also what a replica signed that had not
/// noticed yet.
pub const CA_RETIRED: SignedDuration = SignedDuration::from_hours(26);
/// How often each replica looks at the Secret of the CA: 2,880 small reads a day.
pub const CA_CHECK: Duration = Duration::from_secs(30);
/// After a round that failed; until the CA is loaded nothing else works.
pub const CA_RETRY: Duration = Duration::from_secs(2);
/// For one call to the API server, which answers in milliseconds or is in trouble; with [`API_TRIES`] where it has some.
pub const API_TIMEOUT: Duration = Duration::from_secs(10);
/// DNS names of one certificate: Services that select one pod. Beyond, a handshake no longer fits a few packets.
pub const DNS_NAMES: usize = 128;
/// Bytes of a serial number (RFC 5280, section 4.1.2.2, allows 20).
pub const SERIAL: usize = 16;

const _: () = {
    assert!(policy::token::MAX_TOKEN_BYTES + 2048 < HEAD, "the largest token fits a head");
    assert!(HEALTH_HEAD >= 8192 && HEAD >= 8192, "hyper's minimum");
    assert!(CERTIFICATE_LIFE.as_secs() < CA_OVERLAP.as_secs(), "every sidecar knows a CA before it signs");
    assert!(CERTIFICATE_LIFE.as_secs() + BACKDATE.as_secs() < CA_RETIRED.as_secs(), "nothing outlives its CA");
    assert!(CA_OVERLAP.as_secs() < CA_ANNOUNCED.as_secs(), "the next CA signs before the last one ends");
    assert!(CA_ANNOUNCED.as_secs() < CA_LIFE.as_secs(), "a new CA does not announce the next at once");
};

/// Seconds after which the API server ends a watch, and we start it anew where it was: below the five minutes after which load
/// balancers drop connections that look idle.
pub const WATCH_TIMEOUT: u32 = 240;
/// The first wait after a watch failed: one that was cut is back within a second.
pub const WATCH_BACKOFF_LEAST: Duration = Duration::from_millis(200);
/// The longest wait of a watch that fails, to which the library adds up to as much by chance. An API server that has just started
/// knows nobody's rights for a moment, which costs a second wait: in step again within 20 s of it.
pub const WATCH_BACKOFF_MOST: Duration = Duration::from_secs(5);
/// Changes that wait to be looked at; beyond, the watches wait, and the API server with them.
pub const CHANGES: usize = 4096;
/// Changes come in bursts (a rollout, a list): so long they are gathered before the world is compiled. A tenth of what a change
/// may take to be in force.
pub const GATHER: Duration = Duration::from_millis(20);
/// After the world was compiled, changes are gathered for so many times as long as that took: what many changes cost stays below a
/// tenth of a core.
pub const GATHER_RATIO: u32 = 10;
/// The longest that changes are gathered for that reason.
pub const GATHER_MOST: Duration = Duration::from_secs(1);

/// How long rules that name a new source of keys wait for the first answer from there: a provider answers within this, and one that
/// does not must not hold up what its policy takes away.
pub const KEYS_FIRST: Duration = Duration::from_secs(2);

/// How often it is looked whether this replica still leads, where nothing tells of a change.
pub const LEADER_LOOK: Duration = Duration::from_secs(1);
/// A Lease that did not change for so long is left. Another replica sees the last renewal up to [`LEASE_RENEW`] late, and that
/// this has passed up to as much later: it leads, and its first status is written, within 20 s of the leader's end.
pub const LEASE_DURATION: Duration = Duration::from_secs(10);
/// How often Leases are renewed: two renewals may fail before another takes over.
pub const LEASE_RENEW: Duration = Duration::from_secs(3);
/// So long after it asked to renew a leader writes: it stops before another can begin.
pub const LEASE_WRITES: Duration = Duration::from_secs(8);

/// Between two writes of one policy's status by one replica.
pub const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Writes of status under way at once.
pub const STATUS_WRITES: usize = 16;
/// What was written and is not seen again is written once more after so long.
pub const STATUS_REPAIR: Duration = Duration::from_secs(10);
/// What could not be written is tried again after so long, for as long as it fails: an API server in trouble is not asked in a
/// loop, and one failed request makes no status late.
pub const STATUS_RETRY: Duration = Duration::from_secs(2);
/// After its start a replica says nothing of pods that have still to find it: streams come back within seconds, and a
/// condition that falls for that long would alarm for nothing.
pub const SETTLE: Duration = Duration::from_secs(10);
/// Pods that all were enforced and are connected nowhere for so long are taken to be on their way to another replica: the next
/// stream is open before the last one ends, and its replica tells of it within two [`STATUS_INTERVAL`].
pub const MOVES: Duration = Duration::from_secs(3);

const _: () = {
    assert!(2 * STATUS_INTERVAL.as_millis() < MOVES.as_millis(), "who has moved is told of in time");
    assert!(LEASE_WRITES.as_millis() < LEASE_DURATION.as_millis(), "a leader stops before another begins");
    assert!(LEASE_DURATION.as_secs() + 2 * LEASE_RENEW.as_secs() < 18, "a status within 20 s of the leader's end");
    assert!(2 * LEASE_RENEW.as_millis() < LEASE_WRITES.as_millis(), "one failed renewal changes nothing");
};

/// How often one thing is asked of the API server where it is busy or away; who asks has a time of its own for all of it.
pub const API_TRIES: usize = 3;
/// Before it is asked again; twice as long before the time after that.
pub const API_PAUSE: Duration = Duration::from_millis(100);

/// For a connection to the API server.
pub const API_CONNECT: Duration = Duration::from_secs(5);
/// Without a byte from the API server: longer than [`WATCH_TIMEOUT`], after which it ends a watch by itself.
pub const API_READ: Duration = Duration::from_secs(270);
/// The oldest minor version of Kubernetes 1: native sidecars are stable in it.
pub const OLDEST_MINOR: u32 = 33;
/// Between two attempts to reach the API server at the start.
pub const API_WAIT: Duration = Duration::from_secs(2);
/// ConfigMaps that are watched, each over a connection of its own: most policies name none.
pub const CONFIG_MAPS: usize = 1_000;
/// Of these, in one namespace, so that no team takes them all.
pub const CONFIG_MAPS_PER_NAMESPACE: usize = 100;
/// How often a policy is compiled again though nothing changed: certificates and revocation lists that it names grow old.
pub const RECHECK: Duration = Duration::from_secs(60 * 60);
/// Policies that are compiled again for that reason in one go, so that a change need not wait for all of them.
pub const RECHECKS: usize = 50;
/// How often the leader looks whether `caBundle` of the webhooks is still as it wrote it.
pub const WEBHOOK_CHECK: Duration = Duration::from_secs(30);

/// Connections of API servers at once: each keeps a few open and asks over them. So many that few pods cannot take them all; 45 KiB
/// each.
pub const WEBHOOK_CONNECTIONS: usize = 1024;
/// Of these, from one address: three API servers behind one address keep ten each.
pub const WEBHOOK_CONNECTIONS_PER_ADDRESS: usize = 32;
/// Bytes of their questions that are held at once, over all connections: 400 ordinary ones, or five of the largest; read into
/// values they take some ten times as much.
pub const WEBHOOK_BODIES: usize = 16 << 20;
/// For the TLS handshake of an API server, which waits five seconds in all.
pub const WEBHOOK_HANDSHAKE: Duration = Duration::from_secs(5);
/// Between two questions over one connection, and for a head: who says nothing for so long makes room for others.
pub const WEBHOOK_IDLE: Duration = Duration::from_secs(30);
/// For a whole question and its answer: the API server waits no longer.
pub const WEBHOOK_TIME: Duration = Duration::from_secs(5);
/// For one look-up during an admission, with all of its [`API_TRIES`].
pub const LOOKUP: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_keep_their_relations() {
        let limits = Limits::default();
        assert!(limits.connections_per_address * 8 < limits.connections, "one address never takes all");
        assert!(limits.reviews_per_address * 4 < limits.reviews, "one address never takes all");
        assert!(limits.ping < limits.stalled, "a dead peer is noticed by a ping");
        assert!(limits.review_cache <= Duration::from_secs(10));
    }
}
