//! Requests byte by byte, for what no HTTP client would send.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(20);

/// All that came back on one connection.
#[derive(Clone, Debug)]
pub struct RawAnswer {
    /// Of the first answer; 0 where the connection was closed without one.
    pub status: u16,
    pub head: String,
    /// Of the first answer, and whatever came after it.
    pub body: Vec<u8>,
}

impl RawAnswer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }

    /// How many answers there are.
    pub fn answers(&self) -> usize {
        usize::from(self.status != 0) + self.text().matches("HTTP/1.1 ").count()
    }
}

/// Writes `request` and reads until the other side closes, or is silent for long.
pub async fn exchange(authority: &str, request: &[u8]) -> RawAnswer {
    let mut stream = TcpStream::connect(authority)
        .await
        .expect("the proxy listens");
    // The proxy may close before it has read it all.
    let _ = stream.write_all(request).await;
    read_answer(&mut stream).await
}

pub async fn read_answer(stream: &mut TcpStream) -> RawAnswer {
    parse(&read_all(stream).await)
}

/// The same without each `interim`.
pub async fn read_answer_behind(stream: &mut TcpStream, interim: &str) -> RawAnswer {
    let all = read_all(stream).await;
    parse(
        String::from_utf8_lossy(&all)
            .replace(interim, "")
            .as_bytes(),
    )
}

async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    while let Ok(Ok(length)) = tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await {
        if length == 0 {
            break;
        }
        all.extend_from_slice(&piece[..length]);
    }
    all
}

fn parse(all: &[u8]) -> RawAnswer {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = end.map_or((all, &[][..]), |at| (&all[..at], &all[at + 4..]));
    let head = String::from_utf8_lossy(head).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    RawAnswer {
        status,
        head,
        body: body.to_vec(),
    }
}

/// A request with everything a good one has, on a connection of its own.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    let mut all = vec![("Host", "partywall"), ("Connection", "close")];
    let length = body.len().to_string();
    let says_length = |(name, _): &(&str, &str)| {
        name.eq_ignore_ascii_case("content-length")
            || name.eq_ignore_ascii_case("transfer-encoding")
    };
    if !body.is_empty() && !headers.iter().any(says_length) {
        all.push(("Content-Length", &length));
    }
    all.retain(|(name, _)| {
        !headers
            .iter()
            .any(|(given, _)| given.eq_ignore_ascii_case(name))
    });
    all.extend(headers);
    for (name, value) in all {
        text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(body);
    text
}
