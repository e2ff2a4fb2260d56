//! Runs the binary and keeps what it says.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|cause| panic!("{cause}: {self:#?}"))
    }

    /// What it prints must hold each of these.
    #[track_caller]
    pub fn assert_says(&self, texts: &[&str]) {
        for text in texts {
            assert!(self.out.contains(text), "`{text}` is not in {self:#?}");
        }
    }
}

/// Runs `partywall` with these arguments and this standard input.
pub fn run<A: AsRef<OsStr>>(args: &[A], input: &str) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_partywall"))
        .args(args)
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may end without reading.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    Said {
        code: output.status.code().expect("no signal"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}
