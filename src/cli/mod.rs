//! The edge to people and scripts: reads files, asks the library, prints what it says.

mod bootstrap;
mod certificate;
mod check;
mod completions;
mod configuration;
mod decide;
mod expiry;
mod http_request;
mod keygen;
mod message;
mod places;
mod rfc3339;
mod schema;
mod spelling;
mod surroundings;
mod verify;
mod yaml;

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    path::Path,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anstyle::{AnsiColor, Style};
use certbound::{certificate::InvalidCertificate, pem};
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
  certbound certificate client.pem --register tls_client_auth --client-id payments
      The entry of `clients` for the holder of this certificate.
  certbound decide --config envoy.yaml --client-id payments --certificate client.pem
      Would the filter let this client in, and if not, why?
  certbound keygen --alg ed25519 --out signing
      A key for the filter to sign with.
  certbound verify --key signing.jwk request.http
      Did the filter sign this request, and is it unchanged?
  certbound schema > certbound.schema.json
      What editors need to complete and check the configuration.
  source <(certbound completions bash)
      Let the shell complete commands, options and files.

`certbound COMMAND --help` has more of them. A FILE of `-` is the standard input.",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Certificate(certificate::Arguments),
    Check(check::Arguments),
    Completions(completions::Arguments),
    Decide(decide::Arguments),
    Keygen(keygen::Arguments),
    Schema(schema::Arguments),
    Verify(verify::Arguments),
}

/// What a command prints, and its exit status. Styles are left out where nobody sees them.
#[derive(Default)]
struct Printout {
    /// The standard output.
    output: String,
    /// The standard error: `error: …` and `warning: …` sentences.
    problems: String,
    status: u8,
}

const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();
const FINE: Style = AnsiColor::Green.on_default().bold();
const LABEL: Style = AnsiColor::Cyan.on_default();
const UNEASY: Style = AnsiColor::Yellow.on_default().bold();

impl Printout {
    fn failure(status: u8, problem: &impl fmt::Display) -> Self {
        let problems = format!("{} {problem}\n", styled(BAD, "error:"));
        Self { output: String::new(), problems, status }
    }

    fn json(status: u8, value: &Value) -> Self {
        Self { output: format!("{value:#}\n"), problems: String::new(), status }
    }
}

pub(crate) fn run() -> ExitCode {
    let printout = match Arguments::parse().command {
        Command::Certificate(arguments) => certificate::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Decide(arguments) => decide::run(&arguments),
        Command::Keygen(arguments) => keygen::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
    };
    // Whoever closes the pipe has read enough.
    let _ = anstream::stderr().write_all(printout.problems.as_bytes());
    let _ = anstream::stdout().write_all(printout.output.as_bytes());
    ExitCode::from(printout.status)
}

/// What stands for the standard input where a file is named.
const STANDARD_INPUT: &str = "-";

/// The content of a file, or of the standard input.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    let content = if file == Path::new(STANDARD_INPUT) {
        let mut content = Vec::new();
        io::stdin().lock().read_to_end(&mut content).map(|_| content)
    } else {
        fs::read(file)
    };
    content.map_err(|error| format!("{} cannot be read: {error}", file.display()))
}

/// The DER encodings of the certificates in a file: those of its PEM sections, or the one that it is.
fn read_certificates(file: &Path) -> Result<Vec<Vec<u8>>, String> {
    let content = read(file)?;
    // DER begins with the tag of a SEQUENCE. PEM may begin with anything, also with that character, but is text.
    if content.first() == Some(&0x30) && str::from_utf8(&content).is_err() {
        return Ok(vec![content]);
    }
    pem::certificates(&content)
        .map_err(|error| format!("{} is no certificate: {error}", file.display()))
}

fn unreadable_certificate(file: &Path, error: InvalidCertificate) -> String {
    format!("{} is no certificate that can be judged: {error}", file.display())
}

/// Seconds since the Unix epoch.
#[allow(
    clippy::disallowed_methods,
    reason = "the command line is an edge, which asks for the time"
)]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[allow(
    clippy::disallowed_methods,
    reason = "the command line is an edge, which reads the environment"
)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// A line of a list of properties. Of several values in a row, the first has the label.
fn property(label: &str, value: &str) -> String {
    format!("  {LABEL}{label:<14}{LABEL:#} {}\n", printable(value))
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

const SECONDS_PER_DAY: u64 = 86_400;

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `1 client`, `2 clients`.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
