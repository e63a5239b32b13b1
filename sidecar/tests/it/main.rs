//! The proxy through its sockets: real TLS, real HTTP, an application that records what reaches it.

#![expect(clippy::unwrap_used, reason = "a helper of tests that cannot go on has failed its test")]
#![expect(clippy::expect_used, reason = "as above")]
#![expect(clippy::indexing_slicing, reason = "as above")]

mod attacks;
mod binary;
mod bounds;
mod capacity;
mod capture;
mod decisions;
mod drain;
mod framing;
mod grpc;
mod http2;
mod hygiene;
mod modes;
mod observability;
mod operator;
mod pod;
mod probes;
mod reload;
mod streams;
mod support;
mod upstream;
mod websocket;
