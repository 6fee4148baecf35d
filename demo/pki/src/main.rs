//! Writes the demo's certificates and keys into a directory, or one that expires soon to standard output.

use std::{path::Path, process::ExitCode, time::SystemTime};

use demo_pki::Pki;

const USAGE: &str = "usage: demo-pki DIRECTORY
       demo-pki --short-lived SECONDS";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--short-lived", seconds] => seconds.parse().map_or_else(|_| misused(), print_short_lived),
        [directory] if !directory.starts_with('-') => write_to(Path::new(directory)),
        _ => misused(),
    }
}

fn misused() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Prints a certificate as an entry of `pki.json`.
fn print_short_lived(seconds: u64) -> ExitCode {
    #[allow(clippy::disallowed_methods, reason = "the certificate is to expire soon, not some day")]
    let now = SystemTime::now();
    println!("{}", Pki::new().short_lived(now, seconds).to_json());
    ExitCode::SUCCESS
}

fn write_to(directory: &Path) -> ExitCode {
    match Pki::new().write_to(directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-pki: cannot write {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}
