//! Against a real API server, without nodes and controllers: `make e2e-control`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a helper of tests that cannot go on has failed its test"
)]

mod bounds;
mod cases;
mod changes;
mod columns;
mod full;
mod helpers;
mod installed;
mod leader;
mod objects;
mod outages;
mod own_ca;
mod policies;
mod refusals;
mod rights;
mod rotation;
mod scene;
mod size;
mod status;
mod trouble;
