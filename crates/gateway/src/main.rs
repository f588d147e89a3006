//! Starts `segwan`: reads the command line, runs the command, ends with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    segwan_gateway::cli::main()
}
