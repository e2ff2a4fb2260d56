//! Accepting connections, whatever the kernel has to say about it.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};

use crate::telemetry::log::Throttle;
use crate::telemetry::metrics::Metrics;

/// The first pause after an error; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause. Descriptors come back at any time, and clients wait meanwhile.
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

    /// The next connection. What goes wrong is logged and counted, and tried again: at once where
    /// it was the connection's own fault, after a pause where the process or the machine is short
    /// of something, since the next attempt would fail in the same way.
    ///
    /// `spare` is asked for a descriptor first, where there are none left.
    pub(crate) async fn accept(&self, spare: Option<&Spare>) -> (TcpStream, SocketAddr) {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => error,
            };
            let reason = Shortage::of(&error);
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

    /// The listener itself, once no more is to be accepted by this.
    pub(crate) fn into_listener(self) -> TcpListener {
        self.listener
    }
}

/// What there is too little of (accept(2), `ERRORS`).
#[derive(Clone, Copy)]
enum Shortage {
    Process,
    System,
    Memory,
    Other,
}

impl Shortage {
    /// `None` for errors of the connection itself, which Linux reports by accept(2).
    fn of(error: &io::Error) -> Option<Self> {
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

    /// A word for metrics, of a closed set.
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
            Self::Other => "the system refuses",
        }
    }
}

/// Descriptors that are open for no other reason than to be closed when a connection must be
/// accepted and none is left: other parts of the process, and other processes, cannot take them.
#[derive(Debug)]
pub(crate) struct Spare {
    held: Mutex<Vec<File>>,
    count: usize,
}

impl Spare {
    /// Holds as many as there are to be had, up to `count`.
    pub(crate) fn new(count: usize) -> Self {
        let spare = Self {
            held: Mutex::default(),
            count,
        };
        spare.refill();
        spare
    }

    /// Opens again what was given up, as far as there are descriptors. To be called right after a
    /// connection was closed.
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
