//! The pure core of Doorward: what a request means, who sends it, and whether it may pass.
//!
//! Nothing here does I/O, reads a clock or writes a log: time, keys and peers come in as arguments, so the proxy, the
//! command line and the tests reach the same verdict by calling the same functions.
//!
//! The way of a request: [`request`] makes it canonical, [`decide`] asks the [`ruleset`] which rules are left, the [`token`]
//! and the [`certificate`] who sends it, and the rules whether they let it pass; a [`permit`] then lets [`forward`] rewrite it.

pub mod address;
mod authorize;
pub mod certificate;
pub mod claim;
mod cors;
pub mod decide;
pub mod egress;
pub mod forward;
pub mod json;
pub mod keys;
mod listed;
mod metadata;
pub mod peer;
pub mod permit;
pub mod principal;
pub mod reason;
pub mod request;
pub mod ruleset;
#[cfg(test)]
mod testing;
pub mod time;
pub mod token;
pub mod wire;

pub use authorize::CheckReport;
pub use metadata::{ResourceError, check_resource};
