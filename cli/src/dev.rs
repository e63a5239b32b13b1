//! Keys, tokens and certificates for development: the demo, `doorward token`, and tests. Nothing here belongs into
//! production, and nothing of it is kept.

mod app;
mod ca;
mod key;

pub use app::App;
pub use ca::{DevCa, Issued, Names};
pub use key::{DevKey, unsigned};
