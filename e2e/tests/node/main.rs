//! Doorward as it is installed, on a real node: `make e2e-node`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a helper of tests that cannot go on has failed its test"
)]

mod caller;
mod manifests;
mod provider;
mod release;
mod scene;

mod agent;
mod agreement;
mod bind;
mod documents;
mod first;
mod migration;
mod probes;
mod rolling;
mod webhook;
