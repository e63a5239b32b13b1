//! `doorward-bench`: simulated sidecars and many pods against a real operator on a real API server.
//!
//! The control rung of `e2e/cluster` is enough: pods are objects, and nobody runs them. `make bench-operator` does it all.

mod args;
mod fleet;
mod limits;
mod operator;
mod policies;
mod process;
mod report;
mod scene;
mod sidecar;
mod sidecars;
mod summary;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;
use report::note;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (outcome, output) = match &cli.command {
        Command::Sidecars(args) => (runtime.block_on(sidecars::run(args))?, args.common.output),
        Command::Policies(args) => (runtime.block_on(policies::run(args))?, args.common.output),
    };
    outcome.write(output)?;
    Ok(())
}
