//! The upstreams with `shadow`, of which operators are reminded repeatedly.

use std::sync::Arc;
use std::time::SystemTime;

use super::settings::{Settings, Shadow, Shadowed};

/// Every upstream with `shadow`, as of this moment.
pub fn shadowed(settings: &Settings, now: SystemTime) -> Vec<Shadowed> {
    let upstreams = settings.upstreams.iter();
    upstreams
        .filter_map(|upstream| {
            let shadow: &Shadow = upstream.shadow.as_ref()?;
            Some(Shadowed::of(Arc::clone(&upstream.name), shadow, now))
        })
        .collect()
}
