//! The config that Partywall runs with.

use std::path::PathBuf;
use std::process::Command;

use super::{Launch, Stage};
use crate::Outcome;
use crate::issuer::{AUDIENCE, ISSUER};
use crate::made_up::ATTRIBUTE;
use crate::process::free_address;

/// The claim that names the tenants.
pub(crate) const CLAIM: &str = "tenants";

/// Defaults, but for what tokens of a thousand tenants, traces of 100 MB and the slowness of callgrind
/// need, and `search_metadata`: the upstream has the recorded answer to the search of `verify`, and none
/// to those of `exact`, which depend on the page.
pub(super) fn launch(program: PathBuf, stage: &Stage) -> Outcome<Launch> {
    let (address, admin, upstream) = (free_address()?, free_address()?, stage.upstream);
    let dir = tempfile::tempdir_in(&stage.dir)?.keep();
    std::fs::write(dir.join("jwks.json"), &stage.issuer.jwks)?;
    let config = dir.join("partywall.yaml");
    let text = format!(
        "\
listeners:
  - address: {address}
admin:
  address: {admin}
upstreams:
  - name: thanos
    api: prometheus
    url: http://{upstream}
  - name: tempo
    api: tempo
    url: http://{upstream}
tokens:
  issuers:
    - issuer: {ISSUER}
      audiences: [{AUDIENCE}]
      algorithms: [RS256]
      jwks_file: jwks.json
  max_bytes: 64KiB
tenancy:
  claim: {CLAIM}
  metrics:
    label: {ATTRIBUTE}
  traces:
    attribute: resource.{ATTRIBUTE}
traces:
  search_metadata: verify
passthrough:
  authentication: none
timeouts:
  first_request: 2m
limits:
  header_bytes: 128KiB
  unauthenticated_connections_per_address: 0
  answer_bytes: 256MiB
"
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(config);
    Ok(Launch {
        command,
        http1: address,
        grpc: Some(address),
    })
}
