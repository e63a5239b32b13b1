//! The operator's server through its sockets: real TLS, real HTTP, an API server that says whose a token is.

#![expect(clippy::unwrap_used, reason = "a helper of tests that cannot go on has failed its test")]
#![expect(clippy::panic, reason = "as above")]

mod bounds;
mod certificates;
mod health;
mod reports;
mod scale;
mod streams;
mod support;
