//! What tests of several modules need.

use std::time::Duration;

/// The time that this thread has run on a processor, whatever else the machine does meanwhile
/// (`proc(5)`, `/proc/pid/schedstat`).
pub(crate) fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = stat.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanos)
}
