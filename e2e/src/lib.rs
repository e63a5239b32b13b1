//! What tests against a real API server have in common. `make e2e-control` runs them.
//!
//! Nothing here skips: without a cluster, a binary or an audit log a test fails, and says what to do.

#![expect(clippy::print_stderr, reason = "what a failed test leaves behind is shown to whoever looks for the cause")]

pub mod audit;
pub mod client;
pub mod cluster;
pub mod definition;
pub mod faulty;
pub mod figures;
pub mod host;
pub mod identity;
pub mod installation;
pub mod kubectl;
pub mod limits;
pub mod load;
pub mod namespace;
pub mod process;
pub mod provider;
pub mod relay;
pub mod sidecar;
pub mod wait;
