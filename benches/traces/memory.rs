//! The most memory a process has held at once, as Linux counts it.

use std::process::Command;
use std::{env, fs};

const FLAG: &str = "--extra-memory";

/// Runs this bench again, just for the extra memory of what has this name: where other things
/// were measured before, the allocator has freed memory that would hide what is taken. `None`
/// where that fails or the system does not tell.
pub(crate) fn extra_in_own_process(name: &str) -> Option<usize> {
    let same_effort = env::args().skip(1);
    let answer = Command::new(env::current_exe().ok()?)
        .args(same_effort)
        .args([FLAG, name])
        .output()
        .ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    text.trim().parse().ok()
}

/// In such a process: the name.
pub(crate) fn asked_for() -> Option<String> {
    env::args().skip_while(|argument| argument != FLAG).nth(1)
}

/// Measures from when it is made.
pub(crate) struct PeakMemory {
    before: usize,
}

impl PeakMemory {
    /// `None` where the system does not tell.
    pub(crate) fn start() -> Option<Self> {
        // Resets the high-water mark to what is held now (proc_pid_clear_refs(5)).
        fs::write("/proc/self/clear_refs", "5").ok()?;
        Some(Self {
            before: high_water_mark()?,
        })
    }

    /// Bytes held at most since, beyond what was held then. Exact to some 100 KiB: the kernel
    /// counts in batches.
    pub(crate) fn extra(&self) -> Option<usize> {
        Some(high_water_mark()?.saturating_sub(self.before))
    }
}

/// `VmHWM` in bytes.
fn high_water_mark() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
