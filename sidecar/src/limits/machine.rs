//! What the machine allows this process, and the bounds that follow.

use super::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are no connections: files, runtimes, listeners, the admin port.
const OTHER_DESCRIPTORS: u64 = 64;
/// A connection has one descriptor, and one more to the application.
const DESCRIPTORS_EACH: u64 = 2;
/// What a connection may take before anybody is known on it: rustls and hyper at rest about 45 KiB, 130 KiB with a head of
/// [`H1_HEAD`](super::H1_HEAD) that does not end.
const MEMORY_EACH: u64 = 128 * 1024;
/// What the process takes at rest.
const MEMORY_AT_REST: u64 = 12 << 20;

impl Limits {
    /// The defaults, lowered to what this process may use; of its descriptors it takes all that it may have.
    #[must_use]
    pub fn of_this_process(workers: usize) -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let descriptors = all_descriptors();
        // A process in a container sees its own limits here; without one the file is not there or says `max`.
        let memory = read("/sys/fs/cgroup/memory.max").trim().parse().ok();
        Self::default().lowered_to(descriptors, memory, workers)
    }

    /// Three quarters of the memory are for the process at rest and for connections, an eighth for verified tokens; the rest is
    /// for bodies, rules and keys.
    fn lowered_to(mut self, descriptors: Option<u64>, memory: Option<u64>, workers: usize) -> Self {
        let by_descriptors = descriptors.map(|all| all.saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS_EACH);
        let by_memory = memory.map(|all| (all / 4 * 3).saturating_sub(MEMORY_AT_REST) / MEMORY_EACH);
        for bound in [by_descriptors, by_memory].into_iter().flatten() {
            self.connections = self.connections.min(usize::try_from(bound).unwrap_or(usize::MAX)).max(1);
        }
        if let Some(memory) = memory {
            let each = usize::try_from(memory / 8).unwrap_or(usize::MAX) / workers.max(1);
            self.token_cache = self.token_cache.min(each);
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
    fn descriptors_and_memory_lower_the_bounds() {
        let limits = |descriptors, memory, workers| {
            let limits = Limits::default().lowered_to(descriptors, memory, workers);
            (limits.connections, limits.token_cache)
        };
        let default = (Limits::default().connections, Limits::default().token_cache);
        assert_eq!(limits(None, None, 2), default);
        assert_eq!(limits(Some(1024), None, 2), (480, default.1));
        assert_eq!(limits(None, Some(64 << 20), 2), (288, 4 << 20));
        assert_eq!(limits(Some(512), Some(64 << 20), 1), (224, 8 << 20));
        assert_eq!(limits(None, Some(512 << 20), 1).0, 2976);
        assert_eq!(limits(Some(10), None, 1).0, 1);
    }

    #[test]
    fn all_descriptors_that_it_may_have_are_taken() {
        let hard = getrlimit(Resource::Nofile).maximum;
        assert_eq!(all_descriptors(), hard);
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
