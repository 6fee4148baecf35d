//! Writes the demo's certificates and keys into a directory.

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [directory] = arguments.as_slice() else {
        eprintln!("usage: demo-pki DIRECTORY");
        return ExitCode::from(2);
    };
    let directory = Path::new(directory);
    match demo_pki::Pki::new().write_to(directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-pki: cannot write {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}
