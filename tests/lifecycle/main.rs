//! The life of the process and of what flows through it: connections and their deadlines, drain,
//! admin endpoint, reload, keys, and an upstream that misbehaves. Always the real binary.
//!
//! Deadlines in these tests' configs are short; what is asserted is that they pass at all and not
//! too early, never that they pass quickly: the machine may be busy.
#![cfg(test)]
#![allow(unreachable_pub, missing_docs, reason = "the modules of a test")]
#![allow(clippy::disallowed_methods, reason = "a test's own bodies are small")]

#[path = "../common/mod.rs"]
mod common;

mod keys;
mod provider;
mod rig;
mod secure_upstream;
mod stage;
#[allow(dead_code, reason = "shared with the hostile suite")]
mod wire;

mod admin;
mod answer_cache;
mod answers;
mod audit;
mod clusters;
mod compression;
mod drain;
mod health;
mod leaving;
mod limits;
mod listener;
mod metrics;
mod named_clusters;
mod refused_bodies;
mod reload;
mod reuse;
mod rotation;
mod streaming;
mod tls;
mod tracing;
mod upstream;
mod upstreams_tls;
