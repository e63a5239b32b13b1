//! The wall clock, handed in: certificates and tokens are judged by it, and by nothing else.

use policy::time::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the present moment comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The machine.
    #[default]
    System,
    /// Always this moment: for tests and replays that say when they happen.
    Fixed(Timestamp),
}

impl Clock {
    /// The present moment.
    #[must_use]
    pub fn now(self) -> Timestamp {
        match self {
            Self::Fixed(moment) => moment,
            Self::System => Timestamp::from_millis(i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)),
        }
    }

    /// The present moment, counted from 1970.
    #[must_use]
    pub fn unix_time(self) -> Duration {
        Duration::from_millis(u64::try_from(self.now().as_millis()).unwrap_or(0))
    }
}

/// A clock before 1970 is taken as 1970: every certificate and token is then not valid yet, which denies.
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
