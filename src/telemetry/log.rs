//! Logs on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::settings::Log;

/// Starts logging for the process. A second call changes nothing.
pub fn init(settings: &Log) {
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if settings.json {
        builder.json().finish().try_init()
    } else {
        builder.finish().try_init()
    };
    // Only tests start it twice; the first one stays.
    drop(started);
}
