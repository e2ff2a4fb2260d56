//! Shadow mode is always visible: besides the warning at every load of the config, it is logged
//! once an hour, and when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::config::settings::{Settings, Shadowed};
use crate::config::shadowed;
use crate::proxy::Proxy;

/// How often upstreams in shadow mode are logged.
const REMIND_AFTER: Duration = Duration::from_hours(1);

/// How soon an end is noticed for the log. For requests it applies at once.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// The upstreams that are in shadow mode now, for readiness.
pub(super) fn in_force(settings: &Settings) -> Vec<String> {
    let all = shadowed(settings, SystemTime::now()).into_iter();
    let in_force = all.filter(|shadowed| shadowed.is_in_force);
    in_force.map(|shadowed| shadowed.to_string()).collect()
}

/// Logs them repeatedly, for as long as the process lives.
pub(super) async fn remind(proxy: Arc<Proxy>) {
    let mut before: Vec<Shadowed> = Vec::new();
    let mut reminded = Instant::now();
    loop {
        tokio::time::sleep(LOOK_AFTER).await;
        let now = shadowed(proxy.snapshot().settings(), SystemTime::now());
        for shadowed in now.iter().filter(|shadowed| has_ended(shadowed, &before)) {
            log(shadowed);
        }
        if reminded.elapsed() >= REMIND_AFTER {
            reminded = Instant::now();
            now.iter().for_each(log);
        }
        before = now;
    }
}

fn has_ended(now: &Shadowed, before: &[Shadowed]) -> bool {
    let was = before.iter().find(|was| was.upstream == now.upstream);
    was.is_some_and(|was| was.is_in_force && !now.is_in_force)
}

fn log(shadowed: &Shadowed) {
    tracing::warn!(upstream = &*shadowed.upstream, "SHADOW MODE: {shadowed}");
}
