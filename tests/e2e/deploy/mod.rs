//! What operators run: `k8s/`, `config/compose.yaml`, the Dockerfile, the alerts, the dashboard.
//! No cluster and no container engine is asked; what can be known without them is checked here.
//!
//! Some checks need tools that a newcomer may not have (kubectl, schemas): without them the test
//! says so on standard error and passes. `.ci/deploy-tools` installs them, and with
//! `PARTYWALL_DEPLOY_TOOLS=required`, as in CI, their absence is a failure.

mod faked;
mod repository;
mod series;
mod tools;

mod alerts;
mod built;
mod compose;
mod dashboard;
mod docs;
mod image;
mod manifests;
mod reference;
