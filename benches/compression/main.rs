//! What compression costs and saves, beside Prometheus' own: one range query, answered plain, by gzip
//! and by zstd, by Prometheus and by Partywall in front of it, in turns.
//!
//! A server's CPU time for compressing is what a compressed answer costs it more than a plain one. It
//! needs `prometheus` and `promtool` on the path; without them it says so and ends.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../harness/issuer.rs"]
mod issuer;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::{Map, json};
use tempfile::TempDir;

use crate::harness::{Table, is_quick};
use crate::issuer::{AUDIENCE, ISSUER, Issuer};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const SERIES: u32 = 40;
const POINTS: u64 = 1200;
/// Seconds from one to the next.
const STEP: u64 = 15;

/// Ended when it is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(mut command: Command, address: SocketAddr, ready: SocketAddr) -> Outcome<Self> {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { child, address };
        for _ in 0..600 {
            if get(ready, "/-/ready", &[]).is_ok_and(|(head, _)| head.contains(" 200 ")) {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("a server does not get ready".into())
    }

    /// CPU time so far, in clock ticks (`proc_pid_stat(5)`): a hundredth of a second each.
    fn ticks(&self) -> Outcome<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let times = fields.split_whitespace().skip(11).take(2);
        times.map(|field| Ok(field.parse::<u64>()?)).sum()
    }
}

fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The head and the bytes behind it, as they were sent.
fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Outcome<(String, usize)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n")?;
    }
    stream.write_all(format!("{request}\r\n").as_bytes())?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or("no answer")?;
    let head = String::from_utf8_lossy(all.get(..end).unwrap_or_default()).into_owned();
    Ok((head, all.len() - end - 4))
}

/// Rates that wander, and counters: what a dashboard asks for.
fn samples(begin: u64) -> Outcome<String> {
    let mut text = String::new();
    let mut state = 7_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        f64::from(u32::try_from(state >> 33).unwrap_or_default()) / f64::from(1_u32 << 31)
    };
    writeln!(text, "# TYPE m gauge")?;
    for series in 0..SERIES {
        let mut value = random() * 100.0;
        for point in 0..POINTS {
            value = (value + random() - 0.5).abs();
            let shown = if series % 4 == 0 {
                value.round()
            } else {
                value / 3.0
            };
            writeln!(
                text,
                "m{{tenant_id=\"acme\",instance=\"10.0.{}.{series}:9090\",handler=\"/api/{}\"}} {shown} {}",
                series / 8,
                series % 7,
                begin + point * STEP
            )?;
        }
    }
    writeln!(text, "# EOF")?;
    Ok(text)
}

fn prometheus(dir: &Path, begin: u64) -> Outcome<Server> {
    fs::write(dir.join("samples"), samples(begin)?)?;
    fs::write(dir.join("prometheus.yml"), "global: {}\n")?;
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([dir.join("samples"), dir.join("data")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !made.success() {
        return Err("promtool makes no blocks".into());
    }
    let address = free_address()?;
    let mut command = Command::new("prometheus");
    command
        .arg(format!(
            "--config.file={}",
            dir.join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            dir.join("data").display()
        ))
        .arg("--storage.tsdb.retention.time=100y")
        .arg(format!("--web.listen-address={address}"));
    Server::start(command, address, address)
}

fn partywall(dir: &Path, store: SocketAddr, jwks: &str) -> Outcome<Server> {
    let (address, admin) = (free_address()?, free_address()?);
    fs::write(dir.join("jwks.json"), jwks)?;
    let config = format!(
        "\
listeners: [{{address: {address}}}]
admin: {{address: {admin}}}
upstreams: [{{name: store, api: prometheus, url: http://{store}}}]
tokens:
  issuers: [{{issuer: {ISSUER}, audiences: [{AUDIENCE}], algorithms: [RS256], jwks_file: jwks.json}}]
tenancy: {{claim: tenant_id, metrics: {{label: tenant_id}}}}
compression: {{loopback: true}}
"
    );
    fs::write(dir.join("partywall.yaml"), config)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_partywall"));
    command
        .arg("serve")
        .arg("--config")
        .arg(dir.join("partywall.yaml"));
    Server::start(command, address, admin)
}

/// What an answer costs and weighs.
struct Cost {
    bytes: usize,
    milliseconds: f64,
}

fn measure(
    server: &Server,
    target: &str,
    headers: &[(&str, &str)],
    coding: &str,
    times: u32,
) -> Outcome<Cost> {
    let mut headers = headers.to_vec();
    headers.push(("Accept-Encoding", coding));
    let before = server.ticks()?;
    let mut bytes = 0;
    for _ in 0..times {
        let (head, length) = get(server.address, target, &headers)?;
        let is_coded = head.to_ascii_lowercase().contains("content-encoding:");
        if !head.contains(" 200 ") || is_coded != (coding != "identity") {
            return Err(format!("answered {head}").into());
        }
        bytes = length;
    }
    let ticks = u32::try_from(server.ticks()? - before)?;
    Ok(Cost {
        bytes,
        milliseconds: f64::from(ticks) * 10.0 / f64::from(times),
    })
}

fn main() -> Outcome<()> {
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("no prometheus on the path: nothing to compare with");
        return Ok(());
    }
    let times = if is_quick() { 20 } else { 200 };
    let dir = TempDir::new()?;
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    let begin = now - now % STEP - POINTS * STEP - 7200;
    let store = prometheus(dir.path(), begin)?;
    let issuer = Issuer::new()?;
    let mut claims = Map::new();
    claims.insert("tenant_id".to_owned(), json!("acme"));
    let token = format!("Bearer {}", issuer.token("bench", claims)?);
    let proxy = partywall(dir.path(), store.address, &issuer.jwks)?;
    let target = |query: &str| {
        let end = begin + (POINTS - 1) * STEP;
        format!("/api/v1/query_range?query={query}&start={begin}&end={end}&step={STEP}")
    };
    let direct = target("m%7Btenant_id%3D%22acme%22%7D");
    let through = target("m");
    let authorized = [("Authorization", token.as_str())];
    // Whatever is done once only.
    for coding in ["identity", "gzip"] {
        measure(&store, &direct, &[], coding, 3)?;
        measure(&proxy, &through, &authorized, coding, 3)?;
    }
    let [plain, gzip] =
        ["identity", "gzip"].map(|coding| measure(&store, &direct, &[], coding, times));
    let (plain, theirs) = (plain?, gzip?);
    let spent = |cost: &Cost, plain: &Cost| cost.milliseconds - plain.milliseconds;
    let theirs_spent = spent(&theirs, &plain);
    let mut table = Table::new(
        format!(
            "{SERIES} series of {POINTS} points, {} bytes plain, {times} answers each",
            plain.bytes
        ),
        &[
            &"compressed by",
            &"bytes",
            &"of Prometheus'",
            &"CPU ms",
            &"of Prometheus'",
        ],
    );
    let mut row = |name: &str, cost: &Cost, spent: f64| {
        let bytes = 100 * cost.bytes / theirs.bytes;
        table.row(&[
            &name,
            &cost.bytes,
            &format!("{bytes} %"),
            &format!("{spent:.1}"),
            &format!("{:.0} %", 100.0 * spent / theirs_spent),
        ]);
    };
    row("Prometheus, gzip", &theirs, theirs_spent);
    let ours = measure(&proxy, &through, &authorized, "identity", times)?;
    for coding in ["gzip", "zstd"] {
        let cost = measure(&proxy, &through, &authorized, coding, times)?;
        row(&format!("Partywall, {coding}"), &cost, spent(&cost, &ours));
    }
    table.print();
    Ok(())
}
