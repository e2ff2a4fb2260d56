//! Logs on standard error.

use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::settings::Log;

/// Starts logging for the process. A second call changes nothing.
pub fn init(settings: &Log) {
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours only on a terminal; a file or a log collector would get the escape codes.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = if settings.json {
        builder.json().finish().try_init()
    } else {
        builder.finish().try_init()
    };
    // Only tests start it twice; the first one stays.
    drop(started);
    std::panic::set_hook(Box::new(log_panic));
}

/// Logs panics as errors, since each is a defect. Panics of promql-parser are caught where it is
/// called, and callers can cause them at will, so they must not fill the log.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    if location.contains("promql-parser") {
        tracing::debug!(location, "promql-parser panicked on a query");
    } else {
        let backtrace = std::backtrace::Backtrace::force_capture();
        tracing::error!(location, %backtrace, "panic");
    }
}

/// How often a [`Throttle`] lets one line through.
const THROTTLED_TO: Duration = Duration::from_secs(10);

/// Holds back lines that others can bring about at will.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Throttled>);

#[derive(Debug, Default)]
struct Throttled {
    last: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    /// Whether a line may be written now, and how many were held back before it.
    pub(crate) fn now(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| last.elapsed() < THROTTLED_TO) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttle_lets_one_line_through_and_counts_the_others() {
        let throttle = Throttle::default();
        assert_eq!(throttle.now(), Some(0));
        assert_eq!((throttle.now(), throttle.now()), (None, None));
        let long_ago = Instant::now().checked_sub(THROTTLED_TO);
        throttle.0.lock().unwrap().last = long_ago;
        assert_eq!(throttle.now(), Some(2));
    }
}
