//! The edge to people and scripts: reads files, asks the library, prints what it says.

mod bootstrap;
mod check;
mod configuration;
mod yaml;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::Path,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use serde_json::Value;

#[derive(Parser)]
#[command(
    name = "certbound",
    version,
    about = "Mutual-TLS OAuth client authentication for Envoy (RFC 8705): the tool beside the filter",
    after_help = "\
Examples:
  certbound check envoy.yaml
      Is the configuration right, and does Envoy run the filter safely?

`certbound COMMAND --help` has more of them. A FILE of `-` is the standard input.",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Arguments),
}

/// What a command prints, and its exit status.
#[derive(Default)]
struct Printout {
    /// The standard output.
    output: String,
    /// The standard error: `error: …` and `warning: …` sentences.
    problems: String,
    status: u8,
}

impl Printout {
    fn json(status: u8, value: &Value) -> Self {
        Self { output: format!("{value:#}\n"), problems: String::new(), status }
    }
}

pub(crate) fn run() -> ExitCode {
    let printout = match Arguments::parse().command {
        Command::Check(arguments) => check::run(&arguments),
    };
    // Whoever closes the pipe has read enough.
    let _ = io::stderr().write_all(printout.problems.as_bytes());
    let _ = io::stdout().write_all(printout.output.as_bytes());
    ExitCode::from(printout.status)
}

/// The content of a file, or of the standard input for `-`.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    let content = if file == Path::new("-") {
        let mut content = Vec::new();
        io::stdin().lock().read_to_end(&mut content).map(|_| content)
    } else {
        fs::read(file)
    };
    content.map_err(|error| format!("{} cannot be read: {error}", file.display()))
}

#[allow(
    clippy::disallowed_methods,
    reason = "the command line is an edge, which reads the environment"
)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Text from elsewhere, without what would move the cursor or break the line.
fn printable(text: &str) -> String {
    let escaped = |character: char| {
        if character.is_control() {
            character.escape_default().to_string()
        } else {
            character.into()
        }
    };
    text.chars().map(escaped).collect()
}

/// `1 client`, `2 clients`.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
