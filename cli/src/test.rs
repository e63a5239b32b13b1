//! `doorward test`: policy tests, written by users; our own corpus has the same form.

mod expect;
mod report;
mod suite;

pub use expect::{Allow, Deny, DenyText, Expect, Fault, Own, differences};
pub use suite::{Case, DEFAULT_NOW, Suite};

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ipnet::{Ipv4Net, Ipv6Net};

use crate::explain::{Judge, NamedCas, Request, named_cas};
use crate::load;
use crate::output::{Exit, Format};
use report::{Run, Verdict};

/// What `test` is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files with tests; docs/testing.md describes them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Certificates of a CA that no file of policies holds, such as the built-in one
    #[arg(long, value_name = "NAME=FILE")]
    client_ca: Vec<String>,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the command.
///
/// # Errors
/// Where a file holds no tests, or a policy is refused.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    let cas = named_cas(&args.client_ca)?;
    let mut runs = Vec::new();
    for file in &args.files {
        let suite = Suite::read(file)?;
        runs.extend(run_suite(&suite, &cas).with_context(|| format!("`{}`", file.display()))?);
    }
    report::write(out, &runs, args.output)?;
    Ok(if runs.iter().any(|run| run.outcome.is_none()) {
        Exit::Unusable
    } else if runs.iter().any(|run| run.verdict != Verdict::Passed) {
        Exit::Refused
    } else {
        Exit::Ok
    })
}

/// The policies of a suite, ready to decide; `cas` are certificates that no file of it holds.
///
/// # Errors
/// Where a policy is refused, or a file cannot be read.
pub fn judge(suite: &Suite, cas: &NamedCas) -> anyhow::Result<Judge> {
    let (policies, _) = load::load_usable(&suite.policies, &anywhere())?;
    Judge::new(policies, cas)
}

/// Tests fetch nothing, so any place of keys will do.
fn anywhere() -> compile::Settings {
    let everything = [Ipv4Net::default().into(), Ipv6Net::default().into()];
    compile::Settings { allowed_networks: everything.to_vec(), ..compile::Settings::default() }
}

fn run_suite(suite: &Suite, cas: &NamedCas) -> anyhow::Result<Vec<Run>> {
    let judge = judge(suite, cas)?;
    Ok(suite.tests.iter().map(|case| run_case(&judge, case, &suite.file)).collect())
}

fn run_case(judge: &Judge, case: &Case, file: &Path) -> Run {
    let request = with_host(judge, case);
    let outcome = judge.answer(&request);
    let found = match &outcome {
        Ok(outcome) => differences(case, outcome),
        Err(error) => vec![format!("{error:#}")],
    };
    let verdict = if found.is_empty() { Verdict::Passed } else { Verdict::Failed(found) };
    Run {
        file: file.to_owned(),
        line: case.line,
        name: case.name.clone(),
        now: case.request.now.map(|now| now.to_string()).unwrap_or_default(),
        expect: case.expect.clone(),
        verdict,
        outcome: outcome.ok(),
    }
}

/// The request of a case with a Host: its own, or the first of the policy's by which a rule is found, or `localhost`.
#[must_use]
pub fn with_host(judge: &Judge, case: &Case) -> Request {
    let named = case.request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    if named {
        return case.request.clone();
    }
    let at = |host: &str| {
        let mut request = case.request.clone();
        request.headers.insert(0, ("host".to_owned(), host.to_owned()));
        request
    };
    let finds_rule =
        |request: &Request| matches!(judge.answer(request), Ok(Ok(answer)) if answer.code != Some("no_rule"));
    let hosts = std::iter::once("localhost".to_owned()).chain(judge.hosts());
    hosts.map(|host| at(&host)).find(finds_rule).unwrap_or_else(|| at("localhost"))
}
