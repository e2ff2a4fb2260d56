//! The transcripts in README.md and docs/ are real: what is shown there after `$ partywall explain`,
//! `test` or `check` is what the binary prints. `…` alone on a line stands for lines that are left
//! out. The doctor's transcript depends on the store it looks at, so only its form is checked.

use std::path::Path;
use std::process::Command;

use crate::kit::docs::{Page, pages};

/// A command and what a page shows it to print.
struct Transcript {
    page: String,
    command: String,
    shown: Vec<String>,
}

fn transcripts() -> Vec<Transcript> {
    pages().iter().flat_map(transcripts_of_page).collect()
}

fn transcripts_of_page(page: &Page) -> Vec<Transcript> {
    let mut all: Vec<Transcript> = Vec::new();
    for block in page.text.split("```console\n").skip(1) {
        let block = block.split("```").next().expect("an end");
        // A command goes on while its line ends with a pipe or a backslash.
        let (mut goes_on, mut is_shown) = (false, false);
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                all.push(Transcript {
                    page: page.path.clone(),
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

/// An indented block would be skipped by [`transcripts`], and so by the test below.
#[test]
fn console_blocks_are_not_indented() {
    for page in pages() {
        assert!(!page.text.contains(" ```console"), "{}", page.path);
    }
}

#[test]
fn transcripts_match_what_the_binary_prints() {
    let binary = Path::new(env!("CARGO_BIN_EXE_partywall"));
    let folder = binary.parent().expect("a folder").display();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let mut run = 0;
    for Transcript {
        page,
        command,
        shown,
    } in transcripts()
    {
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
        assert!(
            fits(&shown, &lines),
            "{page}: $ {command}\nprints\n{printed}"
        );
        run += 1;
    }
    assert!(run >= 2, "only {run}");
}

#[test]
fn doctor_transcript_has_the_doctors_form() {
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
