//! The binary `doorward`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::args::run(cli::args::Cli::parse()).into()
}
