//! What operators run: `k8s/`, `config/compose.yaml`, the Dockerfile, the alerts, the dashboard.
//! No cluster and no container engine is asked; what can be known without them is checked here.
//!
//! Some checks need tools that a newcomer may not have (kubectl, schemas). `.ci/deploy-tools`
//! installs them; what happens without them is in `kit/evidence.rs`.

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
