//! Responses of gRPC calls: a stream of messages, filtered one by one or merged, and a status at the end.

use bytes::Bytes;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use super::{build, tags, uncollected, unreadable, whole};
use crate::body::budget::Room;
use crate::body::{CollectError, ResponseBody, Streamed};
use crate::grpc::frame::{self, Decoder, FrameError};
use crate::grpc::status::{Code, Status, percent_decode};
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::{GrpcAnswer, TagsPlan, TagsSubject, WholeAnswer};
use crate::proxy::error::{ProxyError, grpc_status};
use crate::shares::Exceeded;
use crate::telemetry::log;
use crate::tempo::answer::Format;
use crate::tempo::errors;
use crate::tempo::tags::{TagsVersion, segments};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The most bytes of a message of a merged answer. Clients refuse 4 MiB by default, and
/// Tempo sends 2 MB (`max_grpc_streaming_packet_size`).
const MESSAGE_BYTES: usize = 1024 * 1024;

/// Makes the client's response.
pub(super) fn respond(
    head: &Parts,
    body: Streamed,
    answer: GrpcAnswer,
    room: Room,
    context: &RequestContext,
) -> Response<ResponseBody> {
    if head.status != StatusCode::OK {
        let code = Code::from_http(head.status.as_u16());
        return grpc_status(&errors::grpc_status(code, "")).map(ResponseBody::whole);
    }
    if let Some(status) = status_in(&head.headers) {
        return grpc_status(&status).map(ResponseBody::whole);
    }
    let (sender, receiver) = mpsc::channel(1);
    let relay = Relay {
        body,
        sender,
        room,
        context: context.clone(),
    };
    tokio::spawn(log::in_current_trace(relay.run(answer)));
    let content_type = HeaderValue::from_static("application/grpc");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
    build(StatusCode::OK, headers, ResponseBody::messages(receiver))
}

/// Reads the upstream's messages and sends the filtered ones, no faster than the client reads them.
/// Ends when either side does.
struct Relay {
    body: Streamed,
    sender: mpsc::Sender<Frame<Bytes>>,
    room: Room,
    context: RequestContext,
}

/// The client has disconnected.
struct Gone;

impl Relay {
    async fn run(mut self, answer: GrpcAnswer) {
        let sender = self.sender.clone();
        tokio::select! {
            () = sender.closed() => {}
            status = self.messages(&answer) => {
                if let Ok(status) = status {
                    let _gone = sender.send(Frame::trailers(trailers(&status))).await;
                }
            }
        }
    }

    /// Sends all messages, and returns the status of the call.
    async fn messages(&mut self, answer: &GrpcAnswer) -> Result<Status, Gone> {
        let mut decoder = Decoder::new(self.room.bytes);
        let mut held = self.room.budget.share();
        let mut collected = Collected::of(answer);
        loop {
            let frame = match self.body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(_broken)) => return Ok(errors::grpc_status(Code::Unavailable, "")),
                None => return Ok(errors::grpc_status(Code::Unknown, "")),
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    let is_whole = decoder.finish().is_ok();
                    let status = frame.trailers_ref().and_then(status_in);
                    let lost = || errors::grpc_status(Code::Internal, "");
                    let status = status.filter(|_| is_whole).unwrap_or_else(lost);
                    return match collected {
                        Some(collected) if status.code == Code::Ok => {
                            self.merged(&collected, status).await
                        }
                        _ => Ok(status),
                    };
                }
            };
            decoder.push(&data);
            // Until the next chunk, for what the decoder holds and for the messages taken from it.
            if let Err(exhausted) = held.resize(decoder.held_bytes()) {
                return Ok(out_of_room(exhausted));
            }
            loop {
                match decoder.message() {
                    Ok(Some(message)) => {
                        let result = match &mut collected {
                            Some(collected) => collected.add(message, &self.room).map(|()| None),
                            None => self.filtered(&message, answer).await.map(Some),
                        };
                        match result {
                            Ok(None) => {}
                            Ok(Some(frame)) => self.sender.send(frame).await.map_err(|_| Gone)?,
                            Err(status) => return Ok(status),
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return Ok(unfit(error, &self.room)),
                }
            }
        }
    }

    /// Sends the answer made of all that were collected, and returns the status of the call.
    async fn merged(&self, collected: &Collected<'_>, status: Status) -> Result<Status, Gone> {
        let messages: Vec<&[u8]> = collected
            .messages
            .iter()
            .map(|message| &**message)
            .collect();
        let plan = collected.plan;
        let (room, context) = (&self.room, &self.context);
        let merged = tags::filter(plan, &messages, Format::Protobuf, room, context).await;
        let has_scopes =
            matches!(plan.subject, TagsSubject::Names(_)) && plan.version == TagsVersion::V2;
        let merged = merged.and_then(|merged| {
            segments(merged, has_scopes, MESSAGE_BYTES).map_err(|error| unreadable(&error))
        });
        let merged = match merged {
            Ok(merged) => merged,
            Err(error) => return Ok(not_listed(&error)),
        };
        for message in merged {
            match self.framed(&message) {
                Ok(frame) => self.sender.send(frame).await.map_err(|_| Gone)?,
                Err(status) => return Ok(status),
            }
        }
        Ok(status)
    }

    /// A message as the client may see it; the call's status if it cannot be filtered.
    async fn filtered(&self, message: &[u8], answer: &GrpcAnswer) -> Result<Frame<Bytes>, Status> {
        match answer {
            GrpcAnswer::Unmodified => self.framed(message),
            GrpcAnswer::Filtered(filter) => {
                let filter: &WholeAnswer = filter;
                let (room, context) = (&self.room, &self.context);
                let filtered = whole::filter(filter, message, Format::Protobuf, room, context);
                let filtered = filtered.await.map_err(|error| {
                    let error = error.log_text();
                    tracing::warn!(error, "a gRPC message cannot be filtered");
                    errors::grpc_status(Code::Internal, "")
                })?;
                self.framed(&filtered)
            }
        }
    }

    fn framed(&self, message: &[u8]) -> Result<Frame<Bytes>, Status> {
        let framed = frame::encode(message);
        let framed = framed.ok_or_else(|| errors::grpc_status(Code::Internal, ""))?;
        let framed = self.room.budget.hold(framed).map_err(out_of_room)?;
        Ok(Frame::data(framed))
    }
}

/// The messages of a stream that are merged with the answers of further requests.
struct Collected<'p> {
    plan: &'p TagsPlan,
    messages: Vec<Bytes>,
    bytes: usize,
}

impl<'p> Collected<'p> {
    fn of(answer: &'p GrpcAnswer) -> Option<Self> {
        let GrpcAnswer::Filtered(filter) = answer else {
            return None;
        };
        match &**filter {
            WholeAnswer::Tags(plan) if filter.is_merged() || filter.has_names() => Some(Self {
                plan,
                messages: Vec::new(),
                bytes: 0,
            }),
            _ => None,
        }
    }

    /// Of an empty message too, what it takes here counts.
    fn add(&mut self, message: Bytes, room: &Room) -> Result<(), Status> {
        self.bytes += message.len() + size_of::<Bytes>();
        if self.bytes > room.bytes {
            return Err(not_listed(&uncollected(CollectError::TooLarge, room)));
        }
        let message = room.budget.hold(message).map_err(out_of_room)?;
        self.messages.push(message);
        Ok(())
    }
}

/// The status of a call whose answers cannot be merged.
fn not_listed(error: &ProxyError) -> Status {
    tracing::warn!(error = error.log_text(), "tags cannot be listed");
    error.grpc_status()
}

/// The status of a call with a message that cannot be read.
fn unfit(error: FrameError, room: &Room) -> Status {
    let error = match error {
        FrameError::TooLong { .. } => uncollected(CollectError::TooLarge, room),
        error => unreadable(&error),
    };
    tracing::warn!(
        error = error.log_text(),
        "a gRPC message cannot be filtered"
    );
    error.grpc_status()
}

fn out_of_room(exhausted: Exceeded) -> Status {
    tracing::warn!(%exhausted, "a gRPC answer is cut off");
    Status::new(Code::ResourceExhausted, exhausted.to_string())
}

/// The status in headers or trailers, with a text that may be shown.
fn status_in(headers: &HeaderMap) -> Option<Status> {
    let code = Code::from_header(headers.get(&STATUS)?.to_str().unwrap_or_default());
    let message = headers
        .get(&MESSAGE)
        .map(|value| percent_decode(value.as_bytes()));
    Some(errors::grpc_status(code, &message.unwrap_or_default()))
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    for (name, value) in status.trailers() {
        if let Ok(value) = HeaderValue::from_str(&value) {
            trailers.insert(name, value);
        }
    }
    trailers
}
