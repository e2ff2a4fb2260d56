//! What is for people alone: colours and progress, where somebody looks at a terminal.

use std::io::{IsTerminal, Write as _};
use std::pin::pin;
use std::time::{Duration, Instant};

/// Bold green: ours, or well.
pub(super) const GREEN: &str = "\u{1b}[1;32m";
/// Bold yellow.
pub(super) const YELLOW: &str = "\u{1b}[1;33m";
/// Bold red.
pub(super) const RED: &str = "\u{1b}[1;31m";
/// As before.
pub(super) const PLAIN: &str = "\u{1b}[0m";

/// Whether standard output may have colours: at a terminal that knows them, unless `NO_COLOR` is
/// set (<https://no-color.org>).
pub(super) fn has_colours() -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    obeys(&std::io::stdout()) && !is_unwanted
}

/// A terminal that moves its cursor as it is told.
fn obeys(out: &impl IsTerminal) -> bool {
    out.is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// A text in a colour, where there are any.
pub(super) fn coloured(text: &str, colour: &str) -> String {
    if has_colours() {
        format!("{colour}{text}{PLAIN}")
    } else {
        text.to_owned()
    }
}

/// What takes no longer is not worth a word.
const SHORT: Duration = Duration::from_millis(300);

/// Waits, and meanwhile says on standard error, if that is a terminal, for what and how long.
pub(super) async fn while_waiting<T>(what: &str, work: impl Future<Output = T>) -> T {
    if !obeys(&std::io::stderr()) {
        return work.await;
    }
    let what = what.replace(|c: char| c.is_control(), "\u{fffd}");
    let (mut work, began) = (pin!(work), Instant::now());
    if let Ok(done) = tokio::time::timeout(SHORT, &mut work).await {
        return done;
    }
    loop {
        say(&format!("… {what} ({} s)", began.elapsed().as_secs()));
        if let Ok(done) = tokio::time::timeout(Duration::from_secs(1), &mut work).await {
            say("");
            return done;
        }
    }
}

/// In the place of the line before. If it cannot be said, nothing is lost.
fn say(line: &str) {
    let mut out = std::io::stderr();
    let _ = write!(out, "\r\u{1b}[K{line}");
    let _ = out.flush();
}
