//! The proxy beside the application: TLS in, a decision for every request, HTTP/1.1 or HTTP/2 to the application.
//!
//! The way of a connection: `listener` accepts it, [`tls`] proves who calls, `connection` speaks HTTP on it. The way of
//! a request is one function in `proxy`. What is decided with stands in [`state`], filled by a [`source`]; every bound and
//! time stands in [`limits`].

mod access_log;
mod admin;
mod answer;
mod body;
mod connection;
mod drain;
mod events;
mod executor;
mod guard;
mod listener;
mod metrics;
mod proxy;
mod request_id;
mod tokens;
mod upstream;
mod worker;

pub mod clock;
pub mod limits;
pub mod settings;
pub mod source;
pub mod state;
pub mod tls;

pub use access_log::AccessLog;
pub use clock::Clock;
pub use drain::{DrainTimes, Drained};
pub use limits::Limits;
pub use settings::Settings;
pub use state::State;
pub use tls::ServerCertificate;
pub use worker::{Running, StartError, start};
