//! gRPC over HTTP/2 as far as a proxy of Tempo needs it: which methods there are, the frames
//! that messages come in, and how a call ends. Pure.
//!
//! The rules are those of
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md> unless named otherwise.

pub mod frame;
pub mod method;
pub mod status;
