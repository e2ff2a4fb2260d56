//! HTTP/1 framing: what is passed to hyper is, to hyper, the same requests as a strict reader finds, and
//! says the same in whatever pieces it arrives.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use partywall::server::fuzzing::passed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A request's line and body; no body where it was cut off.
type Message = (String, Option<Vec<u8>>);

/// The first byte chooses the length of the pieces.
pub fn check(data: &[u8]) {
    let Some(([piece], stream)) = crate::split(data) else {
        return;
    };
    let (passed_bytes, is_refused) = passed([stream].into_iter());
    let (in_pieces, also_refused) = passed(stream.chunks(usize::from(*piece) + 1));
    assert_eq!(is_refused, also_refused, "in pieces, another verdict");
    if !is_refused {
        assert_eq!(passed_bytes, in_pieces, "in pieces, other bytes");
    }
    // Another protocol.
    if passed_bytes
        .windows(14)
        .any(|line| line == b"PRI * HTTP/2.0")
    {
        return;
    }
    let expected = reference(&passed_bytes);
    let got = understood(&passed_bytes);
    // hyper may refuse what is well framed; what it takes has to be where a strict reader sees it.
    for (number, (line, body)) in got.iter().enumerate() {
        let Some((expected_line, expected_body)) = expected.get(number) else {
            panic!("a request that is none to a strict reader: {line}");
        };
        assert_eq!(line, expected_line);
        if let Some(body) = body {
            assert_eq!(Some(body), expected_body.as_ref(), "another body of {line}");
        }
    }
}

/// What hyper makes of the bytes of a connection.
fn understood(stream: &[u8]) -> Vec<Message> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let requests = Arc::new(Mutex::new(Vec::new()));
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let seen = Arc::clone(&requests);
        let service = service_fn(move |request: Request<Incoming>| {
            let seen = Arc::clone(&seen);
            async move {
                let line = format!("{} {}", request.method(), request.uri());
                let body = request.into_body().collect().await.ok();
                let body = body.map(|body| body.to_bytes().to_vec());
                seen.lock().expect("unpoisoned").push((line, body));
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        });
        let serving = http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(server), service);
        let talk = async {
            let _ = client.write_all(stream).await;
            let _ = client.shutdown().await;
            let _ = client.read_to_end(&mut Vec::new()).await;
        };
        let _ = tokio::join!(serving, talk);
    });
    std::mem::take(&mut *requests.lock().expect("unpoisoned"))
}

/// The requests that a reader finds who takes RFC 9112 at its word: lines end in CRLF, a body has a
/// length or is chunked.
fn reference(mut rest: &[u8]) -> Vec<Message> {
    let mut found = Vec::new();
    loop {
        while let Some(after) = rest.strip_prefix(b"\r\n") {
            rest = after;
        }
        let Some((head, after)) = cut(rest, b"\r\n\r\n") else {
            return found;
        };
        let head = String::from_utf8_lossy(head).into_owned();
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let mut words = line.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return found;
        };
        // An absolute URI without a path is one with the path `/` (RFC 9110 §4.2.3).
        let target = target
            .parse::<Uri>()
            .map_or_else(|_| target.to_owned(), |uri| uri.to_string());
        let line = format!("{method} {target}");
        let headers: Vec<(String, &str)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
            .collect();
        let of = |wanted: &str| {
            headers
                .iter()
                .filter(|(name, _)| name == wanted)
                .map(|(_, value)| *value)
                .collect::<Vec<_>>()
        };
        let (lengths, codings) = (of("content-length"), of("transfer-encoding"));
        let body = match (&lengths[..], &codings[..]) {
            ([], []) => Some((Vec::new(), after)),
            ([length], []) => length.parse::<usize>().ok().and_then(|length| {
                let (body, after) = after.split_at_checked(length)?;
                Some((body.to_vec(), after))
            }),
            ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => chunks(after),
            // A strict reader refuses it, and so has hyper to.
            _ => return found,
        };
        let Some((body, after)) = body else {
            found.push((line, None));
            return found;
        };
        found.push((line, Some(body)));
        rest = after;
    }
}

fn chunks(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let (line, after) = cut(rest, b"\r\n")?;
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let size = std::str::from_utf8(&line[..digits]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            rest = after;
            break;
        }
        let (chunk, after) = after.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
    // Trailers, up to an empty line.
    loop {
        let (line, after) = cut(rest, b"\r\n")?;
        rest = after;
        if line.is_empty() {
            return Some((body, rest));
        }
    }
}

fn cut<'b>(bytes: &'b [u8], end: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes.windows(end.len()).position(|window| window == end)?;
    Some((&bytes[..at], &bytes[at + end.len()..]))
}
