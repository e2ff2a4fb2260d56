//! What the integration tests share: real stores, the real binary, data, tokens, a client and
//! a comparer of answers.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of this tree"
)]
#![allow(clippy::disallowed_methods, reason = "a test's own bodies are small")]
#![allow(
    missing_docs,
    reason = "names say it; nobody reads these as a library's pages"
)]

pub mod client;
pub mod compare;
pub mod dataset;
pub mod docs;
pub mod grpc;
pub mod partywall;
pub mod process;
pub mod prometheus;
pub mod protobuf;
pub mod random;
pub mod raw;
pub mod tempo_data;
pub mod tempo_messages;
pub mod tempo_upstream;
pub mod tls;
pub mod token;
pub mod upstream;
