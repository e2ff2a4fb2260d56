//! Writes lines to a file or to standard output: a bounded queue, and a thread that writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::telemetry::metrics::AuditCounters;

/// The most lines in the queue.
const MAX_LINES: usize = 4096;

/// The most bytes in the queue.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The least time between two log lines about problems.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

/// The sending end. Dropping the last one lets the thread write what is queued, and end.
pub(super) struct Writer {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    /// Ends when the thread does.
    ended: Mutex<Receiver<()>>,
}

enum Message {
    Line(String),
    /// Wakes the thread to check the flags.
    Wake,
}

struct Shared {
    counters: AuditCounters,
    queued_bytes: AtomicUsize,
    reopen: AtomicBool,
    close: AtomicBool,
    last_warning: Mutex<Option<Instant>>,
}

impl Writer {
    /// Appends to a file, which is created if it does not exist.
    pub(super) fn file(path: &Path, counters: &AuditCounters) -> io::Result<Self> {
        let file = open(path)?;
        Self::start(
            Output::File {
                path: path.to_owned(),
                file: Some(file),
                is_torn: false,
            },
            counters,
        )
    }

    pub(super) fn stdout(counters: &AuditCounters) -> io::Result<Self> {
        Self::start(Output::Stdout, counters)
    }

    fn start(output: Output, counters: &AuditCounters) -> io::Result<Self> {
        let (queue, lines) = sync_channel(MAX_LINES);
        let (running, ended) = sync_channel(0);
        let shared = Arc::new(Shared {
            counters: counters.clone(),
            queued_bytes: AtomicUsize::new(0),
            reopen: AtomicBool::new(false),
            close: AtomicBool::new(false),
            last_warning: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || {
                // The queue is dropped first, so that later lines are counted as dropped.
                run(output, lines, &of_thread);
                drop(running);
            })?;
        Ok(Self {
            queue,
            shared,
            ended: Mutex::new(ended),
        })
    }

    /// Queues a line; never waits.
    pub(super) fn write(&self, line: String) {
        let shared = &self.shared;
        let bytes = line.len();
        let before = shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_queued =
            before + bytes <= MAX_BYTES && self.queue.try_send(Message::Line(line)).is_ok();
        if !is_queued {
            shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            shared.counters.dropped.inc();
            shared.warn("audit records are dropped: the output is too slow");
        }
    }

    /// Makes the thread open the file again before the next line.
    pub(super) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        // A full queue wakes it too.
        let _ = self.queue.try_send(Message::Wake);
    }

    /// Waits until all queued lines are written. Later lines are dropped.
    pub(super) fn close(&self, within: Duration) {
        self.shared.close.store(true, Ordering::Release);
        let _ = self.queue.try_send(Message::Wake);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(within) {
            tracing::warn!("the last audit records could not be written");
        }
    }
}

impl Shared {
    fn warn(&self, what: &str) {
        let mut last = self
            .last_warning
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            *last = Some(Instant::now());
            drop(last);
            tracing::warn!("{what}; see partywall_audit_records_total");
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it ends with this")]
fn run(mut output: Output, lines: Receiver<Message>, shared: &Shared) {
    while let Ok(message) = lines.recv() {
        handle_message(&mut output, message, shared);
        if shared.close.load(Ordering::Acquire) {
            while let Ok(message) = lines.try_recv() {
                handle_message(&mut output, message, shared);
            }
            return;
        }
    }
}

fn handle_message(output: &mut Output, message: Message, shared: &Shared) {
    if shared.reopen.swap(false, Ordering::AcqRel)
        && let Err(error) = output.reopen()
    {
        shared.warn(&format!("cannot open the audit file: {error}"));
    }
    let Message::Line(line) = message else { return };
    shared.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
    match output.write(&line) {
        Ok(()) => _ = shared.counters.written.inc(),
        Err(error) => {
            shared.counters.failed.inc();
            shared.warn(&format!("cannot write audit records: {error}"));
        }
    }
}

enum Output {
    Stdout,
    File {
        path: PathBuf,
        /// `None` after an error: the next line tries again.
        file: Option<File>,
        /// Whether the last line may have been written in part.
        is_torn: bool,
    },
}

impl Output {
    fn write(&mut self, line: &str) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(line.as_bytes()),
            Self::File {
                path,
                file,
                is_torn,
            } => {
                let mut open = match file.take() {
                    Some(open) => open,
                    None => open(path)?,
                };
                if *is_torn {
                    open.write_all(b"\n")?;
                    *is_torn = false;
                }
                // One call for each line: with `O_APPEND` lines never mix, and writing continues
                // after the file is truncated.
                let (written, result) = append(&mut open, line.as_bytes());
                *is_torn = result.is_err() && written > 0;
                result?;
                *file = Some(open);
                Ok(())
            }
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File {
            path,
            file,
            is_torn,
        } = self
        {
            *file = Some(open(path)?);
            *is_torn = false;
        }
        Ok(())
    }
}

/// How many bytes of the line were written, and why not all.
fn append(file: &mut File, line: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = line.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Opens a file for appending. Only the owner and the group may read it, since it says who asked for
/// what.
fn open(path: &Path) -> io::Result<File> {
    // Opening a named pipe would wait for its reader.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file; for standard output, write `stdout`",
        ));
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn lines_are_appended_in_order_and_reopened_files_are_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("audit"), dir.path().join("audit.1"));
        fs::write(&path, "before\n").unwrap();
        let counters = Metrics::new().audit_counters();
        let writer = Writer::file(&path, &counters).unwrap();
        writer.write("one\n".into());
        while counters.written.get() == 0 {
            std::thread::yield_now();
        }
        fs::rename(&path, &old).unwrap();
        writer.write("two\n".into());
        while counters.written.get() == 1 {
            std::thread::yield_now();
        }
        writer.reopen();
        writer.write("three\n".into());
        writer.close(PATIENCE);
        assert_eq!(fs::read_to_string(&old).unwrap(), "before\none\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(counters.written.get(), 3);
        writer.write("too late\n".into());
        assert_eq!(counters.dropped.get(), 1);
    }

    #[test]
    fn partly_written_line_does_not_corrupt_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        fs::write(&path, "{\"hal").unwrap();
        let mut output = Output::File {
            path: path.clone(),
            file: None,
            is_torn: true,
        };
        output.write("whole\n").unwrap();
        output.write("too\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"hal\nwhole\ntoo\n");
    }

    #[test]
    fn output_that_cannot_be_appended_to_is_refused() {
        for path in ["/dev/full", "/", "/no/such/folder/audit"] {
            assert!(open(Path::new(path)).is_err(), "{path}");
        }
    }

    /// The queue's bound in bytes, without a thread that takes from it.
    #[test]
    fn full_queue_drops_lines_without_waiting() {
        let (queue, lines) = sync_channel(MAX_LINES);
        let (_running, ended) = sync_channel(0);
        let counters = Metrics::new().audit_counters();
        let writer = Writer {
            queue,
            shared: Arc::new(Shared {
                counters: counters.clone(),
                queued_bytes: AtomicUsize::new(0),
                reopen: AtomicBool::new(false),
                close: AtomicBool::new(false),
                last_warning: Mutex::default(),
            }),
            ended: Mutex::new(ended),
        };
        for _ in 0..10 {
            writer.write("x".repeat(MAX_BYTES / 8));
        }
        assert_eq!(counters.dropped.get(), 2);
        drop(lines.recv().unwrap());
        for _ in 0..MAX_LINES {
            writer.write(String::new());
        }
        assert_eq!(counters.dropped.get(), 2 + 7);
        writer.reopen();
    }
}
