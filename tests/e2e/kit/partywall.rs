//! The real binary, in front of a store: [`Setup`] is how it is configured and started, the one way
//! there is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use super::client::Client;
use super::dataset::LABEL;
use super::process::{Guarded, free_port};
use super::stage::{PATIENCE, metric};
use super::tempo_data;
use super::token::{AUDIENCE, ISSUER, Signer};

/// The binary that is tested.
pub const BINARY: &str = env!("CARGO_BIN_EXE_partywall");

/// A config file, which is this as text, and how the process is started with it. Each part may be
/// replaced.
#[derive(Clone)]
pub struct Setup {
    pub port: u16,
    pub admin: u16,
    /// Further keys of `admin`.
    pub admin_options: Vec<String>,
    /// Further keys of the listener, and further listeners.
    pub listener: String,
    /// The metrics upstream's `url`; none if empty.
    pub upstream: String,
    /// Of the metrics upstream, as YAML in braces; none if empty or `{}`.
    pub credentials: String,
    /// Further keys of the metrics upstream, each with its value in one line.
    pub upstream_options: Vec<String>,
    /// Further upstreams, as YAML in braces.
    pub more: Vec<String>,
    pub tempo: Option<Tempo>,
    pub issuer: String,
    pub signer: Signer,
    /// Of the issuer's tokens, if `keys` are given.
    pub algorithm: &'static str,
    /// The issuer's keys, and what else it has; those of the signer if empty.
    pub keys: String,
    /// `tenancy` without its `metrics` and `traces`.
    pub tenancy: String,
    /// Further top-level YAML.
    pub rest: String,
    /// What a shell does before it becomes the process, such as `ulimit -n 100`.
    pub shell: String,
    pub environment: Vec<(&'static str, String)>,
}

/// The traces upstream.
#[derive(Clone)]
pub struct Tempo {
    pub url: String,
    /// What is in `tenancy.traces`.
    pub tenancy: String,
    /// Further keys of the upstream, each on its line, not indented.
    pub options: Vec<String>,
}

impl Setup {
    /// In front of a Prometheus.
    pub fn new(upstream: &str) -> Self {
        // An RSA key takes long to make.
        static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::rs256);
        Self {
            port: free_port(),
            admin: free_port(),
            admin_options: Vec::new(),
            listener: String::new(),
            upstream: upstream.to_owned(),
            credentials: String::new(),
            upstream_options: Vec::new(),
            more: Vec::new(),
            tempo: None,
            issuer: ISSUER.to_owned(),
            signer: SIGNER.clone(),
            algorithm: "",
            keys: String::new(),
            tenancy: "\
claim: tenant_id
  rules:
    - when:
        claim: groups
        values: [platform-admins]
      all_tenants: true"
                .to_owned(),
            rest: String::new(),
            shell: String::new(),
            environment: Vec::new(),
        }
    }

    /// In front of a Tempo.
    pub fn tempo(url: &str) -> Self {
        Self {
            tempo: Some(Tempo {
                url: url.to_owned(),
                tenancy: format!("attribute: resource.{}", tempo_data::ATTRIBUTE),
                options: Vec::new(),
            }),
            ..Self::new("")
        }
    }

    /// Reloads by signal or request alone, never by polling.
    pub fn unwatched(&mut self) {
        self.rest = "reload: {poll_interval: 1h}\n".to_owned();
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin)
    }

    /// Writes the config file, and what it names, into a folder.
    pub fn write(&self, folder: &Path) -> PathBuf {
        std::fs::write(folder.join("keys"), &self.signer.key_file).expect("a key file");
        let path = folder.join("partywall.yaml");
        std::fs::write(&path, self.to_string()).expect("a config file");
        path
    }

    /// Starts the process and waits until its admin address answers `page` with 200.
    pub async fn serve(&self, config: &Path, log: &Path, page: &str) -> Guarded {
        let mut command = if self.shell.is_empty() {
            Command::new(BINARY)
        } else {
            let mut shell = Command::new("sh");
            let script = format!("{}; exec \"$0\" \"$@\"", self.shell);
            shell.args(["-c", &script, BINARY]);
            shell
        };
        command.args(["serve", "--config"]).arg(config);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut process = Guarded::spawn("partywall", command, log);
        let (client, page) = (Client::default(), format!("{}{page}", self.admin_url()));
        process.until(PATIENCE, || client.is_ok(&page)).await;
        process
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            port,
            admin,
            admin_options,
            listener,
            upstream,
            credentials,
            upstream_options,
            more,
            tempo,
            issuer,
            signer,
            algorithm,
            keys,
            tenancy,
            rest,
            shell: _,
            environment: _,
        } = self;
        let listener = match listener.as_str() {
            "" => String::new(),
            given => format!("\n    {given}"),
        };
        let admin_options = lines("  ", admin_options);
        let credentials = match credentials.as_str() {
            "" | "{}" => String::new(),
            given => format!("\n    credentials: {given}"),
        };
        let (metrics, label) = match upstream.as_str() {
            "" => (String::new(), String::new()),
            url => (
                format!("\n  - name: metrics\n    api: prometheus\n    url: {url}{credentials}")
                    + &lines("    ", upstream_options),
                format!("  metrics:\n    label: {LABEL}\n"),
            ),
        };
        let (traces, attribute) = match tempo {
            None => (String::new(), String::new()),
            Some(Tempo {
                url,
                tenancy,
                options,
            }) => (
                format!("\n  - name: traces\n    api: tempo\n    url: {url}")
                    + &lines("    ", options),
                format!("  traces:\n    {tenancy}\n"),
            ),
        };
        let more = lines("  - ", more);
        let (algorithm, keys) = if keys.is_empty() {
            (signer.algorithm(), format!("{}: keys", signer.key_option()))
        } else {
            ((*algorithm).to_owned(), keys.clone())
        };
        write!(
            f,
            "\
listeners:
  - address: 127.0.0.1:{port}{listener}
admin:
  address: 127.0.0.1:{admin}{admin_options}
upstreams:{metrics}{more}{traces}
tokens:
  issuers:
    - issuer: {issuer}
      audiences: [{AUDIENCE}]
      algorithms: [{algorithm}]
      {keys}
tenancy:
  {tenancy}
{label}{attribute}{rest}"
        )
    }
}

fn lines(indent: &str, all: &[String]) -> String {
    let line = |text, line: &String| format!("{text}\n{indent}{line}");
    all.iter().fold(String::new(), line)
}

/// A process that is ready.
pub struct Partywall {
    /// Of the listener and of the admin endpoint, without a trailing slash.
    pub url: String,
    pub admin: String,
    pub signer: Signer,
    pub process: Guarded,
    dir: TempDir,
}

impl Partywall {
    pub async fn start(setup: Setup) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let config = setup.write(dir.path());
        let process = setup
            .serve(&config, &dir.path().join("log"), "/-/ready")
            .await;
        Self {
            url: setup.url(),
            admin: setup.admin_url(),
            signer: setup.signer,
            process,
            dir,
        }
    }

    /// For raw sockets: `127.0.0.1:port`.
    pub fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("partywall.yaml")
    }

    /// The sum of the samples whose line begins so, 0 where there is none.
    pub async fn metric(&self, series: &str) -> f64 {
        metric(&self.admin, series).await
    }
}
