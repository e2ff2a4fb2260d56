//! Real stores: Debian's Prometheus over blocks made by its promtool.
//!
//! `PROMETHEUS` and `PROMTOOL` name other binaries than those in `PATH`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use tempfile::TempDir;

use super::client::Client;
use super::dataset::{Dataset, Series};
use super::process::{Guarded, find_tool, free_port};
use super::protobuf::{Exemplar, Label, Sample, TimeSeries, WriteRequest, pack};

pub struct Prometheus {
    /// Without a trailing slash.
    pub url: String,
    name: String,
    port: u16,
    process: Guarded,
    dir: TempDir,
}

/// What a Prometheus has besides its data.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Job name and `static_configs` of `scrape_configs`, as YAML.
    pub scrape_configs: String,
    /// Name and text of rule files.
    pub rule_files: Vec<(String, String)>,
    /// Inside of a flow mapping.
    pub external_labels: String,
}

impl Prometheus {
    /// With the dataset in its blocks, and its newest samples and exemplars in its head.
    pub async fn with_data(name: &str, data: &Dataset) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let (blocks, copy) = (dir.path().join("data"), data.clone());
        tokio::task::spawn_blocking(move || make_blocks(&copy, &blocks))
            .await
            .expect("blocks");
        let store = Self::start(name, dir, &Extras::default()).await;
        store.write_head(data).await;
        store
    }

    /// Without blocks.
    pub async fn with_extras(name: &str, extras: &Extras) -> Self {
        Self::start(name, TempDir::new().expect("a temporary directory"), extras).await
    }

    async fn start(name: &str, dir: TempDir, extras: &Extras) -> Self {
        let port = free_port();
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, config_text(extras)).expect("a config file");
        for (file, text) in &extras.rule_files {
            std::fs::write(dir.path().join(file), text).expect("a rule file");
        }
        let process = Self::launch(name, &dir, port).await;
        Self {
            url: format!("http://127.0.0.1:{port}"),
            name: name.to_owned(),
            port,
            process,
            dir,
        }
    }

    async fn launch(name: &str, dir: &TempDir, port: u16) -> Guarded {
        let config = dir.path().join("prometheus.yml");
        let mut command = Command::new(tool("PROMETHEUS", "prometheus"));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args([
                "--storage.tsdb.retention.time=100y",
                // No compaction: the blocks stay what they were made.
                "--storage.tsdb.min-block-duration=2h",
                "--storage.tsdb.max-block-duration=2h",
                "--web.enable-remote-write-receiver",
                // The second is known to Prometheus 3 alone.
                "--enable-feature=exemplar-storage,promql-experimental-functions",
                "--log.level=warn",
            ]);
        let mut process = Guarded::spawn(name, command, &dir.path().join("log"));
        let (client, ready) = (
            Client::default(),
            format!("http://127.0.0.1:{port}/-/ready"),
        );
        process
            .until(Duration::from_mins(1), || client.is_ok(&ready))
            .await;
        process
    }

    /// Ends the process in good order and starts another with the same data at the same address.
    pub async fn restart(&mut self) {
        self.process.signal("TERM");
        let ended = self.process.wait(Duration::from_mins(1)).await;
        assert!(ended.is_some(), "{} does not end", self.name);
        self.process = Self::launch(&self.name, &self.dir, self.port).await;
    }

    /// Stops the process, which accepts connections and answers nothing, and lets it go on.
    pub async fn hang(&self, time: Duration) {
        self.process.signal("STOP");
        tokio::time::sleep(time).await;
        self.process.signal("CONT");
    }

    /// One newer sample with an exemplar for every counter and bucket; blocks hold no exemplars.
    async fn write_head(&self, data: &Dataset) {
        let time = (data.end + 10) * 1000;
        let with_exemplar = |series: &&Series| {
            series.name().ends_with("_bucket") || series.name().ends_with("_total")
        };
        let series = data.series.iter().filter(with_exemplar);
        let request = WriteRequest {
            timeseries: series.map(|series| newest(series, time)).collect(),
        };
        let request = Request::post(format!("{}/api/v1/write", self.url))
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(Full::from(Bytes::from(pack(&request))))
            .expect("a request");
        let answer = Client::default().send(request).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    }
}

fn newest(series: &Series, timestamp: i64) -> TimeSeries {
    let label = |(name, value): &(String, String)| Label {
        name: name.clone(),
        value: value.clone(),
    };
    let last = series.samples.last().map_or(0.0, |(_, value)| *value);
    // From the labels, so that it is the same in every store and tells whose it is.
    let who = series
        .labels
        .iter()
        .map(|(_, value)| value.as_str())
        .collect::<Vec<_>>()
        .join("/");
    let trace = Label {
        name: "trace_id".to_owned(),
        value: who.chars().take(60).collect(),
    };
    let exemplar = Exemplar {
        labels: vec![trace],
        value: 0.5,
        timestamp,
    };
    TimeSeries {
        labels: series.labels.iter().map(label).collect(),
        samples: vec![Sample {
            value: last + 1.0,
            timestamp,
        }],
        exemplars: vec![exemplar],
    }
}

/// Writes the dataset as TSDB blocks into `dir`.
pub fn make_blocks(data: &Dataset, dir: &Path) {
    std::fs::create_dir_all(dir).expect("a directory");
    let text = dir.with_extension("openmetrics");
    std::fs::write(&text, data.open_metrics()).expect("a file");
    let made = Command::new(tool("PROMTOOL", "promtool"))
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&text, dir])
        .output()
        .expect("promtool runs");
    assert!(
        made.status.success(),
        "promtool: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    std::fs::remove_file(&text).expect("the file is there");
}

fn tool(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| find_tool(name), PathBuf::from)
}

fn config_text(extras: &Extras) -> String {
    let mut text = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s, external_labels: {{{}}}}}\n",
        extras.external_labels
    );
    if !extras.rule_files.is_empty() {
        let names: Vec<&str> = extras
            .rule_files
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        writeln!(text, "rule_files: [{}]", names.join(", ")).expect("a string");
    }
    text.push_str(&extras.scrape_configs);
    text
}
