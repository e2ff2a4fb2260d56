//! The demo's series: the same metrics for two tenants.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const TENANTS: [&str; 2] = ["acme", "globex"];

const STEP: u64 = 15;
const PAST: u64 = 2 * 3600;
/// The store's series reach into the future, so that the demo has new samples while it runs.
const FUTURE: u64 = 8 * 3600;

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}

/// All series as `promtool tsdb create-blocks-from openmetrics` reads them.
pub(super) fn open_metrics(now: u64) -> String {
    let start = now.saturating_sub(PAST);
    let mut text = String::new();
    for (tenant, pace) in TENANTS.into_iter().zip([3, 7]) {
        for (region, share) in [("eu", 2), ("us", 5)] {
            let labels = format!("tenant_id=\"{tenant}\",region=\"{region}\"");
            push(
                &mut text,
                &format!("shop_orders_total{{{labels}}}"),
                start,
                |i| i * pace * share,
            );
            push(
                &mut text,
                &format!("shop_open_carts{{{labels}}}"),
                start,
                |i| pace * 10 + (i * share) % 9,
            );
        }
        let target = format!("up{{tenant_id=\"{tenant}\",job=\"shop\",instance=\"{tenant}-0\"}}");
        push(&mut text, &target, start, |_| 1);
    }
    text.push_str("# EOF\n");
    text
}

fn push(text: &mut String, series: &str, start: u64, value: impl Fn(u64) -> u64) {
    for i in 0..(PAST + FUTURE) / STEP {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{series} {} {}", value(i), start + i * STEP);
    }
}
