//! Keys, tokens and certificates for development: the demo, `doorward token`, and tests. Nothing here belongs into
//! production, and nothing of it is kept.

mod ca;
mod key;

pub use ca::{DevCa, Issued, Names};
pub use key::{DevKey, unsigned};
