//! What tests of several modules need.

#[path = "../tests/e2e/kit/evidence.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the end-to-end tests"
)]
pub(crate) mod evidence;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Does it, and tells how long this thread ran on a processor for it, whatever else the machine
/// did meanwhile.
pub(crate) fn cpu_time_of<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = cpu_time();
    let done = work();
    (done, cpu_time().saturating_sub(before))
}

/// The first field of `/proc/pid/schedstat` (`proc(5)`); where the kernel has none, the clock.
fn cpu_time() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    match std::fs::read_to_string("/proc/thread-self/schedstat") {
        Ok(stat) => Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap()),
        Err(_) => START.elapsed(),
    }
}
