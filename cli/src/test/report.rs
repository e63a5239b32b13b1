//! What a run of tests prints.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::Expect;
use crate::explain::Answer;
use crate::output::{Format, write_json};

/// One test that was run.
pub(super) struct Outcome {
    pub(super) file: PathBuf,
    pub(super) line: u32,
    pub(super) name: String,
    /// The moment for which it was decided.
    pub(super) now: String,
    pub(super) expect: Expect,
    pub(super) verdict: Verdict,
    pub(super) answer: Option<Answer>,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// With what differs.
    Failed(Vec<String>),
}

pub(super) fn write(out: &mut impl Write, outcomes: &[Outcome], format: Format) -> std::io::Result<()> {
    match format {
        Format::Text => write_text(out, outcomes),
        Format::Json => write_json(out, &outcomes.iter().map(to_json).collect::<Vec<_>>()),
    }
}

fn to_json(outcome: &Outcome) -> serde_json::Value {
    let differences = match &outcome.verdict {
        Verdict::Passed => &[][..],
        Verdict::Failed(differences) => differences,
    };
    json!({
        "file": outcome.file, "line": outcome.line, "name": outcome.name, "now": outcome.now, "passed": outcome.verdict == Verdict::Passed,
        "expect": outcome.expect, "differences": differences, "answer": outcome.answer,
    })
}

fn write_text(out: &mut impl Write, outcomes: &[Outcome]) -> std::io::Result<()> {
    let mut passed = 0;
    for outcome in outcomes {
        match &outcome.verdict {
            Verdict::Passed => passed += 1,
            Verdict::Failed(differences) => write_failure(out, outcome, differences)?,
        }
    }
    writeln!(out, "{passed} passed, {} failed", outcomes.len() - passed)
}

fn write_failure(out: &mut impl Write, outcome: &Outcome, differences: &[String]) -> std::io::Result<()> {
    writeln!(out, "FAILED {}:{}: {}", outcome.file.display(), outcome.line, outcome.name)?;
    for difference in differences {
        writeln!(out, "  {difference}")?;
    }
    let Some(answer) = &outcome.answer else { return writeln!(out) };
    let rule = answer
        .rule
        .as_ref()
        .map_or_else(|| "no rule".to_owned(), |rule| format!("rule {} `{}`", rule.index, rule.path));
    writeln!(out, "  at {}", outcome.now)?;
    let code = [answer.code, answer.detail].into_iter().flatten().collect::<Vec<_>>().join("/");
    writeln!(
        out,
        "  came: {} {} {code}, by {rule} of {}",
        answer.effect,
        answer.status,
        answer.policy.as_deref().unwrap_or("no policy")
    )?;
    for check in &answer.checks {
        let mark = if check.pass { "pass" } else { "FAIL" };
        writeln!(out, "  {mark} {}: wanted {}, got {}", check.check, check.wanted, check.got)?;
    }
    writeln!(out)
}
