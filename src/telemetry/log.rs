//! Logs on standard error.

use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;

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
