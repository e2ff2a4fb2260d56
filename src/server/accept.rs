//! Accepting connections, and recovering from what accept(2) reports.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};

use crate::telemetry::log::Throttle;
use crate::telemetry::metrics::Metrics;

/// The first pause after an error. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause: file descriptors may become free at any time, and clients wait meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

/// Accepts connections of one listener.
pub(crate) struct Acceptor {
    listener: TcpListener,
    address: SocketAddr,
    metrics: Arc<Metrics>,
    throttle: Throttle,
}

impl Acceptor {
    /// `address` is the listener's in the config: its name in the log and in metrics.
    pub(crate) fn new(listener: TcpListener, address: SocketAddr, metrics: Arc<Metrics>) -> Self {
        metrics.connections.accepts_at(address);
        Self {
            listener,
            address,
            metrics,
            throttle: Throttle::default(),
        }
    }

    /// The next connection. Errors are logged and counted, and accepting is retried: at once where
    /// the connection itself failed, after a pause where the process or the machine is out of a
    /// resource, since the next attempt would fail in the same way.
    ///
    /// Where there are no file descriptors left, one of `spare` is closed first.
    pub(crate) async fn accept(&self, spare: Option<&Spare>) -> (TcpStream, SocketAddr) {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => error,
            };
            let reason = Shortage::from_error(&error);
            let counted = reason.map_or("connection", Shortage::reason);
            self.metrics
                .connections
                .accept_failed(self.address, counted);
            let Some(shortage) = reason else {
                tracing::debug!(listener = %self.address, %error, "a connection ended before it was accepted");
                continue;
            };
            if let Some(suppressed) = self.throttle.now() {
                tracing::error!(
                    listener = %self.address,
                    %error,
                    suppressed,
                    "cannot accept connections: {}; trying again",
                    shortage.advice()
                );
            }
            if shortage.is_of_descriptors() && spare.is_some_and(Spare::give_up_one) {
                continue;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The listener itself, once this no longer accepts on it.
    pub(crate) fn into_listener(self) -> TcpListener {
        self.listener
    }
}

/// Which resource is exhausted (accept(2), `ERRORS`).
#[derive(Clone, Copy)]
enum Shortage {
    Process,
    System,
    Memory,
    Other,
}

impl Shortage {
    /// `None` for errors of the connection itself, which Linux reports through accept(2).
    fn from_error(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error) {
            Some(Errno::MFILE) => Some(Self::Process),
            Some(Errno::NFILE) => Some(Self::System),
            Some(Errno::NOBUFS | Errno::NOMEM) => Some(Self::Memory),
            Some(
                Errno::CONNABORTED
                | Errno::INTR
                | Errno::PERM
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH,
            ) => None,
            _ => Some(Self::Other),
        }
    }

    const fn is_of_descriptors(self) -> bool {
        matches!(self, Self::Process | Self::System)
    }

    /// The value of the metrics' label; from a closed set.
    const fn reason(self) -> &'static str {
        match self {
            Self::Process => "process_descriptors",
            Self::System => "system_descriptors",
            Self::Memory => "memory",
            Self::Other => "other",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Process => {
                "this process is out of file descriptors: raise its hard limit (ulimit -n, \
                 LimitNOFILE)"
            }
            Self::System => "the machine is out of file descriptors: raise fs.file-max",
            Self::Memory => "the machine is out of memory for sockets",
            Self::Other => "accept(2) failed",
        }
    }
}

/// File descriptors that are held open only to be closed when a connection must be accepted and
/// none is left: neither other parts of the process nor other processes can take them.
#[derive(Debug)]
pub(crate) struct Spare {
    held: Mutex<Vec<File>>,
    count: usize,
}

impl Spare {
    /// Opens up to `count` of them, or as many as the process still may.
    pub(crate) fn new(count: usize) -> Self {
        let spare = Self {
            held: Mutex::default(),
            count,
        };
        spare.refill();
        spare
    }

    /// Reopens the descriptors that were given up, as far as the process may. Call this right after
    /// a connection was closed.
    pub(crate) fn refill(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while held.len() < self.count {
            let Ok(file) = File::open("/dev/null") else {
                return;
            };
            held.push(file);
        }
    }

    fn give_up_one(&self) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.pop().is_some()
    }
}
