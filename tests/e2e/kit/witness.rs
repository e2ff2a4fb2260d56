//! What must hold while something hostile goes on: another tenant is served, and memory is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::kit::client::{Ask, Client};
use crate::kit::partywall::Partywall;

pub const MIB: usize = 1 << 20;

/// Another tenant, who asks one question after the other.
pub struct Neighbour {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    asking: JoinHandle<()>,
}

impl Neighbour {
    /// Asks for `path`, whose answer must be a 200.
    pub fn of(proxy: &Partywall, path: &'static str) -> Self {
        let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (url, token) = (proxy.url.clone(), proxy.signer.tenant("beta"));
        let (over, count) = (Arc::clone(&stop), Arc::clone(&served));
        let asking = tokio::spawn(async move {
            let client = Client::default();
            while !over.load(Ordering::Relaxed) {
                let ask = Ask::get(path, &[]);
                let answer = client.ask(&url, &ask, Some(&token)).await;
                assert_eq!(answer.status, 200, "the neighbour: {}", answer.text());
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self {
            stop,
            served,
            asking,
        }
    }

    /// Ends it; fails when it was not served all the time.
    pub async fn was_served(self) {
        // One more, begun now.
        let before = self.served.load(Ordering::Relaxed);
        let more = async {
            while self.served.load(Ordering::Relaxed) < before + 2 && !self.asking.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let more = tokio::time::timeout(super::stage::PATIENCE, more).await;
        self.stop.store(true, Ordering::Relaxed);
        self.asking.await.expect("the neighbour is served");
        more.expect("the neighbour is served in the end");
    }
}

/// The most memory the process ever had, in bytes.
pub fn peak_memory(proxy: &Partywall) -> usize {
    of_status(proxy, "VmHWM:")
}

fn of_status(proxy: &Partywall, key: &str) -> usize {
    let path = format!("/proc/{}/status", proxy.process.id());
    let status = std::fs::read_to_string(path).expect("the process lives");
    let line = status.lines().find(|line| line.starts_with(key));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kilobytes.expect("a number") * 1024
}

/// Fails when the process took more memory than this.
pub fn assert_memory_below(what: &str, proxy: &Partywall, bytes: usize) {
    let peak = peak_memory(proxy);
    println!("{what}: at most {} MiB", peak / MIB);
    assert!(
        peak < bytes,
        "{what}: {} MiB of memory, more than {}",
        peak / MIB,
        bytes / MIB
    );
}
