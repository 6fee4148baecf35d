//! `certbound completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Printout;

/// Print what a shell needs to complete commands, options and values
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  certbound completions bash > ~/.local/share/bash-completion/completions/certbound
      For every new bash of yours that has the package bash-completion; the directory must be there.
  source <(certbound completions bash)
      For this bash only.
  certbound completions zsh > ~/.zfunc/_certbound
      For zsh, with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc.
  certbound completions fish > ~/.config/fish/completions/certbound.fish
      For fish.

Exit status: 0.")]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Printout {
    let mut script = Vec::new();
    let mut command = super::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "certbound", &mut script);
    Printout { output: String::from_utf8_lossy(&script).into_owned(), ..Printout::default() }
}
