//! The proxy beside the application: TLS in, a decision for every request, HTTP/1.1 or HTTP/2 to the application.
//!
//! The way of a connection: `listener` accepts it, [`tls`] proves who calls, `connection` speaks HTTP on it. The way of
//! a request is one function in `proxy`. What is decided with stands in [`state`], filled by a [`source`]; every bound and
//! time stands in [`limits`].

mod access_log;
mod admin;
pub mod agent;
mod answer;
mod backoff;
mod body;
pub mod capture;
mod captured;
mod certificate;
mod connection;
mod denials;
mod drain;
pub mod drain_socket;
mod events;
mod executor;
mod guard;
mod link;
mod listener;
mod metrics;
mod places;
mod probe;
mod proxy;
mod request_id;
mod seats;
mod sockets;
mod tokens;
mod unknown_key;
mod upstream;
mod worker;

pub mod clock;
pub mod limits;
pub mod log;
pub mod settings;
pub mod source;
pub mod state;
pub mod tls;

pub use access_log::AccessLog;
pub use captured::Capture;
pub use clock::Clock;
pub use drain::{DrainTimes, Drained};
pub use limits::Limits;
pub use link::{AddressFault, OperatorAddress};
pub use log::{Level, Log};
pub use settings::{Binding, PortSettings, Settings};
pub use sockets::BindError;
pub use state::State;
pub use tls::ServerCertificate;
pub use unknown_key::Refetch;
pub use worker::{Running, StartError, start};
