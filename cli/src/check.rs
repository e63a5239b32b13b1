//! `doorward check`: compile policies and say what is found, with places.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use crate::issuers::{self, IssuerArgs};
use crate::load;
use crate::output::{Exit, Format, write_diagnostics, write_json};

/// What `check` is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files with policies, and the ConfigMaps that they refer to; `-` is standard input
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// More files
    #[arg(value_name = "FILE")]
    more: Vec<PathBuf>,
    #[command(flatten)]
    issuers: IssuerArgs,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the command.
///
/// # Errors
/// Where no file is given, or one cannot be read.
pub fn run(args: Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    let files: Vec<PathBuf> = args.files.into_iter().chain(args.more).collect();
    anyhow::ensure!(!files.is_empty(), "give a file: `doorward check policy.yaml`");
    let loaded = load::load(&files, &args.issuers.compile_settings())?;
    let refused = loaded.is_refused();
    let nothing = loaded.policies.is_empty() && loaded.diagnostics.is_empty();
    match args.output {
        Format::Json => write_json(
            out,
            &json!({
                "ok": !refused && !nothing,
                "policies": loaded.policies.iter().map(|policy| json!({
                    "namespace": policy.body.policy.namespace, "name": policy.body.policy.name, "rules": policy.body.rules.len(),
                    "fetched": issuers::described(policy).map(|(name, from)| json!({"issuer": name, "from": from})).collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
                "diagnostics": loaded.diagnostics,
                "skipped": loaded.skipped,
            }),
        )?,
        Format::Text => {
            write_diagnostics(out, &loaded.diagnostics)?;
            for policy in &loaded.policies {
                let name = &policy.body.policy;
                writeln!(out, "{}/{}: accepted, {} rules", name.namespace, name.name, policy.body.rules.len())?;
                if policy.body.cors.is_none() {
                    writeln!(out, "  pages of other origins cannot call it from a browser: it has no `cors`")?;
                }
                for (issuer, from) in issuers::described(policy) {
                    writeln!(out, "  keys of `{issuer}` are fetched at run time: {from}")?;
                }
            }
            for skipped in &loaded.skipped {
                writeln!(out, "skipped: {skipped}")?;
            }
            if nothing {
                let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
                writeln!(out, "no ApiAuthPolicy in {}", names.join(", "))?;
            }
        }
    }
    Ok(if nothing {
        Exit::Unusable
    } else if refused {
        Exit::Refused
    } else {
        Exit::Ok
    })
}
