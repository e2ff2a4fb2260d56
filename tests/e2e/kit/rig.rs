//! The proxy with a config that the test writes, and writes again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::json;
use tempfile::TempDir;

use super::stage::{PATIENCE, SECRET, eventually, metric};
use crate::kit::client::{Answer, Ask, Client};
use crate::kit::dataset::LABEL;
use crate::kit::process::{Guarded, free_port};
use crate::kit::token::{AUDIENCE, ISSUER, Signer};
use crate::kit::upstream::Upstream;

/// Of the tenant `acme`, for the config as it is at first.
pub static ACME: LazyLock<String> = LazyLock::new(|| Signer::hs256(SECRET).tenant("acme"));

/// A config file; each part may be replaced.
#[derive(Clone, Debug)]
pub struct Config {
    pub port: u16,
    pub admin: u16,
    /// Further keys of `admin`.
    pub admin_options: Vec<String>,
    /// Further keys of the listener, and further listeners.
    pub listener: String,
    pub upstream: String,
    /// Further lines of the upstream, as YAML in braces.
    pub credentials: String,
    /// Further keys of the upstream, each with its value in one line.
    pub options: Vec<String>,
    /// Further upstreams, as YAML in braces.
    pub more: Vec<String>,
    pub issuer: String,
    pub algorithm: &'static str,
    /// The issuer's keys, and what else it has.
    pub keys: String,
    /// `tenancy` without its `metrics`.
    pub tenancy: String,
    pub rest: String,
}

impl Config {
    pub fn new(upstream: &str) -> Self {
        Self {
            port: free_port(),
            admin: free_port(),
            admin_options: Vec::new(),
            listener: String::new(),
            upstream: upstream.to_owned(),
            credentials: "{}".to_owned(),
            options: Vec::new(),
            more: Vec::new(),
            issuer: ISSUER.to_owned(),
            algorithm: "HS256",
            keys: format!("hmac_secret: {SECRET}"),
            tenancy: "claim: tenant_id".to_owned(),
            rest: "reload: {poll_interval: 100ms}\n".to_owned(),
        }
    }

    /// Never by polling.
    pub fn unwatched(&mut self) {
        self.rest = "reload: {poll_interval: 1h}\n".to_owned();
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            port,
            admin,
            admin_options,
            listener,
            upstream,
            credentials,
            options,
            more,
            issuer,
            algorithm,
            keys,
            tenancy,
            rest,
        } = self;
        let listener = match listener.as_str() {
            "" => String::new(),
            given => format!("\n    {given}"),
        };
        let admin_options = lines("  ", admin_options);
        let mut options: String = match credentials.as_str() {
            "{}" => String::new(),
            given => format!("\n    credentials: {given}"),
        } + &lines("    ", options);
        options += &lines("  - ", more);
        write!(
            f,
            "\
listeners:
  - address: 127.0.0.1:{port}{listener}
admin:
  address: 127.0.0.1:{admin}{admin_options}
upstreams:
  - name: metrics
    api: prometheus
    url: {upstream}{options}
tokens:
  issuers:
    - issuer: {issuer}
      audiences: [{AUDIENCE}]
      algorithms: [{algorithm}]
      {keys}
tenancy:
  {tenancy}
  metrics:
    label: {LABEL}
{rest}"
        )
    }
}

fn lines(indent: &str, all: &[String]) -> String {
    let line = |text, line: &String| format!("{text}\n{indent}{line}");
    all.iter().fold(String::new(), line)
}

pub struct Rig {
    pub upstream: Upstream,
    pub config: Config,
    pub path: PathBuf,
    pub process: Guarded,
    client: Client,
    dir: TempDir,
}

impl Rig {
    pub async fn start(change: impl FnOnce(&mut Config, &Path)) -> Self {
        let rig = Self::launch(change, |dir, config| {
            let path = dir.join("partywall.yaml");
            std::fs::write(&path, config.to_string()).expect("a config file");
            path
        })
        .await;
        eventually("it is ready", async || {
            rig.admin_status("/-/ready").await == 200
        })
        .await;
        rig
    }

    /// With the config file put where `lay` says; waits until the process is there, ready or not.
    pub async fn launch(
        change: impl FnOnce(&mut Config, &Path),
        lay: impl FnOnce(&Path, &Config) -> PathBuf,
    ) -> Self {
        let binary = || Command::new(env!("CARGO_BIN_EXE_partywall"));
        Self::launch_as(change, lay, binary).await
    }

    /// With the process begun by another command, which gets the same arguments.
    pub async fn launch_as(
        change: impl FnOnce(&mut Config, &Path),
        lay: impl FnOnce(&Path, &Config) -> PathBuf,
        command: impl FnOnce() -> Command,
    ) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let upstream = Upstream::start().await;
        let mut config = Config::new(&upstream.url);
        change(&mut config, dir.path());
        let path = lay(dir.path(), &config);
        let mut command = command();
        command.arg("serve").arg("--config").arg(&path);
        let mut process = Guarded::spawn("partywall", command, &dir.path().join("log"));
        let client = Client::default();
        let healthy = format!("http://127.0.0.1:{}/-/healthy", config.admin);
        process.until(PATIENCE, || client.is_ok(&healthy)).await;
        Self {
            upstream,
            config,
            path,
            process,
            client,
            dir,
        }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the config as it is now over the file.
    pub fn rewrite(&self) {
        std::fs::write(&self.path, self.config.to_string()).expect("a config file");
    }

    /// Replaces the config file by a rename, so that no half of it is ever read.
    pub fn replace(&self) {
        replace(&self.path, &self.config.to_string());
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.config.port)
    }

    pub fn admin(&self) -> String {
        format!("http://127.0.0.1:{}", self.config.admin)
    }

    pub async fn ask(&self, token: &str) -> Answer {
        self.ask_below("", token).await
    }

    /// Below a path prefix.
    pub async fn ask_below(&self, prefix: &str, token: &str) -> Answer {
        let ask = Ask::get(&format!("{prefix}/api/v1/query"), &[("query", "up")]);
        self.client.ask(&self.url(), &ask, Some(token)).await
    }

    pub async fn status(&self, token: &str) -> u16 {
        self.ask(token).await.status.as_u16()
    }

    pub async fn admin_get(&self, path: &str) -> Answer {
        self.client.get(&format!("{}{path}", self.admin())).await
    }

    pub async fn admin_status(&self, path: &str) -> u16 {
        self.admin_get(path).await.status.as_u16()
    }

    pub async fn post_reload(&self) -> Answer {
        let request = hyper::Request::post(format!("{}/-/reload", self.admin()))
            .header("content-type", "application/json");
        let request = request.body(http_body_util::Full::default());
        self.client.send(request.expect("a request")).await
    }

    pub async fn metric(&self, series: &str) -> f64 {
        metric(&self.admin(), series).await
    }

    /// How many loads of the config succeeded, the first included, and how many did not.
    pub async fn reloads(&self) -> (f64, f64) {
        (
            self.metric(r#"partywall_config_reloads_total{result="ok"}"#)
                .await,
            self.metric(r#"partywall_config_reloads_total{result="error"}"#)
                .await,
        )
    }

    /// Waits until a token is answered so.
    pub async fn until_status(&self, token: &str, status: u16) {
        let what = format!("a token is answered {status}");
        eventually(&what, async || self.status(token).await == status).await;
    }
}

/// Puts a file in the place of another, at once.
pub fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("a file");
    std::fs::rename(&new, path).expect("renamed");
}

/// Of a tenant, for the config as it is at first.
pub fn token(tenant: &str) -> String {
    Signer::hs256(SECRET).token(&json!({ "tenant_id": tenant }))
}
