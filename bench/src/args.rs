//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Simulated sidecars against a real operator on the API server that KUBECONFIG names.
///
/// Exit codes: 0 everything happened, 1 something failed, 2 the command line cannot be used. Times are never judged.
#[derive(Clone, Debug, Parser)]
#[command(name = "doorward-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Connects sidecars, and measures memory, idle time, and changes to all of them
    Sidecars(Sidecars),
    /// Makes pods and policies, and measures how soon a change is accepted and published
    Policies(Policies),
}

/// What both need.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Where sidecars reach the operator
    #[arg(long, value_name = "URL", default_value = "https://localhost:8443")]
    pub(crate) operator: String,
    /// The certificates that vouch for it, in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: PathBuf,
    /// The operator's process, where it runs on this machine: its memory and processor time
    #[arg(long, value_name = "PID")]
    pub(crate) pid: u32,
    /// Begins the names of namespaces; they must not be there
    #[arg(long, value_name = "PREFIX", default_value = "bench")]
    pub(crate) namespace: String,
    /// Seconds of quiet over which idle time is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) idle: u64,
    /// How it is written
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Sidecars {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Streams
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) count: usize,
    /// Changes of the policy of all of them
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) changes: usize,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Policies {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Pods in all
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) pods: usize,
    /// Policies in all, each for an equal part of the pods
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) policies: usize,
    /// Namespaces, each with an equal part of the policies
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) namespaces: usize,
    /// Changes of a policy, one after the other
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) changes: usize,
    /// The operator's log, in JSON with `operator::engine=debug`: it tells how long compiling takes
    #[arg(long, value_name = "FILE")]
    pub(crate) log: PathBuf,
}

/// How the outcome is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}
