//! What came of a run, as a table or as JSON.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::args::Output;
use crate::process::load;
use crate::summary::Summary;

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    title: String,
    /// The machine's load over a minute, when the run began and when it ended.
    load: [f64; 2],
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'static str>,
}

impl Outcome {
    pub(crate) fn new(title: String) -> Self {
        Self { title, load: [load(); 2], rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.rows.push(Row { what: what.into(), value, unit, target: None });
    }

    /// With what is aimed at beside it.
    pub(crate) fn against(&mut self, what: impl Into<String>, value: f64, unit: &'static str, target: &'static str) {
        self.rows.push(Row { what: what.into(), value, unit, target: Some(target) });
    }

    /// Milliseconds, with what is aimed at beside the 99th percentile.
    pub(crate) fn times(&mut self, what: &str, summary: Summary, target: Option<&'static str>) {
        self.add(format!("{what}: p50"), summary.p50, "ms");
        self.rows.push(Row { what: format!("{what}: p99"), value: summary.p99, unit: "ms", target });
        self.add(format!("{what}: max"), summary.max, "ms");
    }

    pub(crate) fn write(mut self, output: Output) -> io::Result<()> {
        self.load[1] = load();
        let text = match output {
            Output::Table => self.table(),
            Output::Json => serde_json::to_string(&self)? + "\n",
        };
        io::stdout().write_all(text.as_bytes())
    }

    fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or_default();
        let [begin, end] = self.load;
        let mut text = format!("{}; load {begin} at the beginning, {end} at the end\n", self.title);
        for Row { what, value, unit, target } in &self.rows {
            let digits = if *value >= 100.0 || value.fract() == 0.0 { 0 } else { 1 };
            let target = target.map(|target| format!("   target {target}")).unwrap_or_default();
            // A text grows without fail.
            let _ = writeln!(text, "  {what:width$} {value:>10.digits$} {unit}{target}");
        }
        text
    }
}

/// A note on how far a run is, for whoever waits.
pub(crate) fn note(text: &str) {
    // Who does not want to read it does not have to.
    let _ = writeln!(io::stderr(), "doorward-bench: {text}");
}
