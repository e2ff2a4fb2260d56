//! Child processes, and what Linux tells of their time and memory.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::Outcome;

/// A child in a process group of its own, with all that it starts there. Killed on drop, or by
/// its watchdog if this process is killed.
pub(crate) struct Process {
    child: Child,
    watchdog: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with its output in `log`.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Outcome<Self> {
        let output = fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .map_err(|cause| format!("cannot start {command:?}: {cause}"))?;
        let watchdog = Command::new("sh")
            .args(["-c", "cat >/dev/null; kill -KILL -$0"])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self {
            child,
            watchdog,
            log: log.to_owned(),
        })
    }

    /// An error with its log if it has ended.
    pub(crate) fn still_runs(&mut self) -> Outcome<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let log = fs::read_to_string(&self.log)?;
                Err(format!("it ended with {status}: {log}").into())
            }
        }
    }

    /// Those of its group, itself among them.
    pub(crate) fn group(&self) -> Outcome<Group> {
        let id = self.child.id();
        let mut ids = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if group_of(process) == Some(id) {
                ids.push(process);
            }
        }
        Ok(Group(ids))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Closing its input lets it kill the group.
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
        let _ = self.child.wait();
    }
}

/// `pgrp` of `proc_pid_stat(5)`.
fn group_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(2)?.parse().ok()
}

/// Processes that do one work together.
pub(crate) struct Group(Vec<u32>);

impl Group {
    /// The process that was started.
    pub(crate) fn first(&self) -> Option<u32> {
        self.0.first().copied()
    }

    /// The time that all their threads have run, user and system together. To the nanosecond
    /// (`schedstat`), where utime and stime of `stat` count ticks of 10 ms.
    pub(crate) fn cpu_time(&self) -> Outcome<Duration> {
        let mut nanos = 0;
        for process in &self.0 {
            for thread in fs::read_dir(format!("/proc/{process}/task"))? {
                let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
                let ran = stat.split(' ').next().unwrap_or_default();
                nanos += ran.parse::<u64>()?;
            }
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Resident bytes now.
    pub(crate) fn resident(&self) -> Outcome<u64> {
        self.sum("VmRSS:")
    }

    /// The most resident bytes since [`Self::forget_peak`].
    pub(crate) fn peak(&self) -> Outcome<u64> {
        self.sum("VmHWM:")
    }

    /// Resets the peak (`proc_pid_clear_refs(5)`).
    pub(crate) fn forget_peak(&self) -> Outcome<()> {
        for process in &self.0 {
            fs::write(format!("/proc/{process}/clear_refs"), "5")?;
        }
        Ok(())
    }

    /// Of a line of `proc_pid_status(5)`, in bytes. Pages that processes share count for each.
    fn sum(&self, name: &str) -> Outcome<u64> {
        let mut bytes = 0;
        for process in &self.0 {
            let status = fs::read_to_string(format!("/proc/{process}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
            bytes += kib.ok_or("no such line in status")?.parse::<u64>()? * 1024;
        }
        Ok(bytes)
    }
}

/// The file of the program that this variable names, or else of this name in `PATH`.
pub(crate) fn find(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// A loopback address without a listener. Not from the ephemeral range, so that no outgoing
/// connection takes it before its server does.
pub(crate) fn free_address() -> Outcome<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let spread = std::process::id().wrapping_mul(7919).wrapping_add(step);
        let port = u16::try_from(12_000 + spread % 18_000)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err("no free port between 12000 and 30000".into())
}
