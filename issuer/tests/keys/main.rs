//! Keys from providers that misbehave, over a network in memory and with time that the tests move.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of tests that cannot go on has failed its test"
)]

mod guard;
mod misbehaves;
mod network;
mod refresh;
mod sockets;
