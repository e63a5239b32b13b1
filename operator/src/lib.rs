//! The operator: watches policies and pods, compiles, and tells every sidecar what is in force.
//!
//! The way of a change: [`watch`] sees it, [`engine`] gathers, [`compiler`] makes of the [`world`] what every pod should run,
//! the [`hub`] hands it to the open streams of [`serve`], and [`status`] says what came of it. The way of a pod that is made:
//! [`admission`] is asked, [`inject`] says what stands in it.

pub mod admission;
mod api_server;
pub mod args;
pub mod ca;
pub mod cache;
pub mod compiler;
pub mod engine;
pub mod hub;
pub mod inject;
pub mod keys;
pub mod lease;
pub mod limits;
pub mod metrics;
mod moment;
pub mod objects;
pub mod runtime;
pub mod serve;
pub mod status;
pub mod watch;
pub mod world;
