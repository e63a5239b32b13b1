//! `doorward generate`: what is made from the types and the command line alone.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::output::{Exit, write_json};

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
    /// The reference of every field of ApiAuthPolicy, in Markdown
    Docs,
    /// The JSON Schema of ApiAuthPolicy, for editors
    Schemas,
    /// A completion script for bash
    Bash,
    /// A completion script for fish
    Fish,
    /// A completion script for zsh
    Zsh,
}

/// Runs the command.
///
/// # Errors
/// Where writing fails.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    match args.what {
        What::Crds => out.write_all(crds::manifest()?.as_bytes())?,
        What::Docs => out.write_all(crds::reference().as_bytes())?,
        What::Schemas => write_json(out, crds::spec_schema())?,
        What::Bash => complete(Shell::Bash, out),
        What::Fish => complete(Shell::Fish, out),
        What::Zsh => complete(Shell::Zsh, out),
    }
    Ok(Exit::Ok)
}

fn complete(shell: Shell, out: &mut impl Write) {
    clap_complete::generate(shell, &mut Cli::command(), "doorward", out);
}
