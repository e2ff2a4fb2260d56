//! Child processes that do not outlive the test, however it ends.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A child in its own process group. It is killed on drop; when the test process itself is
/// killed, its watchdog sees a pipe close and kills it.
pub struct Guarded {
    name: String,
    child: Child,
    watchdog: Child,
    log: PathBuf,
}

impl Guarded {
    /// Starts `command` with its output in `log`.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Self {
        let output = File::create(log).expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|cause| panic!("cannot start {name} ({command:?}): {cause}"));
        let watchdog = Command::new("sh")
            .args([
                "-c",
                "cat >/dev/null; kill -KILL $0",
                &child.id().to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh");
        Self {
            name: name.to_owned(),
            child,
            watchdog,
            log: log.to_owned(),
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `TERM`, `HUP`, `INT` …
    pub fn signal(&self, signal: &str) {
        send_signal(self.id(), signal);
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("a child that can be waited for")
    }

    /// Waits for the child's own end.
    pub async fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.try_wait() {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// Polls `ready` until it says yes; fails with the log when the child ends or time is up.
    pub async fn until<F: Future<Output = bool>>(
        &mut self,
        limit: Duration,
        ready: impl Fn() -> F,
    ) {
        let start = Instant::now();
        loop {
            if ready().await {
                return;
            }
            if let Some(status) = self.try_wait() {
                panic!("{} ended early with {status}:\n{}", self.name, self.log());
            }
            assert!(
                start.elapsed() < limit,
                "{} was not ready within {limit:?}:\n{}",
                self.name,
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The watchdog first: it must not kill a process id that is free again.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.split_at(lines.len().saturating_sub(40)).1;
            eprintln!(
                "--- end of the log of {} ---\n{}",
                self.name,
                last.join("\n")
            );
        }
    }
}

/// `kill -SIGNAL id`; the standard library can only send KILL.
pub fn send_signal(id: u32, signal: &str) {
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", signal, &id.to_string()])
        .status()
        .expect("sh");
    assert!(status.success(), "kill -s {signal} {id}: {status}");
}

/// A loopback port without a listener. Not from the ephemeral range, so that no outgoing
/// connection of a busy test takes it before its server does.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let spread = std::process::id().wrapping_mul(7919).wrapping_add(step);
        let port = u16::try_from(12_000 + spread % 18_000).expect("below 30 000");
        if TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok() {
            return port;
        }
    }
    panic!("no free port between 12000 and 30000");
}

/// Where `name` is in `PATH`; fails with what to install.
pub fn find_tool(name: &str) -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!(
                "`{name}` is not in PATH. These tests run against real stores: \
                 apt-get install -y prometheus redis-server"
            )
        })
}
