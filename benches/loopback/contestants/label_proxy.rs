//! prom-label-proxy with one tenant, which needs no look at a token.

use std::path::PathBuf;
use std::process::Command;

use super::{Launch, Stage};
use crate::Outcome;
use crate::made_up::{ATTRIBUTE, OURS};
use crate::process::free_address;

pub(super) fn launch(program: PathBuf, stage: &Stage) -> Outcome<Launch> {
    let address = free_address()?;
    let mut command = Command::new(program);
    command
        .arg(format!("-insecure-listen-address={address}"))
        .arg(format!("-upstream=http://{}", stage.upstream))
        .arg(format!("-label={ATTRIBUTE}"))
        .arg(format!("-label-value={OURS}"))
        .arg("-enable-label-apis");
    Ok(Launch {
        command,
        http1: address,
        grpc: None,
    })
}
