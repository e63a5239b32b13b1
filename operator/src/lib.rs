//! The operator: watches policies and pods, compiles, and tells every sidecar what is in force.

pub mod admission;
pub mod hub;
pub mod inject;
