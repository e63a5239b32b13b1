//! The binary `doorward-sidecar`: the proxy of a pod, from the operator or from a snapshot file, and what stands beside it.

mod command;

fn main() -> std::process::ExitCode {
    command::run()
}
