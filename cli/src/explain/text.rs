//! An answer for people.

use std::io::Write;

use super::Answer;

/// Writes an answer as text.
///
/// # Errors
/// Where writing fails.
pub fn write_text(out: &mut impl Write, answer: &Answer) -> std::io::Result<()> {
    let code = [answer.code, answer.detail].into_iter().flatten().collect::<Vec<_>>().join("/");
    writeln!(out, "{} {} {code}", answer.effect, answer.status)?;
    if let Some(policy) = &answer.policy {
        writeln!(out, "policy     {policy}")?;
    }
    match &answer.rule {
        Some(rule) => writeln!(out, "rule       {} {}", rule.index, rule.path)?,
        None => writeln!(out, "rule       none")?,
    }
    if let Some(challenge) = &answer.challenge {
        writeln!(out, "challenge  {challenge}")?;
    }
    for check in &answer.checks {
        let mark = if check.pass { "pass" } else { "FAIL" };
        writeln!(out, "{mark}       {}: wanted {}, got {}", check.check, check.wanted, check.got)?;
    }
    if let Some(forward) = &answer.forward {
        writeln!(out, "forward    {}", forward.target)?;
        for (name, value) in &forward.set {
            writeln!(out, "set        {name}: {value}")?;
        }
        for name in &forward.removed {
            writeln!(out, "removed    {name}")?;
        }
    }
    Ok(())
}
