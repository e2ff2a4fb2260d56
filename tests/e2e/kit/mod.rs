//! What the tests share: real stores, the real binary, data, tokens, a client and a comparer of
//! answers.

pub mod alertmanager;
pub mod client;
pub mod compare;
pub mod dataset;
pub mod docs;
pub mod door;
pub mod evidence;
pub mod frames;
pub mod grpc;
pub mod hard_values;
pub mod keys;
pub mod otlp;
pub mod partywall;
pub mod process;
pub mod prometheus;
pub mod protobuf;
pub mod provider;
pub mod random;
pub mod raw;
pub mod rig;
pub mod secure_upstream;
pub mod stage;
pub mod tempo_data;
pub mod tempo_messages;
pub mod tempo_own_spans;
pub mod tempo_upstream;
pub mod tls;
pub mod token;
pub mod tool;
pub mod upstream;
pub mod wire;
pub mod witness;
