//! Where configuration comes from.

pub mod file;
pub mod operator;
pub mod volume;
