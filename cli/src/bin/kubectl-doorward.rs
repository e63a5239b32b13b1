//! The binary `kubectl-doorward`: `kubectl doorward …` is `doorward …`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::args::execute(cli::args::Cli::parse()).into()
}
