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
