//! A cached response: as it was sent to the client, after everything of other tenants was removed.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::Response;
use hyper::header::{AGE, HeaderMap, HeaderName, HeaderValue};

use super::key::KeyHash;
use crate::body::ResponseBody;

/// Which flushes had happened when a response was looked up. If there was another by the time that
/// the response is complete, it is not cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlushEpoch(pub(super) [u8; 32]);

/// The result of looking up a response in the store.
pub(super) struct StoreLookup {
    pub(super) found: Option<CacheHit>,
    /// For caching a response later; `None` while the store cannot be reached.
    pub(super) epoch: Option<FlushEpoch>,
}

/// The headers and the body of a 200.
pub(super) struct CachedResponse {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A response that need not be requested.
#[derive(Clone)]
pub(super) struct CacheHit {
    pub(super) cached: Arc<CachedResponse>,
    /// Its age; `None` if it was just fetched, for another request.
    pub(super) age: Option<Duration>,
}

impl CacheHit {
    /// The response for a client (RFC 9111 §5.1 for `Age`).
    pub(super) fn response(&self) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::whole(self.cached.body.clone()));
        *response.headers_mut() = self.cached.headers.clone();
        if let Some(age) = self.age {
            let seconds = HeaderValue::from(age.as_secs());
            response.headers_mut().insert(AGE, seconds);
        }
        response
    }
}

impl CachedResponse {
    /// Its bytes, and roughly those of the structures around them.
    pub(super) fn weight(&self) -> usize {
        const OVERHEAD: usize = 512;
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        self.body.len() + headers + OVERHEAD
    }
}

/// The version of the format below; its last character changes with the format.
const FORM: &[u8; 4] = b"PWA1";

/// The most bytes of headers and of everything else that is not the body.
pub(super) const MAX_HEADER_BYTES: usize = 16 * 1024;

/// A response as bytes: `PWA1`, its key, its epoch, when it was created (milliseconds since 1970),
/// its headers and its body, each prefixed with its length. Numbers are big-endian, of 64 bits.
/// `None` if its headers are too long.
pub(super) fn encode(
    cached: &CachedResponse,
    key: &KeyHash,
    epoch: &FlushEpoch,
    made: SystemTime,
) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(cached.body.len() + 1024);
    out.extend_from_slice(FORM);
    out.extend_from_slice(&key.0);
    out.extend_from_slice(&epoch.0);
    let since = made.duration_since(UNIX_EPOCH).unwrap_or_default();
    number(
        &mut out,
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
    );
    number(&mut out, cached.headers.len() as u64);
    for (name, value) in &cached.headers {
        text(&mut out, name.as_str().as_bytes());
        text(&mut out, value.as_bytes());
    }
    if out.len() + 8 > MAX_HEADER_BYTES {
        return None;
    }
    text(&mut out, &cached.body);
    Some(out)
}

fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    number(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Decodes what [`encode`] wrote, and returns its age; `None` unless key and epoch are these.
pub(super) fn decode(
    bytes: Bytes,
    key: &KeyHash,
    epoch: &FlushEpoch,
    now: SystemTime,
) -> Option<(CachedResponse, Duration)> {
    let mut rest = Cursor(bytes);
    let is_it =
        rest.take(4)? == FORM[..] && rest.take(32)? == key.0[..] && rest.take(32)? == epoch.0[..];
    if !is_it {
        return None;
    }
    let made = UNIX_EPOCH.checked_add(Duration::from_millis(rest.number()?))?;
    // The clock of another replica may be ahead of ours.
    let age = now.duration_since(made).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for _ in 0..rest.number()? {
        let name = HeaderName::from_bytes(&rest.text()?).ok()?;
        let value = HeaderValue::from_maybe_shared(rest.text()?).ok()?;
        headers.try_append(name, value).ok()?;
    }
    let body = rest.text()?;
    rest.0
        .is_empty()
        .then_some((CachedResponse { headers, body }, age))
}

/// The bytes that are still to be decoded.
struct Cursor(Bytes);

impl Cursor {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn number(&mut self) -> Option<u64> {
        let bytes = self.take(8)?;
        Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?))
    }

    fn text(&mut self) -> Option<Bytes> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{CONTENT_TYPE, DATE};
    use proptest::prelude::*;

    use super::*;

    const KEY: KeyHash = KeyHash([7; 32]);
    const EPOCH: FlushEpoch = FlushEpoch([9; 32]);

    fn cached(body: &'static [u8]) -> CachedResponse {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            DATE,
            HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"),
        );
        CachedResponse {
            headers,
            body: Bytes::from_static(body),
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn encoded_response_decodes_with_its_age() {
        for body in [&b"{}"[..], b"", &[0xff; 10_000]] {
            let cached = cached(body);
            let bytes: Bytes = encode(&cached, &KEY, &EPOCH, at(100)).unwrap().into();
            let (read, age) = decode(bytes.clone(), &KEY, &EPOCH, at(103)).unwrap();
            assert_eq!((&read.headers, &read.body), (&cached.headers, &cached.body));
            assert_eq!(age, Duration::from_secs(3));
            let (_, age) = decode(bytes, &KEY, &EPOCH, at(90)).unwrap();
            assert_eq!(age, Duration::ZERO, "another's clock is ahead");
        }
    }

    #[test]
    fn response_of_another_key_or_epoch_is_not_decoded() {
        let bytes: Bytes = encode(&cached(b"{}"), &KEY, &EPOCH, at(1)).unwrap().into();
        assert!(decode(bytes.clone(), &KeyHash([8; 32]), &EPOCH, at(1)).is_none());
        assert!(decode(bytes.clone(), &KEY, &FlushEpoch([8; 32]), at(1)).is_none());
        let another_form = [&b"PWA2"[..], &bytes[4..]].concat();
        assert!(decode(another_form.into(), &KEY, &EPOCH, at(1)).is_none());
    }

    #[test]
    fn truncated_or_extended_bytes_are_not_decoded() {
        let bytes: Bytes = encode(&cached(b"{}"), &KEY, &EPOCH, at(1)).unwrap().into();
        for length in 0..bytes.len() {
            assert!(decode(bytes.slice(..length), &KEY, &EPOCH, at(1)).is_none());
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(decode(longer.into(), &KEY, &EPOCH, at(1)).is_none());
    }

    #[test]
    fn response_with_too_long_headers_is_not_encoded() {
        let mut cached = cached(b"{}");
        let long = HeaderValue::from_str(&"x".repeat(MAX_HEADER_BYTES)).unwrap();
        cached.headers.insert("etag", long);
        assert!(encode(&cached, &KEY, &EPOCH, at(1)).is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            head in prop::sample::select(vec![0usize, 4, 36, 68, 76, 84]),
            tail in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let whole = encode(&cached(b"{}"), &KEY, &EPOCH, at(1)).unwrap();
            let bytes = [&whole[..head], &tail].concat();
            drop(decode(bytes.into(), &KEY, &EPOCH, at(1)));
        }
    }
}
