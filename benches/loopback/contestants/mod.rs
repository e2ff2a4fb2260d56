//! Partywall, and what it is measured against. All proxy to the same upstream.

mod envoy;
mod label_proxy;
mod nginx;
mod partywall;

pub(crate) use self::partywall::CLAIM;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::Outcome;
use crate::bare;
use crate::issuer::Issuer;
use crate::message::Messages;
use crate::process::{Group, Process, find, free_address};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The real binary.
    Partywall,
    /// Another build of it, which `PARTYWALL_BASELINE` names: to see what a change is worth.
    Baseline,
    /// See [`bare`].
    Bare,
    Nginx,
    Envoy,
    /// It checks each token's signature, as it does unless told to remember.
    EnvoyJwt,
    /// `prom-label-proxy`: it checks no token.
    LabelProxy,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Partywall,
        Self::Baseline,
        Self::Bare,
        Self::Nginx,
        Self::Envoy,
        Self::EnvoyJwt,
        Self::LabelProxy,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Partywall => "Partywall",
            Self::Baseline => "Partywall, baseline",
            Self::Bare => "bare hyper",
            Self::Nginx => "nginx",
            Self::Envoy => "Envoy",
            Self::EnvoyJwt => "Envoy, jwt_authn",
            Self::LabelProxy => "prom-label-proxy",
        }
    }

    /// The program, if it is installed.
    fn program(self) -> Option<PathBuf> {
        match self {
            Self::Partywall => Some(env!("CARGO_BIN_EXE_partywall").into()),
            Self::Baseline => std::env::var_os("PARTYWALL_BASELINE").map(PathBuf::from),
            Self::Bare => std::env::current_exe().ok(),
            Self::Nginx => find("NGINX_BIN", "nginx"),
            Self::Envoy | Self::EnvoyJwt => find("ENVOY_BIN", "envoy"),
            Self::LabelProxy => find("PROM_LABEL_PROXY_BIN", "prom-label-proxy"),
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        self.program().is_some()
    }
}

/// What they all are started with.
pub(crate) struct Stage {
    pub(crate) upstream: SocketAddr,
    pub(crate) issuer: Issuer,
    pub(crate) dir: TempDir,
}

/// One that runs.
pub(crate) struct Contestant {
    pub(crate) kind: Kind,
    pub(crate) http1: SocketAddr,
    /// HTTP/2 with prior knowledge.
    pub(crate) grpc: Option<SocketAddr>,
    pub(crate) group: Group,
    /// From the start to the first answer.
    pub(crate) ready_after: Duration,
    _process: Process,
}

/// How to run one.
struct Launch {
    command: Command,
    http1: SocketAddr,
    grpc: Option<SocketAddr>,
}

impl Contestant {
    /// Starts it; `None` if it is not installed.
    pub(crate) async fn start(kind: Kind, stage: &Stage) -> Outcome<Option<Self>> {
        Self::start_under(kind, stage, |command| command).await
    }

    /// Starts it as another program says that runs it.
    pub(crate) async fn start_under(
        kind: Kind,
        stage: &Stage,
        wrap: impl FnOnce(Command) -> Command,
    ) -> Outcome<Option<Self>> {
        let Some(program) = kind.program() else {
            return Ok(None);
        };
        let launch = match kind {
            Kind::Partywall | Kind::Baseline => partywall::launch(program, stage)?,
            Kind::Bare => bare(stage)?,
            Kind::Nginx => nginx::launch(program, stage)?,
            Kind::Envoy => envoy::launch(program, stage, envoy::Token::Unchecked)?,
            Kind::EnvoyJwt => envoy::launch(program, stage, envoy::Token::Checked)?,
            Kind::LabelProxy => label_proxy::launch(program, stage)?,
        };
        let log = stage.dir.path().join(format!("{kind:?}.log"));
        let started = Instant::now();
        let mut process = Process::spawn(wrap(launch.command), &log)?;
        while !answers(launch.http1).await {
            process
                .still_runs()
                .map_err(|cause| format!("{}: {cause}", kind.name()))?;
            if started.elapsed() > Duration::from_mins(1) {
                return Err(format!("{} does not answer", kind.name()).into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ready_after = started.elapsed();
        Ok(Some(Self {
            kind,
            http1: launch.http1,
            grpc: launch.grpc,
            group: process.group()?,
            ready_after,
            _process: process,
        }))
    }
}

fn bare(stage: &Stage) -> Outcome<Launch> {
    let addresses = bare::Addresses {
        http1: free_address()?,
        http2: free_address()?,
        upstream: stage.upstream,
    };
    Ok(Launch {
        command: addresses.command()?,
        http1: addresses.http1,
        grpc: Some(addresses.http2),
    })
}

/// Whether a request is answered. One that asks for no data, so that a 401 or 404 will do.
async fn answers(address: SocketAddr) -> bool {
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"GET /static/app.js HTTP/1.1\r\nHost: proxy\r\n\r\n")
            .await?;
        Messages::new(64 * 1024).next(&mut stream).await
    };
    matches!(answer.await, Ok(Some(_)))
}
