//! Every number that injection and admission write or hold, with what it is derived from.

/// How long an application without a `preStop` goes on when its pod is told to end, in seconds. Endpoints lag behind by one
/// to three seconds on a busy cluster; the sidecar tells callers to go elsewhere for as long.
pub const SLEEP_SECONDS: u32 = 5;
/// What a pod needs beside that for what is in flight, in seconds: most requests end within one, and a shorter grace period
/// cuts them off.
pub const FINISH_SECONDS: u32 = 5;
/// The grace period of a pod that names none, in seconds (Kubernetes).
pub const DEFAULT_GRACE_SECONDS: u64 = 30;
/// What the kubelet waits for longer than the sidecar does for the application, in seconds: the sidecar's own answer must
/// come first, or a slow application looks like a dead sidecar.
pub const PROBE_MARGIN_SECONDS: u32 = 1;
/// The time limit of a probe that names none, in seconds (Kubernetes).
pub const DEFAULT_PROBE_SECONDS: u32 = 1;

/// The token by which the operator knows the pod, in seconds. The kubelet renews it at four fifths; the least that
/// Kubernetes takes is 600, and an hour keeps TokenRequests of 10,000 pods below four a second.
pub const TOKEN_SECONDS: u32 = 3600;
/// The volume that only the sidecar sees. A ruleset may have up to 1 MiB, and there are at most 32; keys and certificates
/// are small. It counts as memory of the sidecar only as far as it is filled.
pub const STATE_SIZE: &str = "64Mi";
/// The volume for the fact of the capture, and that for a caller's certificate: a few KiB.
pub const SMALL_SIZE: &str = "1Mi";

/// The startup probe of the sidecar: its listeners are bound in milliseconds, and every second of waiting is one that the
/// application starts later.
pub const STARTUP_PERIOD_SECONDS: u32 = 1;
/// How often the startup probe may fail: a minute, for a node that starts many pods at once.
pub const STARTUP_FAILURES: u32 = 60;
/// The readiness probe of the sidecar: a pod that lost its capture gets no traffic after two periods.
pub const READINESS_PERIOD_SECONDS: u32 = 2;
/// How often the readiness probe may fail.
pub const READINESS_FAILURES: u32 = 2;
/// The liveness probe of the sidecar: only a process that hangs fails it, and half a minute of that is certain.
pub const LIVENESS_PERIOD_SECONDS: u32 = 10;
/// How often the liveness probe may fail.
pub const LIVENESS_FAILURES: u32 = 3;
/// What any of the three may take: the answer is ready in the sidecar, so this is for a node without time.
pub const OWN_PROBE_SECONDS: u32 = 3;

/// What the capture container may use: it writes one table of nftables, reads it back, and ends.
pub const CAPTURE_CPU: &str = "10m";
/// See [`CAPTURE_CPU`].
pub const CAPTURE_MEMORY: &str = "32Mi";
/// What the agent for callers may use: one stream, and one key pair a day.
pub const AGENT_CPU: &str = "10m";
/// What the agent asks for.
pub const AGENT_MEMORY: &str = "32Mi";
/// The most that the agent may take.
pub const AGENT_MEMORY_LIMIT: &str = "64Mi";

/// The least processor time that a sidecar may have, in thousandths: Kubernetes knows no smaller unit.
pub const LEAST_CPU_MILLIS: u64 = 1;
/// The most: no node has more, and a slip (`100` for `100m`) should be told here.
pub const MOST_CPU_MILLIS: u64 = 64_000;
/// The least memory that a sidecar may have, in bytes: below, it cannot start.
pub const LEAST_MEMORY: u64 = 32 << 20;
/// The most memory in bytes.
pub const MOST_MEMORY: u64 = 64 << 30;
