//! The command line: checks configurations, reads certificates, and decides requests as the filter would.

#[cfg(target_arch = "wasm32")]
compile_error!("the filter is the library: build it with --lib");

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
