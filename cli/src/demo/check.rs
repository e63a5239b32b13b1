//! `demo --check`: runs the very commands that the demo prints.

use std::io::Write;
use std::process::{Command, Output};

use anyhow::Context as _;
use serde_json::Value;

use super::setup::Folder;
use super::steps::{Expected, Step};
use crate::dev::App;
use crate::output::Exit;

/// curl's exit codes for a handshake that fails while connecting, sending or receiving (with TLS 1.3 the server's alert
/// arrives after the client is done).
const HANDSHAKE_FAILED: [i32; 3] = [35, 55, 56];

pub(super) fn run(steps: &[Step], folder: &Folder, app: &App, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut different = 0;
    for step in steps {
        let seen = app.seen();
        let output = shell(&step.command, folder)?;
        let got = describe(step, &output);
        // A refusal that the API heard of is none.
        let reached = app.seen() != seen;
        let ok = matches(step, &output) && reached == matches!(step.expected, Expected::Allowed(_));
        different += usize::from(!ok);
        let mark = if ok { "ok  " } else { "FAIL" };
        writeln!(
            out,
            "{mark} {}\n     {}\n     expected: {}\n     got:      {got}",
            step.story, step.command, step.expected
        )?;
    }
    writeln!(out, "\n{} passed, {different} failed", steps.len() - different)?;
    Ok(if different == 0 { Exit::Ok } else { Exit::Refused })
}

/// Runs a line as it is printed, the status written behind the answer.
fn shell(command: &str, folder: &Folder) -> anyhow::Result<Output> {
    let command = format!("{command} -w '\\n%{{http_code}}'");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &command])
        .env("D", folder.root())
        .env_remove("https_proxy")
        .env_remove("HTTPS_PROXY")
        .env("no_proxy", "*");
    shell.output().context("cannot run `sh`; the demo's commands need it, and `curl`")
}

fn status_and_body(output: &Output) -> (u16, Value) {
    let text = String::from_utf8_lossy(&output.stdout);
    let (body, status) = text.trim_end().rsplit_once('\n').unwrap_or(("", &text));
    (status.trim().parse().unwrap_or(0), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn matches(step: &Step, output: &Output) -> bool {
    let (status, body) = status_and_body(output);
    match step.expected {
        Expected::NoConnection => output.status.code().is_some_and(|code| HANDSHAKE_FAILED.contains(&code)),
        Expected::Denied(wanted, code, detail) => {
            status == wanted
                && body.get("code").and_then(Value::as_str) == Some(code)
                && body.get("detail").and_then(Value::as_str) == detail
        }
        Expected::Allowed(headers) => {
            let header =
                |name: &str| body.pointer("/headers").and_then(|headers| headers.get(name)).and_then(Value::as_str);
            status == 200 && headers.iter().all(|(name, value)| header(name) == *value)
        }
    }
}

fn describe(step: &Step, output: &Output) -> String {
    let (status, body) = status_and_body(output);
    if status == 0 {
        let reason = String::from_utf8_lossy(&output.stderr);
        return format!("no connection ({})", reason.trim().lines().next().unwrap_or_default());
    }
    let word = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    match (word("code"), step.expected) {
        (Some(code), _) => {
            format!("{status} {}", [Some(code), word("detail")].into_iter().flatten().collect::<Vec<_>>().join("/"))
        }
        (None, Expected::Allowed(headers)) => {
            let header = |(name, _): &(&str, _)| {
                let value = body.pointer("/headers").and_then(|headers| headers.get(*name)).and_then(Value::as_str);
                value.map_or_else(|| format!(" no {name};"), |value| format!(" {name}: {value};"))
            };
            format!("{status}, and the API got{}", headers.iter().map(header).collect::<String>())
        }
        (None, _) => format!("{status}, an answer of the API"),
    }
}
