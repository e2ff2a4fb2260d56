//! Made-up traces, of which a known part is ours.
#![allow(dead_code, unused_imports, reason = "each bench uses a part")]

mod json;
mod protobuf;

pub(crate) use self::json::{CHUNK, JsonTrace, SPAN_BYTES, Shape};
pub(crate) use self::protobuf::ProtobufTrace;

pub(crate) const ATTRIBUTE: &str = "tenant_id";
pub(crate) const OURS: &str = "acme";
const FOREIGN: &str = "globex";

/// Resources of one service are many pods', so neighbours differ.
const PODS: usize = 8;

/// Whose the `ResourceSpans` of a made-up trace are.
#[derive(Clone, Copy)]
pub(crate) enum Whose {
    Ours,
    EveryOther,
}

impl Whose {
    pub(crate) fn tenant(self, index: usize) -> &'static str {
        match self {
            Self::EveryOther if index % 2 == 1 => FOREIGN,
            _ => OURS,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "all ours",
            Self::EveryOther => "half foreign",
        }
    }
}
