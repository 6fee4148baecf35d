//! `certbound completions`, in the shells themselves.

use std::process::Command;

use super::{certbound, file};

/// What bash would offer after these words.
fn completed_by_bash(words: &[&str]) -> Vec<String> {
    let script = file("certbound.bash", certbound(&["completions", "bash"]).output);
    let program = r#"
        source "$1"; shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _certbound certbound "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
        complete -p certbound >&2
    "#;
    let bash = Command::new("bash")
        .args(["--norc", "-c", program, "bash", &script])
        .args(words)
        .output()
        .unwrap_or_else(|error| panic!("bash is missing, install it: {error}"));
    let registered = String::from_utf8(bash.stderr).unwrap();
    assert!(registered.contains("-F _certbound"), "{registered}");
    String::from_utf8(bash.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    for (words, expected) in [
        (&["certbound", "che"][..], &["check"][..]),
        (&["certbound", "check", "--ex"], &["--expiry-days"]),
        (&["certbound", "keygen", "--alg", "e"], &["ed25519", "ecdsa-p256-sha256"]),
        (&["certbound", "certificate", "--register", "self"], &["self_signed_tls_client_auth"]),
        (&["certbound", "verify", "--au"], &["--audience"]),
    ] {
        assert_eq!(completed_by_bash(words), expected, "{words:?}");
    }
}

#[test]
fn other_shells_have_scripts_and_unknown_ones_an_error() {
    for (shell, start) in [("zsh", "#compdef certbound"), ("fish", "# Print an optspec")] {
        let run = certbound(&["completions", shell]);
        assert_eq!(run.status, 0);
        assert!(run.output.starts_with(start), "{shell}: {}", run.output);
        assert!(run.output.contains("expiry-days"), "{shell}");
    }
    assert_eq!(certbound(&["completions", "tcsh"]).status, 2);
}
