//! The real binary, end to end: in front of real stores, of recorded answers and of upstreams that
//! misbehave. One binary, so that the library is linked once; [`kit`] has what the modules share.
//!
//! Deadlines in these tests' configs are short; what is asserted is that they pass at all and not
//! too early, never that they pass quickly: the machine may be busy.
#![cfg(test)]
#![allow(unreachable_pub, missing_docs, reason = "the modules of a test")]
#![allow(clippy::disallowed_methods, reason = "a test's own bodies are small")]

mod kit;

mod admin;
mod alertmanager;
mod audit;
mod cache;
mod clients;
mod clusters;
mod connections;
mod deploy;
mod forwarding;
mod health;
mod hostile;
mod interfaces;
mod law;
mod limits;
mod metrics;
mod reload;
mod shadow;
mod soak;
mod spans;
mod tls;
mod tools;
mod traces;
