//! From API objects to rulesets and diagnostics, without any I/O: files and the API server end before here.
//!
//! [`source`] reads text into JSON with places, [`shape`] compares it with the schema, [`compile`] resolves and checks what
//! the schema cannot.

pub mod diagnostic;
mod lower;
mod selector;
pub mod shape;
pub mod source;

pub use lower::{
    Compiled, ConfigMaps, DEFAULT_NAMESPACE, Settings, compile, config_maps_of, duration, machine_time, network,
};
pub use selector::selects;
