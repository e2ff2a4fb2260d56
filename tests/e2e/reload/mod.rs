//! What is read again while the process runs: its config, and the keys of issuers.

mod config;
mod keys;
