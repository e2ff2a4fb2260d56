//! `partywall demo`: that it shows what it says, and that it leaves nothing behind.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::kit::process::{Guarded, find_tool};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_demo_shows_each_tenant_its_own() {
    let dir = TempDir::new().unwrap();
    let output = demo(dir.path()).arg("--check").output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for expected in [
        "ACME=",
        "GLOBEX=",
        "curl -sG http://127.0.0.1:",
        "All answers are as expected",
    ] {
        assert!(said.contains(expected), "no {expected:?} in:\n{said}");
    }
    assert_nothing_left(dir.path());
}

#[test]
fn without_prometheus_the_demo_says_what_to_install() {
    let dir = TempDir::new().unwrap();
    let output = demo(dir.path()).env("PATH", dir.path()).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("apt-get install -y prometheus"), "{said}");
    assert_nothing_left(dir.path());
}

#[tokio::test]
async fn ctrl_c_stops_everything() {
    stop_with("INT", Some(0)).await;
}

#[tokio::test]
async fn sigterm_stops_everything() {
    stop_with("TERM", Some(0)).await;
}

#[tokio::test]
async fn a_killed_demo_leaves_nothing_either() {
    stop_with("KILL", None).await;
}

async fn stop_with(signal: &str, expected: Option<i32>) {
    find_tool("prometheus");
    let dir = TempDir::new().unwrap();
    // The log is elsewhere: it would be something left behind.
    let logs = TempDir::new().unwrap();
    let mut demo = Guarded::spawn("demo", demo(dir.path()), &logs.path().join("log"));
    let started = Instant::now();
    while !demo.log().contains("Running until Ctrl-C") {
        assert!(
            demo.try_wait().is_none() && started.elapsed() < PATIENCE,
            "{}",
            demo.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let running = processes_of(dir.path());
    // Prometheus, the proxy and the watchdog.
    assert_eq!(running.len(), 3, "{running:#?}");
    demo.signal(signal);
    let status = demo.wait(PATIENCE).await.expect("the demo ends");
    assert_eq!(status.code(), expected, "{}", demo.log());
    if expected.is_none() {
        // Its watchdog does it, a moment later.
        let killed = Instant::now();
        while !is_clean(dir.path()) && killed.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_nothing_left(dir.path());
}

fn demo(temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_partywall"));
    command.arg("demo").env("TMPDIR", temporary);
    command
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

fn is_clean(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none() && processes_of(dir).is_empty()
}

fn assert_nothing_left(dir: &Path) {
    let files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.is_empty(), "left behind: {files:?}");
    let processes = processes_of(dir);
    assert!(processes.is_empty(), "still running: {processes:#?}");
}

/// The command lines of the processes that were given something below `dir`.
fn processes_of(dir: &Path) -> Vec<String> {
    let needle = dir.to_str().unwrap();
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(needle)).collect()
}
