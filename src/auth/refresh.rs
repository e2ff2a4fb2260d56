//! The task that refreshes an issuer's published keys.
//!
//! It fetches them at once, then at intervals, earlier after a failure, and when a token names an
//! unknown key. Only this task fetches, so there is one fetch at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::clock::Clock;
use super::fetch::Provider;
use super::jwks::{self, Jwks};
use super::keys::{KeySet, Unusable};
use super::shared::{Current, Pacing, Shared};
use crate::config::settings::Algorithm;

pub(super) struct Refresher {
    pub(super) issuer: Arc<str>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) refresh_interval: Duration,
    pub(super) max_stale: Duration,
    pub(super) provider: Provider,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shared: Arc<Shared>,
}

impl Refresher {
    pub(super) async fn run(self) {
        let mut wanted = self.shared.fetches.subscribe();
        let mut failures = 0_u32;
        loop {
            self.shared.fetches.send_modify(|fetches| {
                fetches.wanted = false;
                fetches.running = true;
                fetches.last_start = Some(Instant::now());
            });
            failures = if self.fetch().await {
                0
            } else {
                failures.saturating_add(1)
            };
            self.shared.fetches.send_modify(|fetches| {
                fetches.running = false;
                fetches.completed += 1;
            });
            let pause = pause(&self.shared.pacing, self.refresh_interval, failures);
            tokio::select! {
                () = sleep(pause) => {}
                _ = wanted.wait_for(|fetches| fetches.wanted) => {}
            }
        }
    }

    async fn fetch(&self) -> bool {
        let outcome = match self.provider.fetch(self.shared.pacing.fetch).await {
            Err(why) => Err(why.to_string()),
            Ok(text) => jwks::parse(&text, &self.algorithms).map_err(|why| why.to_string()),
        };
        match outcome {
            Ok(jwks) => {
                self.take(jwks);
                self.shared.fetches_ok.fetch_add(1, Ordering::Relaxed);
                self.shared.failure.store(None);
                true
            }
            Err(why) => {
                tracing::warn!(
                    issuer = &*self.issuer,
                    "cannot fetch the issuer's keys: {why}"
                );
                self.shared.fetches_failed.fetch_add(1, Ordering::Relaxed);
                self.shared.failure.store(Some(Arc::new(why)));
                false
            }
        }
    }

    /// A set without a usable key is used as well: the provider says that no key is valid.
    fn take(&self, Jwks { keys, unused }: Jwks) {
        let usable_until = self.clock.now().saturating_add(self.max_stale.as_secs());
        let before = self.shared.current.load_full();
        let first = before.usable_until == 0;
        let same = *before.keys == keys;
        let current = if same {
            Current {
                keys: before.keys.clone(),
                generation: before.generation,
                usable_until,
            }
        } else {
            Current {
                keys: Arc::new(keys),
                generation: before.generation + 1,
                usable_until,
            }
        };
        if first || !same {
            log_change(&self.issuer, &current.keys, &unused);
        }
        self.shared.current.store(Arc::new(current));
    }
}

/// The time until the next fetch. Up to a fifth is subtracted at random, so that replicas that
/// started together do not fetch together.
fn pause(pacing: &Pacing, refresh_interval: Duration, failures: u32) -> Duration {
    let whole = match failures.checked_sub(1) {
        None => refresh_interval,
        Some(doublings) => pacing
            .first_retry
            .saturating_mul(1 << doublings.min(16))
            .min(pacing.max_retry)
            .min(refresh_interval),
    };
    let mut random = [0_u8; 1];
    // If there are no random numbers, nothing is subtracted.
    let _ = aws_lc_rs::rand::fill(&mut random);
    let [part] = random;
    whole.saturating_sub(whole / (5 * 256) * u32::from(part))
}

fn log_change(issuer: &str, keys: &KeySet, unused: &[(String, Unusable)]) {
    for (key, why) in unused {
        match why {
            Unusable::RsaSize(_) | Unusable::Malformed => {
                tracing::warn!(issuer, key, "ignoring a key of the issuer: {why}");
            }
            _ => tracing::debug!(issuer, key, "ignoring a key of the issuer: {why}"),
        }
    }
    if keys.is_empty() {
        tracing::warn!(issuer, "the issuer publishes no usable key");
    } else {
        tracing::info!(issuer, keys = keys.len(), "the issuer has new keys");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_is_close_to_the_interval_and_grows_with_failures() {
        let usual = Duration::from_mins(5);
        for (failures, at_most) in [
            (0, 300),
            (1, 1),
            (2, 2),
            (3, 4),
            (6, 32),
            (7, 60),
            (u32::MAX, 60),
        ] {
            let at_most = Duration::from_secs(at_most);
            for _ in 0..100 {
                let pause = pause(&Pacing::USUAL, usual, failures);
                assert!(
                    pause <= at_most && pause >= at_most * 4 / 5,
                    "{failures}: {pause:?}"
                );
            }
        }
        let short = Duration::from_secs(10);
        assert!(pause(&Pacing::USUAL, short, 9) <= short);
        assert!(pause(&Pacing::USUAL, Duration::MAX, 0) > usual);
    }
}
