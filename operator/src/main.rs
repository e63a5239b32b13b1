//! The binary `doorward-operator`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use operator::args::{Args, LogFormat};
use tracing_subscriber::EnvFilter;

/// The command line cannot be used (clap's own code for it).
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let Ok(filter) = args.log_level.parse::<EnvFilter>() else {
        say(&format!("--log-level: `{}`: write error, warn, info or debug", args.log_level));
        return ExitCode::from(USAGE);
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(operator::runtime::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A line for whoever runs it; one that cannot be written is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "doorward-operator: {text}");
}
