//! `--help`, completions and the manual page.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::kit::tool::run;

/// The names of all commands, from `--help` itself.
fn commands() -> Vec<String> {
    let help = run(&["--help"], "").out;
    let (_, rest) = help.split_once("Commands:\n").expect("a list of commands");
    let (list, _) = rest.split_once("\n\n").expect("an end of the list");
    let names = list.lines().filter_map(|line| {
        let name = line.strip_prefix("  ")?.split_whitespace().next()?;
        // Further lines of a description are indented.
        (!line.starts_with("   ")).then(|| name.to_owned())
    });
    names.filter(|name| name != "help").collect()
}

#[test]
fn every_command_shows_an_example_of_itself() {
    let commands = commands();
    assert!(commands.len() >= 7, "{commands:?}");
    for command in &commands {
        let help = run(&[command, "--help"], "");
        assert_eq!(help.code, 0);
        let (_, examples) = help.out.split_once("Examples:\n").expect(command);
        let own = format!("  partywall {command}");
        assert!(examples.starts_with(&own), "{command}: {examples}");
    }
    assert!(run(&["--help"], "").out.contains("Examples:\n  partywall "));
}

#[test]
fn completions_know_every_command_and_their_shell_reads_them() {
    for shell in ["bash", "zsh", "fish"] {
        let said = run(&["completions", shell], "");
        assert_eq!(said.code, 0, "{said:?}");
        for command in commands() {
            assert!(said.out.contains(&command), "{shell}: {command}");
        }
        assert!(said.out.contains("token-file"), "{shell}: options, too");
        if shell == "bash" {
            let mut bash = Command::new("bash")
                .arg("-n")
                .stdin(Stdio::piped())
                .spawn()
                .expect("bash");
            let mut script = bash.stdin.take().expect("a pipe");
            script.write_all(said.out.as_bytes()).expect("written");
            drop(script);
            assert!(bash.wait().expect("an end").success());
        }
    }
    assert_eq!(run(&["completions", "csh"], "").code, 2);
}

#[test]
fn the_manual_has_a_section_on_every_command() {
    let said = run(&["man"], "");
    assert_eq!(said.code, 0);
    assert!(said.out.contains(".TH partywall 1"), "{}", said.out);
    for command in commands() {
        let section = format!(".SH \"PARTYWALL {}\"", command.to_uppercase());
        assert!(said.out.contains(&section), "{section}");
    }
    let examples = said.out.matches("Examples:").count();
    assert!(examples > commands().len(), "{examples} examples");
}
