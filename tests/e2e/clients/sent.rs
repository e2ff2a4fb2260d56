//! How a row is sent, and its answer read.

use std::fmt::Write as _;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use super::row::{Body, Row};
use crate::kit::client::Answer;
use crate::kit::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, SETTINGS, block, frame,
};
use crate::kit::raw;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// `None` where the connection or the stream ended without an answer.
pub async fn send(
    protocol: Protocol,
    authority: &str,
    row: &Row,
    token: Option<&str>,
) -> Option<Answer> {
    match protocol {
        Protocol::Http1 => http1(authority, row, token).await,
        Protocol::Http2 => http2(authority, row, token).await,
    }
}

async fn http1(authority: &str, row: &Row, token: Option<&str>) -> Option<Answer> {
    let mut bytes = format!(
        "{} {} HTTP/1.1\r\nHost: partywall\r\nConnection: close\r\n",
        row.method, row.target
    )
    .into_bytes();
    let mut line = |name: &str, value: &str| {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    };
    if let Some(token) = token {
        line("Authorization", &format!("Bearer {token}"));
    }
    for (name, value) in &row.headers {
        line(name, value);
    }
    match &row.body {
        Body::None => bytes.extend_from_slice(b"\r\n"),
        Body::Sized(body) => {
            line("Content-Length", &body.len().to_string());
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(body);
        }
        Body::Chunked(body) => {
            line("Transfer-Encoding", "chunked");
            bytes.extend_from_slice(b"\r\n");
            if !body.is_empty() {
                bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
    }
    let answer = raw::exchange(authority, &bytes).await;
    let status = StatusCode::from_u16(answer.status).ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in answer.head.lines().filter_map(|line| line.split_once(':')) {
        let name: HeaderName = name.parse().ok()?;
        headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    let is_chunked = headers
        .get("transfer-encoding")
        .is_some_and(|value| value == "chunked");
    let body = if is_chunked {
        dechunked(&answer.body)?
    } else {
        answer.body
    };
    Some(Answer {
        status,
        headers,
        body: body.into(),
    })
}

fn dechunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(all);
        }
        all.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}

async fn http2(authority: &str, row: &Row, token: Option<&str>) -> Option<Answer> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let names: Vec<(String, &str)> = row
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
        .collect();
    let mut head = vec![
        (":method", row.method),
        (":scheme", "http"),
        (":authority", "partywall"),
        (":path", row.target.as_str()),
    ];
    head.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    head.extend(names.iter().map(|(name, value)| (name.as_str(), *value)));
    let block = block(&head);
    let bytes = match &row.body {
        Body::None => frame(HEADERS, END_HEADERS | END_STREAM, 1, &block),
        Body::Sized(body) | Body::Chunked(body) => {
            let mut bytes = frame(HEADERS, END_HEADERS, 1, &block);
            bytes.extend(frame(DATA, END_STREAM, 1, body));
            bytes
        }
    };
    let mut frames = Frames::connect(authority).await;
    frames.send(&bytes).await;
    let (mut status, mut text, mut body) = (None, Vec::new(), Vec::new());
    while let Some(frame) = frames.next().await {
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => {
                frames
                    .send(&crate::kit::frames::frame(SETTINGS, ACK, 0, b""))
                    .await;
            }
            HEADERS => {
                status = status_of(&frame.payload);
                text = frame.payload;
            }
            DATA => body.extend(frame.payload),
            RST_STREAM | GOAWAY => break,
            _ => {}
        }
        let ends = matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
        if ends {
            break;
        }
    }
    let mut headers = HeaderMap::new();
    // Of the headers only these are looked at. The library writes them with Huffman's codes, but
    // JSON is all that is answered here.
    if body.starts_with(b"{") {
        headers.insert("content-type", HeaderValue::from_static("application/json"));
    }
    let verdict = ["denied", "rewritten", "passed"]
        .into_iter()
        .find(|word| has_word(&text, word));
    if let Some(verdict) = verdict {
        headers.insert("x-partywall-shadow", HeaderValue::from_static(verdict));
    }
    Some(Answer {
        status: status?,
        headers,
        body: body.into(),
    })
}

/// Whether a header block has a value that begins so, plain or in Huffman's codes.
fn has_word(block: &[u8], word: &str) -> bool {
    let coded = huffman(word);
    let has = |wanted: &[u8]| block.windows(wanted.len()).any(|bytes| bytes == wanted);
    has(word.as_bytes()) || has(&coded[..coded.len() - 1])
}

/// RFC 7541, appendix B, for the letters that are needed; the last byte is not filled up.
fn huffman(word: &str) -> Vec<u8> {
    let mut bits = String::new();
    for letter in word.bytes() {
        let (code, length) = match letter {
            b'a' => (0x3, 5),
            b'd' => (0x24, 6),
            b'e' => (0x5, 5),
            b'i' => (0x6, 5),
            b'n' => (0x2a, 6),
            b'p' => (0x2b, 6),
            b'r' => (0x2c, 6),
            b's' => (0x8, 5),
            b't' => (0x9, 5),
            b'w' => (0x78, 7),
            other => panic!("{}", char::from(other)),
        };
        write!(bits, "{code:0length$b}").expect("a string");
    }
    let byte = |bits: &[u8]| {
        let text = std::str::from_utf8(bits).expect("digits");
        u8::from_str_radix(&format!("{text:0<8}"), 2).expect("eight bits")
    };
    bits.as_bytes().chunks(8).map(byte).collect()
}

/// The first header of an answer's block (RFC 7541 §6 and appendices A and B).
fn status_of(block: &[u8]) -> Option<StatusCode> {
    let code = match *block.first()? {
        0x88 => 200,
        0x89 => 204,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        0x48 | 0x08 | 0x18 => {
            let length = usize::from(block.get(1)? & 0x7f);
            let value = block.get(2..2 + length)?;
            if block[1] & 0x80 == 0 {
                std::str::from_utf8(value).ok()?.parse().ok()?
            } else {
                digits(value)?
            }
        }
        _ => return None,
    };
    StatusCode::from_u16(code).ok()
}

/// Three digits in Huffman's codes.
fn digits(coded: &[u8]) -> Option<u16> {
    let bits: Vec<u8> = coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
        .collect();
    let mut rest = &bits[..];
    let mut number = 0;
    for _ in 0..3 {
        let take = |count: usize| -> Option<u16> {
            let bits = rest.get(..count)?;
            Some(bits.iter().fold(0, |sum, bit| sum * 2 + u16::from(*bit)))
        };
        let (digit, length) = match (take(5)?, take(6)) {
            (code @ 0..=2, _) => (code, 5),
            (_, Some(code @ 25..=31)) => (code - 22, 6),
            _ => return None,
        };
        number = number * 10 + digit;
        rest = &rest[length..];
    }
    Some(number)
}
