//! Graceful shutdown: announces the drain to every connection, and waits for them to end.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// Starts the drain and waits for its end.
pub struct Drain {
    begin: watch::Sender<bool>,
    gone: mpsc::Receiver<std::convert::Infallible>,
}

/// Held by every task that must end before the process does.
#[derive(Clone)]
pub struct DrainWatch {
    begun: watch::Receiver<bool>,
    /// Never sent on: the channel closes when the last holder has been dropped.
    _alive: mpsc::Sender<std::convert::Infallible>,
}

/// A drain, and the watch to clone for each task.
pub fn channel() -> (Drain, DrainWatch) {
    let (begin, watch) = watch::channel(false);
    let (alive, gone) = mpsc::channel(1);
    (
        Drain { begin, gone },
        DrainWatch {
            begun: watch,
            _alive: alive,
        },
    )
}

impl Drain {
    /// Announces the drain to every holder, then waits until all are dropped, for at most `max`.
    /// Returns whether all were.
    pub async fn run(mut self, max: Duration) -> bool {
        self.begin.send_replace(true);
        tokio::time::timeout(max, self.gone.recv()).await.is_ok()
    }
}

impl DrainWatch {
    /// Whether the drain has begun.
    pub fn has_begun(&self) -> bool {
        *self.begun.borrow()
    }

    /// Waits for the drain to begin.
    pub async fn begun(&mut self) {
        // An error means that the `Drain` itself was dropped: the process ends.
        let _ = self.begun.wait_for(|begun| *begun).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn drain_ends_with_its_last_holder() {
        let (drain, watch) = channel();
        let mut holder = watch.clone();
        drop(watch);
        let held = tokio::spawn(async move {
            holder.begun().await;
        });
        assert!(drain.run(Duration::from_secs(5)).await);
        held.await.unwrap();
    }

    #[tokio::test]
    async fn drain_is_bounded_in_time() {
        let (drain, _watch) = channel();
        assert!(!drain.run(Duration::from_millis(10)).await);
    }
}
