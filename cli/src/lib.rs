//! `doorward`, the command line: check, explain, test, run and demonstrate policies.

pub mod args;
pub mod check;
pub mod demo;
pub mod dev;
pub mod explain;
mod field;
pub mod generate;
pub mod inject;
pub mod issuers;
pub mod load;
pub mod output;
mod pem;
pub mod run;
pub mod snapshot;
pub mod status;
pub mod test;
pub mod token;
