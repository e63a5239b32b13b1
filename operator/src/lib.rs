//! The operator: watches policies and pods, compiles, and tells every sidecar what is in force.

pub mod ca;
pub mod hub;
pub mod limits;
pub mod metrics;
pub mod serve;
