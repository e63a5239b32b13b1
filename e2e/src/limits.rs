//! Every time and bound of the helpers, with what it is derived from.

use std::time::Duration;

/// For one request to the API server: it answers within milliseconds, and one that gives up says so before the test does. The largest
/// object of a test takes some seconds on a loaded machine.
pub const API_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at a condition: short beside what is waited for, long beside a request.
pub const POLL: Duration = Duration::from_millis(25);
/// For what takes milliseconds on a free machine; a loaded one may be a thousand times slower. No test asserts speed by it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// For a process to end after it was asked to.
pub const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// Lines of a log that a failed test shows: what led to the failure stands at the end. The file has them all.
pub const LOG_LINES: usize = 200;
/// Lines of an object that a failed test shows: all of an ordinary one, and the beginning of a large one.
pub const SHOWN_LINES: usize = 200;
/// For a connection inside the machine.
pub const CONNECT: Duration = Duration::from_secs(5);
/// For one request to a sidecar, its answer included: one that takes longer counts as lost.
pub const REQUEST: Duration = Duration::from_secs(20);
/// For a policy that was applied to be in force on a sidecar: the promise of the operator, and the patience of the test.
pub const IN_FORCE: Duration = Duration::from_secs(1);

/// How often something is done that a suite does a few times and a recorded run often: with `DOORWARD_FULL=1` the second number.
#[must_use]
pub fn times(suite: u64, full: u64) -> u64 {
    let is_full = std::env::var_os("DOORWARD_FULL").is_some_and(|value| value == "1");
    if is_full { full } else { suite }
}
