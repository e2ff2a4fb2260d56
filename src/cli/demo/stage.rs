//! What the demo starts and stops: a directory, two servers, and a watchdog that cleans up if the
//! demo is killed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::http::is_ready;
use super::{Failure, data};

const ISSUER: &str = "https://sso.example.com/realms/demo";
const AUDIENCE: &str = "demo";
const PATIENCE: Duration = Duration::from_mins(1);

/// Everything that the demo runs. Dropping it stops and removes all of it.
pub(super) struct Stage {
    pub(super) dir: PathBuf,
    children: Vec<Running>,
    watchdog: Child,
}

struct Running {
    name: &'static str,
    child: Child,
}

/// Partywall's addresses, and the secret that its config trusts.
pub(super) struct Proxy {
    pub(super) url: String,
    pub(super) admin: String,
    secret: String,
}

impl Stage {
    /// An empty directory that only this user can read, and the watchdog.
    pub(super) fn open() -> Result<Self, Failure> {
        let name = format!("partywall-demo-{}", random_text()?);
        let dir = std::env::temp_dir().join(name);
        let watchdog = start_watchdog(&dir)?;
        let stage = Self {
            dir,
            children: Vec::new(),
            watchdog,
        };
        let made = DirBuilder::new().mode(0o700).create(&stage.dir);
        made.map_err(|cause| format!("cannot make {}: {cause}", stage.dir.display()))?;
        Ok(stage)
    }

    /// Starts a Prometheus with the demo's series. Returns its URL once it answers.
    pub(super) async fn start_prometheus(
        &mut self,
        prometheus: &Path,
        promtool: &Path,
    ) -> Result<String, Failure> {
        let series = self.write("series.om", &data::open_metrics(data::now()))?;
        let config = self.write("prometheus.yml", "global: {}\n")?;
        let blocks = self.dir.join("data");
        let made = Command::new(promtool)
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&series, &blocks])
            .output()
            .map_err(|cause| format!("cannot run promtool: {cause}"))?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(format!("promtool could not make the data: {said}"));
        }
        let address = free_address()?;
        let mut command = Command::new(prometheus);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", blocks.display()))
            .arg(format!("--web.listen-address={address}"));
        self.start("prometheus", command)?;
        let url = format!("http://{address}");
        self.until_ready(&format!("{url}/-/ready")).await?;
        Ok(url)
    }

    /// Starts `partywall serve` in front of `store` and `traces`.
    pub(super) async fn start_partywall(
        &mut self,
        store: &str,
        traces: &str,
    ) -> Result<Proxy, Failure> {
        let secret = random_text()? + &random_text()?;
        let secret_file = self.write("secret", &secret)?;
        let (address, admin) = (free_address()?, free_address()?);
        let config = format!(
            "\
listeners:
  - address: {address}
admin:
  address: {admin}
upstreams:
  - name: prometheus
    api: prometheus
    url: {store}
  - name: tempo
    api: tempo
    url: {traces}
tokens:
  issuers:
    - issuer: {ISSUER}
      audiences: [{AUDIENCE}]
      algorithms: [HS256]
      hmac_secret_file: {}
tenancy:
  claim: tenant_id
  metrics:
    label: tenant_id
  traces:
    attribute: resource.tenant_id
",
            secret_file.display()
        );
        let config = self.write("partywall.yaml", &config)?;
        let own = std::env::current_exe()
            .map_err(|cause| format!("cannot find this program's own file: {cause}"))?;
        let mut command = Command::new(own);
        command.arg("serve").arg("--config").arg(config);
        self.start("partywall", command)?;
        let (url, admin) = (format!("http://{address}"), format!("http://{admin}"));
        self.until_ready(&format!("{admin}/-/ready")).await?;
        Ok(Proxy { url, admin, secret })
    }

    /// Returns an error when a server ends by itself.
    pub(super) async fn until_one_ends(&mut self) -> Result<(), Failure> {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.check_children()?;
        }
    }

    async fn until_ready(&mut self, url: &str) -> Result<(), Failure> {
        let ready = async {
            while !is_ready(url).await {
                self.check_children()?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        };
        let late = |_| {
            Err(format!(
                "no answer from {url} within {} s",
                PATIENCE.as_secs()
            ))
        };
        tokio::time::timeout(PATIENCE, ready)
            .await
            .unwrap_or_else(late)
    }

    fn check_children(&mut self) -> Result<(), Failure> {
        for Running { name, child } in &mut self.children {
            if let Ok(Some(status)) = child.try_wait() {
                let mut log = String::new();
                let _ = File::open(self.dir.join(format!("{name}.log")))
                    .and_then(|mut file| file.read_to_string(&mut log));
                return Err(format!("{name} ended with {status}:\n{log}"));
            }
        }
        Ok(())
    }

    /// Starts a server in its own process group, so that Ctrl-C in a terminal reaches only the demo.
    fn start(&mut self, name: &'static str, mut command: Command) -> Result<(), Failure> {
        let failed = |cause| format!("cannot start {name}: {cause}");
        let log = File::create(self.dir.join(format!("{name}.log"))).map_err(failed)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let id = child.id();
        self.children.push(Running { name, child });
        let watched = self
            .watchdog
            .stdin
            .as_mut()
            .map(|pipe| writeln!(pipe, "{id}"));
        watched.transpose().map_err(failed)?;
        Ok(())
    }

    /// Writes a file that only this user can read.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.dir.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let written = options
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|cause| format!("cannot write {}: {cause}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for Running { child, .. } in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        // Killed before the directory is removed, so that it does not kill process ids that are free
        // by now.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Proxy {
    /// A token for `tenant` that is valid for a day.
    pub(super) fn token(&self, tenant: &str) -> Result<String, Failure> {
        let now = data::now();
        let claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": format!("demo-{tenant}"),
            "iat": now,
            "exp": now + 24 * 3600,
            "tenant_id": tenant,
        });
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
            .map_err(|cause| format!("cannot sign a token: {cause}"))
    }
}

/// Starts a shell that reads process ids until its pipe closes, which happens however the demo ends.
/// Then it kills these processes and removes the directory.
fn start_watchdog(dir: &Path) -> Result<Child, Failure> {
    const SCRIPT: &str = "trap '' INT TERM HUP; \
                          while read -r id; do ids=\"$ids $id\"; done; \
                          [ -z \"$ids\" ] || kill -KILL $ids; rm -rf -- \"$0\"";
    Command::new("sh")
        .arg("-c")
        .arg(SCRIPT)
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|cause| format!("cannot run sh: {cause}"))
}

fn free_address() -> Result<std::net::SocketAddr, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|cause| format!("no free port on 127.0.0.1: {cause}"))
}

/// 128 random bits.
fn random_text() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "no random numbers".to_owned())?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
