//! The keys of token issuers: found, fetched within bounds, refreshed, and kept when a provider fails.
//!
//! [`fetch`] is one guarded GET and knows nothing of keys. [`discovery`] finds out where an issuer's keys are. [`Keys`] keeps
//! the sets of all issuers that are wanted; each has a task of its own, so that none waits for another's provider.

pub mod connect;
pub mod discovery;
pub mod fetch;
mod guard;
mod keys;
pub mod limits;
mod provider;
mod refresh;
mod trust;

pub use connect::{Connect, Stream, Tcp};
pub use fetch::{FetchError, Fetched, Fetcher};
pub use keys::{Fault, Keys, Known, Settings, Status};
pub use provider::KeysError;
pub use trust::{BadBundle, Trust};
