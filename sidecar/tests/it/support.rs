//! What every test stands on.

mod app;
mod client;
mod fixture;
mod h2_app;
mod pki;
mod tokens;

pub(crate) use app::{App, RawApp};
pub(crate) use client::{Client, read_all};
pub(crate) use fixture::{Fixture, body, eventually, snapshot};
pub(crate) use h2_app::{H2App, Script};
pub(crate) use pki::{Ca, Identity, Usage};
pub(crate) use tokens::Signer;
