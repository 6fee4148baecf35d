//! The help of every command: what it shows must work.

use std::{fs, path::PathBuf, process::Command};

use serde_json::json;

use super::{ENVOY_YAML, PKI, certbound, certbound_with, configuration, file};

fn commands() -> Vec<String> {
    let help = certbound(&["--help"]).output;
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let list = list.split("\n\n").next().unwrap();
    list.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn every_command_teaches_and_nonsense_is_a_usage_error() {
    let commands = commands();
    for command in ["certificate", "check", "completions", "decide", "keygen", "verify"] {
        assert!(commands.iter().any(|name| name == command), "{command}");
    }
    for command in &commands {
        let run = certbound(&[command, "--help"]);
        assert_eq!(run.status, 0);
        for part in ["Usage: certbound ", "Examples:\n  ", "\nExit status: 0"] {
            assert!(run.output.contains(part), "{command}: {}", run.output);
        }
        let (_, text) = run.output.split_once("-h, --help").unwrap();
        let long = text.lines().find(|line| line.chars().count() > 130);
        assert_eq!(long, None, "{command}");
    }
    assert!(certbound(&["--version"]).output.starts_with("certbound "));
    assert_eq!(certbound(&["decode"]).status, 2);
    assert_eq!(certbound(&[]).status, 2);
}

/// Runs every example of every help as it stands, where the files that it names are there. What fetches something from
/// elsewhere is replaced by a file.
#[test]
fn every_example_runs() {
    let home = file("examples-home", "");
    let home = PathBuf::from(home).with_extension("d");
    let _ = fs::remove_dir_all(&home);
    fs::create_dir_all(home.join("etc")).unwrap();
    for directory in
        [".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions"]
    {
        fs::create_dir_all(home.join(directory)).unwrap();
    }
    let payments = PKI.get("payments").chain_pem();
    let key = PKI.signing_key();
    let request = "POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\nclient_id=payments";
    for (name, content) in [
        ("certbound.yaml", configuration().to_string()),
        ("envoy.yaml", fs::read_to_string(ENVOY_YAML).unwrap()),
        ("client.pem", payments.clone()),
        ("payments.pem", payments),
        ("keys.jwks", json!({ "keys": [key.to_jwk()] }).to_string()),
        ("request.http", request.into()),
        ("token-request.http", request.into()),
    ] {
        fs::write(home.join(name), content).unwrap();
    }
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_certbound"));
    let binaries = binary.parent().unwrap();
    let mut count = 0;
    // Those of the program itself last, since one of them needs what another command's has made.
    for command in commands().iter().map(String::as_str).chain([""]) {
        let arguments: Vec<&str> =
            [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let help = certbound(&arguments).output;
        let (_, examples) = help.split_once("Examples:\n").unwrap();
        let is_example = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
        for example in examples.split("\n\n").next().unwrap().lines().filter(is_example) {
            let mut line = example.trim().replace("/etc/envoy/", "");
            for elsewhere in ["curl ", "kubectl "] {
                if let Some((_, rest)) =
                    line.split_once('|').filter(|_| line.starts_with(elsewhere))
                {
                    line = format!("cat envoy.yaml | {rest}");
                }
            }
            if command.is_empty() {
                // The program's own examples make no second key over the first.
                line = line.replace("--out signing", "--out another");
            }
            let run = Command::new("bash")
                .args(["-o", "pipefail", "-c", r#"PATH="$1:$PATH"; eval "$2""#, "bash"])
                .arg(binaries)
                .arg(&line)
                .current_dir(&home)
                .env("HOME", &home)
                .env_remove("CERTBOUND_SIGNING_KEY")
                .output()
                .unwrap();
            let problems = String::from_utf8(run.stderr).unwrap();
            // 1 is an answer: no. 2 is a usage error, 127 a command that is missing.
            assert!(matches!(run.status.code(), Some(0 | 1)), "{line}: {problems}");
            assert!(!problems.contains("cannot be read"), "{line}: {problems}");
            assert!(!problems.contains("error: "), "{line}: {problems}");
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

/// Colours are for people at a terminal, who have not asked for none.
#[test]
fn colours_stay_where_they_are_seen() {
    let path = file("colours.yaml", "endpoints: []\n");
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_certbound"));
        for name in ["CLICOLOR_FORCE", "NO_COLOR"] {
            command.env_remove(name);
        }
        let output =
            command.args(["check", &path]).envs(variables.iter().copied()).output().unwrap();
        String::from_utf8([output.stderr, output.stdout].concat()).unwrap()
    };
    assert!(!run(&[]).contains('\u{1b}'));
    let coloured = run(&[("CLICOLOR_FORCE", "1")]);
    assert!(coloured.contains("\u{1b}[31m"), "{coloured}");
    assert!(!run(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\u{1b}'));
    // What others wrote does not colour anything.
    let nasty = file("nasty.yaml", "endpoints: []\n\"\\e[31mkey\": []\n");
    let variables = [("CLICOLOR_FORCE", "1")];
    let nasty = certbound_with(&["check", &nasty], &variables, "");
    assert!(nasty.problems.contains("[31mkey"), "{}", nasty.problems);
    assert!(!nasty.problems.contains("\u{1b}[31mkey"), "{}", nasty.problems);
}
