//! Where configuration comes from.

pub mod file;
