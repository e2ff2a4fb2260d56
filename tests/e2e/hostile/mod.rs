//! Hostile clients, broken upstreams and floods against the real binary, over raw sockets where
//! framing matters. Whatever comes: the process lives, its memory stays bounded, and others are
//! served meanwhile.
#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "a test's own bodies are small")]
#![allow(unreachable_pub, missing_docs, reason = "the modules of a test")]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "shared with the suite of the private store")]
#[path = "../private_store/requests.rs"]
mod requests;
#[allow(dead_code, reason = "shared with the lifecycle suite")]
#[path = "../lifecycle/rig.rs"]
mod rig;
#[allow(dead_code, reason = "shared with the lifecycle suite")]
#[path = "../lifecycle/stage.rs"]
mod stage;
#[allow(dead_code, reason = "shared with the lifecycle suite")]
#[path = "../lifecycle/wire.rs"]
mod wire;

mod frames;
mod witness;

mod clusters;
mod faults;
mod framing;
mod http2;
mod neighbours;
mod operator;
mod predicted;
mod pressure;
mod resources;
mod secure;
mod strangers;
