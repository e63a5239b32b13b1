//! What the machine allows this process, and the bound on connections that follows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use super::{CONFIG_MAPS, HEALTH_CONNECTIONS, Limits, WEBHOOK_CONNECTIONS};

/// Descriptors that are no sidecar's: watches of ConfigMaps, fetches of keys, webhooks and probes; and the other watches and
/// questions to the API server, listeners and the runtime.
const OTHER_DESCRIPTORS: u64 =
    (CONFIG_MAPS + issuer::limits::AT_ONCE + WEBHOOK_CONNECTIONS + HEALTH_CONNECTIONS) as u64 + 128;

impl Limits {
    /// The defaults, with no more connections than there are descriptors: one that is accepted is one that can be served.
    #[must_use]
    pub fn of_this_process() -> Self {
        let (wanted, limits) = (Self::default(), Self::default().lowered_to(all_descriptors()));
        if limits.connections < wanted.connections {
            let (connections, wanted) = (limits.connections, wanted.connections);
            warn!(connections, wanted, "few descriptors: sidecars beyond these wait; raise the limit of open files");
        }
        limits
    }

    fn lowered_to(mut self, descriptors: Option<u64>) -> Self {
        if let Some(all) = descriptors {
            let left = usize::try_from(all.saturating_sub(OTHER_DESCRIPTORS)).unwrap_or(usize::MAX);
            self.connections = self.connections.min(left).max(1);
        }
        self
    }
}

/// Raises the soft limit on descriptors to the hard one (getrlimit(2)); none where it is unlimited. Container runtimes leave 1,024,
/// for the sake of programs that use select(2).
fn all_descriptors() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if raised.is_ok() { limit.maximum } else { limit.current }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_are_few_connections() {
        let connections = |descriptors| Limits::default().lowered_to(descriptors).connections;
        assert_eq!(connections(None), Limits::default().connections);
        assert_eq!(connections(Some(1 << 20)), Limits::default().connections);
        assert_eq!(connections(Some(OTHER_DESCRIPTORS + 512)), 512);
        assert_eq!(connections(Some(100)), 1);
    }

    #[test]
    fn all_descriptors_that_it_may_have_are_taken() {
        let hard = getrlimit(Resource::Nofile).maximum;
        assert_eq!(all_descriptors(), hard);
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
