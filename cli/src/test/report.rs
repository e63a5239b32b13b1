//! What a run of tests prints.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::{Expect, Fault};
use crate::explain::{Answer, Outcome};
use crate::output::{Format, write_json};

/// One test that was run.
pub(super) struct Run {
    pub(super) file: PathBuf,
    pub(super) line: u32,
    pub(super) name: String,
    /// The moment for which it was decided.
    pub(super) now: String,
    pub(super) expect: Expect,
    pub(super) verdict: Verdict,
    /// None where the question is not one.
    pub(super) outcome: Option<Outcome>,
}

impl Run {
    fn answer(&self) -> Option<&Answer> {
        self.outcome.as_ref()?.as_ref().ok()
    }

    /// Why the handshake failed, where it did.
    fn unverified(&self) -> Option<Fault> {
        self.outcome.as_ref()?.as_ref().err().map(|fault| Fault::from(*fault))
    }
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// With what differs.
    Failed(Vec<String>),
}

pub(super) fn write(out: &mut impl Write, runs: &[Run], format: Format) -> std::io::Result<()> {
    match format {
        Format::Text => write_text(out, runs),
        Format::Json => write_json(out, &runs.iter().map(to_json).collect::<Vec<_>>()),
    }
}

fn to_json(run: &Run) -> serde_json::Value {
    let differences = match &run.verdict {
        Verdict::Passed => &[][..],
        Verdict::Failed(differences) => differences,
    };
    json!({
        "file": run.file, "line": run.line, "name": run.name, "now": run.now, "passed": run.verdict == Verdict::Passed,
        "expect": run.expect, "differences": differences, "answer": run.answer(),
        "unverified": run.unverified(),
    })
}

fn write_text(out: &mut impl Write, runs: &[Run]) -> std::io::Result<()> {
    let mut passed = 0;
    for run in runs {
        match &run.verdict {
            Verdict::Passed => passed += 1,
            Verdict::Failed(differences) => write_failure(out, run, differences)?,
        }
    }
    writeln!(out, "{passed} passed, {} failed", runs.len() - passed)
}

fn write_failure(out: &mut impl Write, run: &Run, differences: &[String]) -> std::io::Result<()> {
    writeln!(out, "FAILED {}:{}: {}", run.file.display(), run.line, run.name)?;
    for difference in differences {
        writeln!(out, "  {difference}")?;
    }
    writeln!(out, "  at {}", run.now)?;
    let Some(answer) = run.answer() else { return writeln!(out) };
    let rule = answer
        .rule
        .as_ref()
        .map_or_else(|| "no rule".to_owned(), |rule| format!("rule {} `{}`", rule.index, rule.path));
    let code = [answer.code, answer.detail].into_iter().flatten().collect::<Vec<_>>().join("/");
    writeln!(
        out,
        "  came: {} {} {code}, by {rule} of {}{}",
        answer.effect,
        answer.status,
        answer.policy.as_deref().unwrap_or("no policy"),
        if answer.audit && matches!(run.expect, Expect::Allow(_)) {
            "; let pass in Audit: expect `{deny: {audit: true}}`"
        } else {
            ""
        }
    )?;
    for check in &answer.checks {
        let mark = if check.pass { "pass" } else { "FAIL" };
        writeln!(out, "  {mark} {}: wanted {}, got {}", check.check, check.wanted, check.got)?;
    }
    writeln!(out)
}
