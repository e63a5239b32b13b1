//! Every bound and every time of the operator, with what it is derived from. No library default stays implicit.

use std::time::Duration;

/// Seconds after which the API server ends a watch, and we start it anew where it was: below the five minutes after which load
/// balancers drop connections that look idle.
pub const WATCH_TIMEOUT: u32 = 240;
/// The first wait after a watch failed: one that was cut is back within a second.
pub const WATCH_BACKOFF_LEAST: Duration = Duration::from_millis(200);
/// The longest wait of a watch that fails: the API server is back and we are in step within a minute of it.
pub const WATCH_BACKOFF_MOST: Duration = Duration::from_secs(15);
/// Changes that wait to be looked at; beyond, the watches wait, and the API server with them.
pub const CHANGES: usize = 4096;
/// Changes come in bursts (a rollout, a list): so long they are gathered before the world is compiled. A tenth of what a change
/// may take to be in force.
pub const GATHER: Duration = Duration::from_millis(20);
/// So many times as long as compiling the world took, changes are gathered: what many changes cost stays below a tenth of a core.
pub const GATHER_RATIO: u32 = 10;
/// The longest that changes are gathered.
pub const GATHER_MOST: Duration = Duration::from_secs(1);

/// A Lease that did not change for so long is left: another replica leads within 20 s of the leader's end.
pub const LEASE_DURATION: Duration = Duration::from_secs(12);
/// How often Leases are renewed: two renewals may fail before another takes over.
pub const LEASE_RENEW: Duration = Duration::from_secs(4);
/// So long after it asked to renew a leader writes: it stops before another can begin.
pub const LEASE_WRITES: Duration = Duration::from_secs(10);

/// Between two writes of one policy's status by one replica.
pub const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Writes of status under way at once.
pub const STATUS_WRITES: usize = 16;
/// For one write to the API server.
pub const API_TIMEOUT: Duration = Duration::from_secs(10);
/// What was written and is not seen again is written once more after so long.
pub const STATUS_REPAIR: Duration = Duration::from_secs(10);
/// After its start a replica says nothing of pods that have still to find it: streams come back within seconds, and a
/// condition that falls for that long would alarm for nothing.
pub const SETTLE: Duration = Duration::from_secs(10);

const _: () = {
    assert!(LEASE_WRITES.as_millis() < LEASE_DURATION.as_millis(), "a leader stops before another begins");
    assert!(2 * LEASE_RENEW.as_millis() < LEASE_WRITES.as_millis(), "one failed renewal changes nothing");
};
