//! The real binary, in front of a store.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::client::Client;
use super::dataset::LABEL;
use super::process::{Guarded, free_port};
use super::tempo_data;
use super::token::{AUDIENCE, ISSUER, Signer};

pub struct Partywall {
    /// Of the listener and of the admin endpoint, without a trailing slash.
    pub url: String,
    pub admin: String,
    pub signer: Signer,
    pub process: Guarded,
    dir: TempDir,
}

/// What the config says besides addresses and keys.
pub struct Setup {
    /// A further key of the listener.
    pub listener: String,
    /// The metrics upstream's `url`; none if empty.
    pub upstream: String,
    pub tempo: Option<Tempo>,
    /// Further keys of the upstream, each on its line, not indented.
    pub upstream_options: Vec<String>,
    /// Further top-level YAML.
    pub rest: String,
    pub signer: Signer,
    /// The soft and the hard limit of open files; as the tests' own if `None`.
    pub open_files: Option<(u32, u32)>,
}

/// The traces upstream.
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
        Self {
            listener: String::new(),
            upstream: upstream.to_owned(),
            tempo: None,
            upstream_options: Vec::new(),
            rest: String::new(),
            signer: Signer::rs256(),
            open_files: None,
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
}

impl Partywall {
    pub async fn start(setup: Setup) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let (port, admin) = (free_port(), free_port());
        std::fs::write(dir.path().join("keys"), &setup.signer.key_file).expect("a key file");
        let config = dir.path().join("partywall.yaml");
        std::fs::write(&config, config_text(&setup, &dir, port, admin)).expect("a config file");
        let binary = env!("CARGO_BIN_EXE_partywall");
        let mut command = match setup.open_files {
            None => Command::new(binary),
            Some((soft, hard)) => {
                let mut shell = Command::new("sh");
                let limits = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec \"$0\" \"$@\"");
                shell.args(["-c", &limits, binary]);
                shell
            }
        };
        command.arg("serve").arg("--config").arg(&config);
        let mut process = Guarded::spawn("partywall", command, &dir.path().join("log"));
        let (client, ready) = (
            Client::default(),
            format!("http://127.0.0.1:{admin}/-/ready"),
        );
        process
            .until(Duration::from_secs(20), || client.is_ok(&ready))
            .await;
        Self {
            url: format!("http://127.0.0.1:{port}"),
            admin: format!("http://127.0.0.1:{admin}"),
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
}

fn config_text(setup: &Setup, dir: &TempDir, port: u16, admin: u16) -> String {
    let (algorithm, key_option) = (setup.signer.algorithm(), setup.signer.key_option());
    let keys = dir.path().join("keys");
    let (keys, rest) = (keys.display(), &setup.rest);
    let listener = match setup.listener.as_str() {
        "" => String::new(),
        given => format!("\n    {given}"),
    };
    let (mut upstreams, mut names) = (String::new(), String::new());
    if !setup.upstream.is_empty() {
        let options = &setup.upstream_options;
        upstreams += &upstream("metrics", "prometheus", &setup.upstream, options);
        names = format!("  metrics:\n    label: {LABEL}\n");
    }
    if let Some(tempo) = &setup.tempo {
        upstreams += &upstream("traces", "tempo", &tempo.url, &tempo.options);
        names = format!("{names}  traces:\n    {}\n", tempo.tenancy);
    }
    format!(
        "\
listeners:
  - address: 127.0.0.1:{port}{listener}
admin:
  address: 127.0.0.1:{admin}
upstreams:
{upstreams}tokens:
  issuers:
    - issuer: {ISSUER}
      audiences: [{AUDIENCE}]
      algorithms: [{algorithm}]
      {key_option}: {keys}
tenancy:
  claim: tenant_id
  rules:
    - when:
        claim: groups
        values: [platform-admins]
      all_tenants: true
{names}{rest}"
    )
}

fn upstream(name: &str, api: &str, url: &str, options: &[String]) -> String {
    let head = format!("  - name: {name}\n    api: {api}\n    url: {url}\n");
    options
        .iter()
        .fold(head, |text, line| format!("{text}    {line}\n"))
}
