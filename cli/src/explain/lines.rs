//! Requests a line, answers a line, in order.

use std::io::{BufRead, Read as _, Write};

use anyhow::Context as _;
use serde_json::json;

use crate::field;

use super::{Judge, Request, no_handshake};

/// How many lines were answered, and how many were no requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Lines with a decision.
    pub answered: u64,
    /// Lines with an error.
    pub bad: u64,
}

/// The longest line in bytes: the largest request head that passes, doubled for JSON escapes, and a certificate chain.
const MAX_LINE: usize = 1024 * 1024;

/// Answers every line of `input`. A line that is no request gets `{"error":…,"line":n}`.
///
/// # Errors
/// Where reading or writing fails.
pub fn answer_lines(
    judge: &Judge,
    input: &mut impl BufRead,
    output: &mut impl Write,
    redact: bool,
) -> anyhow::Result<Lines> {
    let mut lines = Lines::default();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        // One byte more than allowed is enough to refuse a line; the rest of it is then skipped.
        let mut bounded = (&mut *input).take(MAX_LINE as u64 + 1);
        if bounded.read_until(b'\n', &mut line).context("cannot read the requests")? == 0 {
            return Ok(lines);
        }
        if line.len() > MAX_LINE && !line.ends_with(b"\n") {
            input.skip_until(b'\n').context("cannot read the requests")?;
        }
        match answer(judge, &line) {
            Ok(mut answer) => {
                if redact {
                    answer.redact();
                }
                lines.answered += 1;
                serde_json::to_writer(&mut *output, &answer)?;
            }
            Err(error) => {
                lines.bad += 1;
                serde_json::to_writer(&mut *output, &json!({"error": format!("{error:#}"), "line": number}))?;
            }
        }
        output.write_all(b"\n")?;
        if input.fill_buf().is_ok_and(<[u8]>::is_empty) {
            output.flush()?;
        }
    }
    Ok(lines)
}

fn answer(judge: &Judge, line: &[u8]) -> anyhow::Result<super::Answer> {
    anyhow::ensure!(line.len() <= MAX_LINE, "a line is longer than {MAX_LINE} bytes");
    anyhow::ensure!(!line.trim_ascii().is_empty(), "the line is empty, not a request");
    let mut line = serde_json::Deserializer::from_slice(line);
    let request: Request = field::read(&mut line).map_err(|fault| anyhow::anyhow!("not a request: {}", fault.text))?;
    line.end().context("not a request")?;
    judge.answer(&request)?.map_err(no_handshake)
}
