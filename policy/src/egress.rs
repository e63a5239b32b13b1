//! What may be connected to because a policy names it: URLs of providers, and the addresses behind them.
//!
//! Whoever writes a policy chooses where the operator connects. Without bounds that would reach the cluster's own network,
//! the node, and the cloud's metadata service (server-side request forgery).

mod address;
mod url;

pub use address::{AddressKind, Forbidden, LOOPBACK, check};
pub use url::{HttpUrl, UrlFault};
