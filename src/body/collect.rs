//! Buffers bodies, within a limit and the budget.

use std::pin::Pin;

use bytes::Bytes;
use hyper::body::Body as HttpBody;

use super::{BodyError, CollectError};
use crate::body::budget::{Room, Share};
use crate::shares::Exceeded;

/// Buffers a whole body, if it fits.
pub(super) async fn whole<B>(body: B, room: &Room) -> Result<Bytes, CollectError>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Unpin,
{
    match ahead(body, room).await {
        Ok(Ahead::Whole(bytes)) => Ok(bytes),
        Ok(Ahead::Cut(cut)) => Err(cut.why()),
        Err(broken) => Err(CollectError::Broken(broken)),
    }
}

/// Buffers a body as far as it fits. This is the only way to buffer one: what it reserves of the
/// budget, as the body grows, is returned when the last of the bytes is dropped.
pub(super) async fn ahead<B>(mut body: B, room: &Room) -> Result<Ahead<B>, BodyError>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Unpin,
{
    let declared = body.size_hint().lower();
    let mut share = room.budget.share();
    if usize::try_from(declared).map_or(true, |declared| declared > room.bytes) {
        let nothing = [Bytes::new(), Bytes::new()];
        return Ok(Ahead::cut(CollectError::TooLarge, nothing, body));
    }
    let mut first = Bytes::new();
    let mut rest = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let length = first.len() + rest.len() + data.len();
        let is_first = first.is_empty() && rest.is_empty();
        let room_for_it = if length > room.bytes {
            Err(CollectError::TooLarge)
        } else if is_first {
            share.resize(length).map_err(CollectError::Exhausted)
        } else {
            reserve(&mut rest, length, room.bytes, &mut share).map_err(CollectError::Exhausted)
        };
        if let Err(why) = room_for_it {
            let read = if rest.is_empty() { first } else { rest.into() };
            return Ok(Ahead::cut(why, [share.bind(read), data], body));
        }
        if is_first {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    let whole = if rest.is_empty() { first } else { rest.into() };
    Ok(Ahead::Whole(share.bind(whole)))
}

/// Makes room for `length` bytes in total, for twice as much as before if the budget allows, so
/// that a body of many chunks is not copied for each of them.
fn reserve(
    buffer: &mut Vec<u8>,
    length: usize,
    limit: usize,
    share: &mut Share,
) -> Result<(), Exceeded> {
    if length <= buffer.capacity() {
        return Ok(());
    }
    let ample = (2 * buffer.capacity()).clamp(length, limit);
    let granted = match share.resize(ample) {
        Ok(()) => ample,
        Err(_) => share.resize(length).map(|()| length)?,
    };
    buffer.reserve_exact(granted - buffer.len());
    Ok(())
}

/// A body that was buffered as far as it fits.
pub(crate) enum Ahead<B> {
    /// The whole body.
    Whole(Bytes),
    /// Its start; the rest can still be streamed.
    Cut(Box<Cut<B>>),
}

impl<B> Ahead<B> {
    pub(super) fn cut(why: CollectError, read: [Bytes; 2], rest: B) -> Self {
        Self::Cut(Box::new(Cut { why, read, rest }))
    }
}

/// A body of which only the start is buffered.
pub(crate) struct Cut<B> {
    /// Why the rest is not buffered.
    pub(super) why: CollectError,
    /// What was buffered, in order.
    pub(super) read: [Bytes; 2],
    pub(super) rest: B,
}

impl<B> Cut<B> {
    pub(crate) fn why(self) -> CollectError {
        self.why
    }
}
