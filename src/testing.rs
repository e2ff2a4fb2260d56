//! What tests of several modules need.

use std::time::Duration;

/// Does it, and tells how long this thread ran on a processor for it, whatever else the machine
/// did meanwhile.
pub(crate) fn cpu_time_of<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = cpu_time();
    let done = work();
    (done, cpu_time().saturating_sub(before))
}

/// The first field of `/proc/pid/schedstat` (`proc(5)`).
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = stat.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanos)
}
