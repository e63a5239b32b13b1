//! What the process says about itself, one line at a time, on standard error. Nothing secret comes here.

use crate::state::in_full;
use std::io::Write;

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What does not work.
    Error,
    /// What may not work for long.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// What is tried.
    Debug,
}

/// Where it is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log {
    level: Option<Level>,
}

impl Level {
    /// By its name in `DOORWARD_LOG_LEVEL`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            _ => return None,
        })
    }
}

impl Log {
    /// Says nothing: for a proxy inside another program.
    #[must_use]
    pub fn off() -> Self {
        Self { level: None }
    }

    /// Says what is at least as bad, on standard error.
    #[must_use]
    pub fn stderr(level: Level) -> Self {
        Self { level: Some(level) }
    }

    /// Something does not work.
    pub fn error(&self, error: &dyn std::error::Error) {
        self.say(Level::Error, || in_full(error));
    }

    /// Something is tried again or goes on without what it lacks.
    pub fn warn(&self, what: &str, error: &dyn std::error::Error) {
        self.say(Level::Warn, || format!("{what}: {}", in_full(error)));
    }

    /// Something happened.
    pub fn info(&self, text: &str) {
        self.say(Level::Info, || text.to_owned());
    }

    /// Something is tried.
    pub fn debug(&self, text: &str) {
        self.say(Level::Debug, || text.to_owned());
    }

    fn say(self, level: Level, text: impl FnOnce() -> String) {
        if self.level.is_some_and(|most| level <= most) {
            // A line that cannot be written is no reason to stop.
            let _ = writeln!(std::io::stderr(), "doorward-sidecar: {}", text());
        }
    }
}
