//! The proxy with a config that the test writes, and writes again.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::json;
use tempfile::TempDir;

use super::client::{Answer, Ask, Client};
use super::partywall::Setup;
use super::process::Guarded;
use super::stage::{SECRET, eventually, metric};
use super::token::Signer;
use super::upstream::Upstream;

/// Of the tenant `acme`, for the config as it is at first.
pub static ACME: LazyLock<String> = LazyLock::new(|| Signer::hs256(SECRET).tenant("acme"));

/// Of a rig: read again every 100 ms, with a key of its own in the file.
pub fn setup(upstream: &str) -> Setup {
    Setup {
        signer: Signer::hs256(SECRET),
        algorithm: "HS256",
        keys: format!("hmac_secret: {SECRET}"),
        tenancy: "claim: tenant_id".to_owned(),
        rest: "reload: {poll_interval: 100ms}\n".to_owned(),
        ..Setup::new(upstream)
    }
}

pub struct Rig {
    pub upstream: Upstream,
    pub config: Setup,
    pub path: PathBuf,
    pub process: Guarded,
    client: Client,
    dir: TempDir,
}

impl Rig {
    pub async fn start(change: impl FnOnce(&mut Setup, &Path)) -> Self {
        let rig = Self::launch(change).await;
        eventually("it is ready", async || {
            rig.admin_status("/-/ready").await == 200
        })
        .await;
        rig
    }

    /// Waits until the process is there, ready or not.
    pub async fn launch(change: impl FnOnce(&mut Setup, &Path)) -> Self {
        Self::launch_from(change, |dir, config| config.write(dir)).await
    }

    /// With the config file put where `lay` says.
    pub async fn launch_from(
        change: impl FnOnce(&mut Setup, &Path),
        lay: impl FnOnce(&Path, &Setup) -> PathBuf,
    ) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let upstream = Upstream::start().await;
        let mut config = setup(&upstream.url);
        change(&mut config, dir.path());
        let path = lay(dir.path(), &config);
        let log = dir.path().join("log");
        let process = config.serve(&path, &log, "/-/healthy").await;
        Self {
            upstream,
            config,
            path,
            process,
            client: Client::default(),
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
        self.config.url()
    }

    pub fn admin(&self) -> String {
        self.config.admin_url()
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
