//! gRPC over HTTP/2, as far as a proxy of Tempo needs it: methods, message frames and the status
//! that ends a call. Pure.
//!
//! The rules are those of
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md> unless named otherwise.

pub mod frame;
pub mod method;
pub mod status;
