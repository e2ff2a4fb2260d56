//! What an operator must be told, again and again, of upstreams with `shadow`.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::settings::{Settings, Shadow};

/// The state of one upstream's `shadow`; its text is for logs, terminals and readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadowed {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// `shadow.until`.
    pub until: SystemTime,
    /// Whether it has not passed yet.
    pub is_in_force: bool,
}

/// Every upstream with `shadow`, as it is at this moment.
pub fn shadowed(settings: &Settings, now: SystemTime) -> Vec<Shadowed> {
    let upstreams = settings.upstreams.iter();
    upstreams
        .filter_map(|upstream| {
            let shadow: &Shadow = upstream.shadow.as_ref()?;
            Some(Shadowed::of(Arc::clone(&upstream.name), shadow, now))
        })
        .collect()
}

impl Shadowed {
    pub(super) fn of(upstream: Arc<str>, shadow: &Shadow, now: SystemTime) -> Self {
        Self {
            upstream,
            until: shadow.until(),
            is_in_force: shadow.is_in_force(now),
        }
    }
}

impl fmt::Display for Shadowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            upstream,
            until,
            is_in_force,
        } = self;
        let until = humantime::format_rfc3339_seconds(*until);
        if *is_in_force {
            write!(
                f,
                "upstream {upstream} is in shadow mode until {until}: nothing is enforced there"
            )
        } else {
            write!(
                f,
                "upstream {upstream}: its shadow mode ended at {until}, all is enforced; take \
                 `shadow` out of the config"
            )
        }
    }
}
