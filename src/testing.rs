//! Helpers for the tests of several modules.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Runs `work`, and returns its result with the CPU time of this thread, whatever else the machine
/// did meanwhile.
pub(crate) fn cpu_time_of<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = cpu_time();
    let done = work();
    (done, cpu_time().saturating_sub(before))
}

/// The first field of `/proc/pid/schedstat` (`proc(5)`); where the kernel lacks it, the clock.
fn cpu_time() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    match std::fs::read_to_string("/proc/thread-self/schedstat") {
        Ok(stat) => Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap()),
        Err(_) => START.elapsed(),
    }
}
