//! The conventional `process_*` metrics
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>), read from
//! `/proc` at each scrape. What cannot be read is left out.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Ticks a second in `/proc` (`USER_HZ`): 100 on every architecture that Rust's standard library
/// runs on with Linux.
const TICKS: f64 = 100.0;

/// Reads the numbers of this process.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        if let Some(seconds) = cpu_seconds(&stat) {
            let counter = ConstCounter::new(seconds);
            let name = "process_cpu_seconds";
            let help = "User and system CPU time spent in seconds";
            counter.encode(describe(&mut encoder, name, help, MetricType::Counter)?)?;
        }
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Resident memory size in bytes",
                resident_bytes(&status),
            ),
            (
                "process_open_fds",
                "Number of open file descriptors",
                open_fds(),
            ),
            (
                "process_max_fds",
                "Maximum number of open file descriptors",
                max_fds(&limits),
            ),
            (
                "process_start_time_seconds",
                "Start time of the process since the Unix epoch in seconds",
                start_time(&stat, &boot),
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                let metric = describe(&mut encoder, name, help, MetricType::Gauge)?;
                ConstGauge::new(value).encode(metric)?;
            }
        }
        Ok(())
    }
}

fn describe<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
    kind: MetricType,
) -> Result<MetricEncoder<'e>, std::fmt::Error> {
    // prometheus-client adds a full stop to the help of registered metrics, but not to these.
    encoder.encode_descriptor(name, &format!("{help}."), None, kind)
}

/// A field of `/proc/self/stat`, counted as proc(5) does, from 1. The second, the name in
/// parentheses, may itself contain spaces and parentheses.
fn stat_field(stat: &str, field: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name
        .split_ascii_whitespace()
        .nth(field.checked_sub(3)?)?
        .parse()
        .ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS)
}

fn start_time(stat: &str, boot: &str) -> Option<f64> {
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + stat_field(stat, 22)? / TICKS)
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn max_fds(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

fn open_fds() -> Option<f64> {
    // One of them is the open directory itself.
    let count = fs::read_dir("/proc/self/fd").ok()?.count().checked_sub(1)?;
    u32::try_from(count).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 12345 1 2 3";

    fn near(value: Option<f64>, expected: f64) -> bool {
        value.is_some_and(|value| (value - expected).abs() < 1e-6)
    }

    #[test]
    fn fields_are_found_after_a_name_with_spaces() {
        assert!(near(cpu_seconds(STAT), 3.0), "{:?}", cpu_seconds(STAT));
        let boot = "cpu  1 2 3\nbtime 1700000000\nprocesses 9\n";
        assert!(near(start_time(STAT, boot), 1_700_000_123.45));
        assert!(near(
            resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"),
            2_097_152.0
        ));
        let limits = "Limit  Soft  Hard  Units\nMax open files            1024   524288   files\n";
        assert!(near(max_fds(limits), 1024.0));
    }

    #[test]
    fn missing_process_numbers_are_left_out() {
        for text in [
            "",
            "7 (x",
            "7 (x) S",
            "btime",
            "VmRSS: kB",
            "Max open files",
        ] {
            assert_eq!(cpu_seconds(text), None, "{text}");
            assert_eq!(start_time(text, text), None, "{text}");
            assert_eq!(resident_bytes(text), None, "{text}");
            assert_eq!(max_fds(text), None, "{text}");
        }
    }
}
