//! README's transcripts are real: what is shown there after `$ partywall explain`, `test` or
//! `check` is what the binary prints. `…` alone on a line stands for lines that are left out.
//! The doctor's transcript depends on the store it looks at, so only its form is checked.

use std::path::Path;
use std::process::Command;

/// A command and what it is shown to print.
struct Transcript {
    command: String,
    shown: Vec<String>,
}

fn transcripts() -> Vec<Transcript> {
    let readme = include_str!("../../README.md");
    let mut all: Vec<Transcript> = Vec::new();
    for block in readme.split("```console\n").skip(1) {
        let block = block.split("```").next().expect("an end");
        // A command goes on while its line ends with a pipe or a backslash.
        let (mut goes_on, mut is_shown) = (false, false);
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                all.push(Transcript {
                    command: command.to_owned(),
                    shown: Vec::new(),
                });
                is_shown = true;
                goes_on = continues(line);
            } else if let Some(last) = all.last_mut().filter(|_| is_shown) {
                if goes_on {
                    last.command = format!("{}\n{line}", last.command);
                    goes_on = continues(line);
                } else {
                    last.shown.push(line.to_owned());
                }
            }
        }
    }
    all
}

fn continues(line: &str) -> bool {
    line.ends_with('|') || line.ends_with('\\')
}

/// Whether the lines are those that are shown, with any number of them at each `…`.
fn fits(shown: &[String], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=printed.len()).any(|left_out| fits(rest, &printed[left_out..]))
        }
        Some((first, rest)) => printed
            .split_first()
            .is_some_and(|(line, after)| first.trim_end() == line.trim_end() && fits(rest, after)),
    }
}

#[test]
fn transcripts_are_what_is_printed() {
    let binary = Path::new(env!("CARGO_BIN_EXE_partywall"));
    let folder = binary.parent().expect("a folder").display();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let mut run = 0;
    for Transcript { command, shown } in transcripts() {
        let is_ours = ["explain", "test", "check", "man", "completions"];
        let is_ours = is_ours.map(|name| command.contains(&format!("partywall {name} ")));
        if !is_ours.contains(&true) || shown.is_empty() {
            continue;
        }
        let output = Command::new("bash")
            .args(["-c", &command])
            .env("PATH", &path)
            .env_remove("NO_COLOR")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("bash");
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        let lines: Vec<&str> = printed.lines().collect();
        assert!(fits(&shown, &lines), "$ {command}\nprints\n{printed}");
        run += 1;
    }
    assert!(run >= 2, "only {run}");
}

#[test]
fn the_doctors_transcript_has_its_form() {
    let all = transcripts();
    let doctor = all
        .iter()
        .find(|one| one.command.starts_with("partywall doctor "))
        .expect("one of the doctor");
    let (last, lines) = doctor.shown.split_last().expect("lines");
    let count = |word: &str| {
        let of_word = lines.iter().filter(|line| line.starts_with(word));
        of_word.count()
    };
    let [ok, warn, fail, skip] = ["ok ", "warn ", "fail ", "skip "].map(count);
    assert_eq!(
        last,
        &format!("{ok} ok, {warn} warn, {fail} fail, {skip} skip")
    );
}
