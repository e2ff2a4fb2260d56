//! Colours and progress, shown on terminals only.

use std::io::{IsTerminal, Write as _};
use std::pin::pin;
use std::time::{Duration, Instant};

/// Bold green: inserted by Partywall, or a good result.
pub(super) const GREEN: &str = "\u{1b}[1;32m";
pub(super) const YELLOW: &str = "\u{1b}[1;33m";
pub(super) const RED: &str = "\u{1b}[1;31m";
/// Ends a colour.
pub(super) const PLAIN: &str = "\u{1b}[0m";

/// Whether to colour standard output: on a terminal that supports it, unless `NO_COLOR` is set
/// (<https://no-color.org>).
pub(super) fn has_colours() -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    supports_escapes(&std::io::stdout()) && !is_unwanted
}

/// Whether the output is a terminal that understands escape sequences.
fn supports_escapes(out: &impl IsTerminal) -> bool {
    out.is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// The text in a colour, if standard output has colours.
pub(super) fn coloured(text: &str, colour: &str) -> String {
    if has_colours() {
        format!("{colour}{text}{PLAIN}")
    } else {
        text.to_owned()
    }
}

/// Progress is shown only for work that takes longer.
const QUIET_FOR: Duration = Duration::from_millis(300);

/// Waits for `work` and meanwhile shows on standard error, if that is a terminal, what is waited
/// for and for how long.
pub(super) async fn while_waiting<T>(what: &str, work: impl Future<Output = T>) -> T {
    if !supports_escapes(&std::io::stderr()) {
        return work.await;
    }
    let what = what.replace(|c: char| c.is_control(), "\u{fffd}");
    let (mut work, started) = (pin!(work), Instant::now());
    if let Ok(done) = tokio::time::timeout(QUIET_FOR, &mut work).await {
        return done;
    }
    loop {
        overwrite_line(&format!("… {what} ({} s)", started.elapsed().as_secs()));
        if let Ok(done) = tokio::time::timeout(Duration::from_secs(1), &mut work).await {
            overwrite_line("");
            return done;
        }
    }
}

/// Replaces the current line. Errors are ignored, since this is progress only.
fn overwrite_line(line: &str) {
    let mut out = std::io::stderr();
    let _ = write!(out, "\r\u{1b}[K{line}");
    let _ = out.flush();
}
