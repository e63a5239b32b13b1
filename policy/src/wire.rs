//! Compiled policies as they travel and are stored: versioned, every field known to both ends.
//!
//! A [`Body`] is plain data; only [`Ruleset::new`](crate::ruleset::Ruleset::new) makes it something that decides.

mod body;
mod message;
mod pod;
mod stream;

pub use body::*;
pub use message::*;
pub use pod::*;
pub use stream::*;
