//! What every command prints, and what its exit code means.

use std::io::Write;
use std::process::ExitCode;

use clap::ValueEnum;
use compile::diagnostic::Diagnostic;
use serde::Serialize;

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// How a command ended. The numbers are a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything is as it should be.
    Ok = 0,
    /// 1: a policy is refused, a test failed, or something differs from what was expected.
    Refused = 1,
    /// 2: the input cannot be used: arguments, files, lines.
    Unusable = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Writes diagnostics, a line each.
///
/// # Errors
/// Where writing fails.
pub fn write_diagnostics(to: &mut impl Write, diagnostics: &[Diagnostic]) -> std::io::Result<()> {
    diagnostics.iter().try_for_each(|diagnostic| writeln!(to, "{diagnostic}"))
}

/// Writes one JSON document and a line break.
///
/// # Errors
/// Where writing fails.
pub fn write_json(to: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, value)?;
    writeln!(to)
}
