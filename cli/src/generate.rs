//! `doorward generate`: what is generated and committed.

use std::io::Write;

use crate::output::Exit;

/// What `generate` is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to write to standard output
    #[arg(value_enum)]
    what: What,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// The CustomResourceDefinition of ApiAuthPolicy, as `kubectl apply` takes it
    Crds,
}

/// Runs the command.
///
/// # Errors
/// Where writing fails.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    match args.what {
        What::Crds => out.write_all(crds::manifest()?.as_bytes())?,
    }
    Ok(Exit::Ok)
}
