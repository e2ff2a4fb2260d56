//! X1 and X3 on HTTP/2: heads that no HTTP/2 request has, and floods of frames.

use std::time::{Duration, Instant};

use crate::kit::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, End, Frames, GOAWAY, HEADERS, PING, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get,
};
use crate::kit::stage::{QUERY, Stage};
use crate::kit::upstream::Upstream;
use crate::kit::witness::{MIB, Neighbour, assert_memory_below};

type Header<'a> = (&'a str, &'a str);

const CONFINED: &str = r#"up{tenant_id="acme"}"#;
const FORM: Header<'static> = ("content-type", "application/x-www-form-urlencoded");

/// A good head for `target`, and more of it.
fn head<'a>(stage: &'a Stage<Upstream>, target: &'a str, more: &[Header<'a>]) -> Vec<Header<'a>> {
    let mut head = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "partywall"),
        (":path", target),
        ("authorization", stage.bearer.as_str()),
    ];
    head.extend(more);
    head
}

/// A good head with one header changed or, by an empty name, taken away.
fn changed<'a>(stage: &'a Stage<Upstream>, name: &str, to: Header<'a>) -> Vec<Header<'a>> {
    let mut head = head(stage, QUERY, &[]);
    head.retain(|(given, _)| *given != name || !to.0.is_empty());
    for header in &mut head {
        if header.0 == name {
            *header = to;
        }
    }
    head
}

async fn answered(stage: &Stage<Upstream>, head: &[Header<'_>]) -> End {
    let mut frames = Frames::connect(stage.proxy.authority()).await;
    frames.send(&get(1, head)).await;
    frames.end_of(1).await
}

/// The library ends the whole connection for one of them: the client is told why all the same.
#[tokio::test]
async fn headers_too_large_for_the_library_are_refused_in_words() {
    let stage = Stage::recorded("").await;
    let refused = r#"partywall_refusals_total{route="none",reason="headers_too_large"}"#;
    for (times, length) in [(1, 70_000), (1, 120_000), (1, 300_000), (30, 15_000)] {
        let before = stage.metric(refused).await;
        let value = "x".repeat(length);
        let more = vec![("x-long", value.as_str()); times];
        let block = block(&head(&stage, QUERY, &more));
        let mut parts = block.chunks(16_000).peekable();
        let first = parts.next().expect("not empty");
        let mut bytes = frame(HEADERS, END_STREAM, 1, first);
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            bytes.extend(frame(CONTINUATION, flags, 1, part));
        }
        let mut frames = Frames::connect(stage.proxy.authority()).await;
        frames.send(&bytes).await;
        let mut text = Vec::new();
        while let Some(frame) = frames.next().await {
            if matches!(frame.kind, DATA | GOAWAY) {
                text = frame.payload;
                break;
            }
        }
        let text = String::from_utf8_lossy(&text);
        let what = format!("{times} headers of {length} bytes: {text:?}");
        assert!(text.contains("65536 bytes (limits.header_bytes)"), "{what}");
        assert!(
            (stage.metric(refused).await - before - 1.0).abs() < 0.1,
            "{what}"
        );
        assert!(stage.upstream.take().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn x1_http2_heads_that_are_malformed_are_refused() {
    let stage = Stage::recorded("").await;
    let good = head(&stage, QUERY, &[("te", "trailers")]);
    assert_eq!(
        answered(&stage, &good).await,
        End::Answered { is_200: true }
    );
    assert_eq!(stage.upstream.take_one().param("query"), [CONFINED]);

    let extra: &[Header<'_>] = &[
        ("Upper", "case"),
        ("connection", "close"),
        ("connection", "authorization"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        (":path", "/api/v1/query?query=secret"),
        (":unknown", "x"),
        (":status", "200"),
        (":protocol", "websocket"),
        ("x-a", "b\r\nx-scope-orgid: beta"),
        ("x-a", "b\nc"),
        ("x-a", "b\0c"),
        ("x a", "b"),
        ("x-a:", "b"),
        ("", "b"),
        ("content-length", "5"),
        ("content-length", "x"),
        ("content-length", "+0"),
        ("host", "elsewhere"),
    ];
    for header in extra {
        let end = answered(&stage, &head(&stage, QUERY, &[*header])).await;
        assert!(end.is_refusal(), "X1 {header:?}: {end:?}");
        assert!(stage.upstream.take().is_empty(), "X1 {header:?}");
    }
    let instead: &[(&str, Header<'_>)] = &[
        (":method", ("", "")),
        (":path", ("", "")),
        (":path", (":path", "")),
        (":path", (":path", "api/v1/query?query=up")),
        (":path", (":path", "*")),
        (":path", (":path", "/api/v1/query%00?query=up")),
        (":path", (":path", "/api/v1/que ry?query=up")),
        (":path", (":path", "/api/v1/query?query=up\r\nx: y")),
        (":method", (":method", "CONNECT")),
        (":method", (":method", "PO ST")),
        (":method", (":method", "TRACE")),
        (":authority", (":authority", "a b")),
        (":scheme", (":scheme", "ht tp")),
    ];
    for (name, to) in instead {
        let end = answered(&stage, &changed(&stage, name, *to)).await;
        assert!(end.is_refusal(), "X1 {name} {to:?}: {end:?}");
        assert!(stage.upstream.take().is_empty(), "X1 {name} {to:?}");
    }
    // Odd, but with one reading: as good as refused if what is forwarded is confined.
    let odd: &[(&str, Header<'_>)] = &[
        (":scheme", ("", "")),
        (":scheme", (":scheme", "ftp")),
        (":authority", ("", "")),
        (":authority", (":authority", "user@partywall")),
        (":path", (":path", "//api/v1/query?query=up")),
        (":path", (":path", "http://evil/api/v1/query?query=up")),
    ];
    for (name, to) in odd {
        let end = answered(&stage, &changed(&stage, name, *to)).await;
        for seen in stage.upstream.take() {
            assert_eq!(seen.path(), "/api/v1/query", "X1 {name} {to:?}");
            assert_eq!(seen.param("query"), [CONFINED], "X1 {name} {to:?}");
        }
        println!("X1 {name} {to:?}: {end:?}");
    }
    // A pseudo header after a regular one.
    let mut late = head(&stage, QUERY, &[]);
    late.rotate_left(1);
    let end = answered(&stage, &late).await;
    assert!(end.is_refusal(), "X1 late :method: {end:?}");
    assert!(stage.upstream.take().is_empty());
}

#[tokio::test]
async fn x1_http2_bodies_are_as_long_as_they_say() {
    let stage = Stage::recorded("").await;
    for (length, body) in [
        ("8", "query=up"),
        ("7", "query=up"),
        ("9", "query=up"),
        ("0", "query=up"),
    ] {
        for target in ["/api/v1/query", "/elsewhere"] {
            let more = [FORM, ("content-length", length)];
            let mut head = head(&stage, target, &more);
            head[0].1 = "POST";
            let mut frames = Frames::connect(stage.proxy.authority()).await;
            let mut request = frame(HEADERS, END_HEADERS, 1, &block(&head));
            request.extend(frame(DATA, END_STREAM, 1, body.as_bytes()));
            frames.send(&request).await;
            let end = frames.end_of(1).await;
            let seen = stage.upstream.take();
            if length == "8" {
                assert_eq!(end, End::Answered { is_200: true });
                assert_eq!(seen.len(), 1);
            } else {
                assert!(end.is_refusal(), "{length} {target}: {end:?}");
                assert!(seen.is_empty(), "{length} {target}: {seen:?}");
            }
        }
    }
}

/// Frames that end a connection, or at least do nothing.
#[tokio::test]
async fn x3_frames_that_break_the_protocol_end_the_connection() {
    let stage = Stage::recorded("").await;
    let good = block(&head(&stage, QUERY, &[]));
    let table = [
        (
            "an even stream",
            frame(HEADERS, END_HEADERS | END_STREAM, 2, &good),
        ),
        (
            "stream 0",
            frame(HEADERS, END_HEADERS | END_STREAM, 0, &good),
        ),
        ("data before a head", frame(DATA, 0, 1, b"x")),
        (
            "a push",
            frame(
                PUSH_PROMISE,
                END_HEADERS,
                1,
                &[&[0, 0, 0, 2], &good[..]].concat(),
            ),
        ),
        ("no window", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        (
            "too much window",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        ),
        ("a short ping", frame(PING, 0, 0, b"1234")),
        ("settings on a stream", frame(SETTINGS, 0, 1, b"")),
        ("half a setting", frame(SETTINGS, 0, 0, b"123")),
        (
            "a window out of bounds",
            frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        ),
        (
            "a frame size out of bounds",
            frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]),
        ),
        ("a long frame", frame(DATA, 0, 1, &vec![0; 20_000])),
        (
            "bad HPACK",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            ),
        ),
        (
            "an index of nothing",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xfe]),
        ),
        (
            "a table too large",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[0x3f, 0xff, 0xff, 0x7f],
            ),
        ),
        (
            "another frame within a head",
            [
                frame(HEADERS, END_STREAM, 1, &good),
                frame(PING, 0, 0, b"12345678"),
            ]
            .concat(),
        ),
        (
            "a continuation of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &good),
        ),
        ("a reset of nothing", frame(RST_STREAM, 0, 1, &[0; 4])),
    ];
    for (what, bytes) in table {
        let mut frames = Frames::connect(stage.proxy.authority()).await;
        frames.send(&bytes).await;
        let end = frames.end_of(1).await;
        assert!(
            matches!(end, End::GoneAway(_) | End::Closed | End::Reset(_)),
            "X3 {what}: {end:?}"
        );
        assert!(stage.upstream.take().is_empty(), "X3 {what}");
    }
    // Unknown frames and priorities mean nothing (RFC 9113 §4.1 and §5.3).
    let mut frames = Frames::connect(stage.proxy.authority()).await;
    frames.send(&frame(0xaa, 0xff, 0, b"what")).await;
    frames.send(&frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])).await;
    frames.send(&get(1, &head(&stage, QUERY, &[]))).await;
    assert_eq!(frames.end_of(1).await, End::Answered { is_200: true });
}

/// What a flood is made of, and whether it may go on for ever at the sender's own cost.
struct Flood<'a> {
    what: &'a str,
    /// Before the flood.
    first: Vec<u8>,
    /// The nth piece.
    piece: Box<dyn Fn(u32) -> Vec<u8> + 'a>,
    pieces: u32,
    must_end: bool,
}

/// Sends it while the neighbour is served. Answers are not read, as a flooder would not.
async fn endure(stage: &Stage<Upstream>, flood: &Flood<'_>) {
    let neighbour = Neighbour::of(&stage.proxy, QUERY);
    let mut frames = Frames::connect(stage.proxy.authority()).await;
    let started = Instant::now();
    let mut taken = 0;
    if frames.send(&flood.first).await {
        for index in 0..flood.pieces {
            let write = frames.stream.try_write(&[]);
            if write.is_err() || !send_within(&mut frames, &(flood.piece)(index)).await {
                break;
            }
            taken += 1;
        }
    }
    println!(
        "X3 {}: {taken} of {} pieces in {:?}",
        flood.what,
        flood.pieces,
        started.elapsed()
    );
    if flood.must_end {
        // Cut short, or told to go away.
        let gone = taken < flood.pieces
            || loop {
                match frames.next().await {
                    None => break true,
                    Some(frame) if frame.kind == GOAWAY => break true,
                    Some(_) => {}
                }
            };
        assert!(gone, "X3 {}: it went on", flood.what);
    }
    neighbour.was_served().await;
    assert_memory_below(flood.what, &stage.proxy, 128 * MIB);
}

/// A peer that takes no more has ended the flood as well.
async fn send_within(frames: &mut Frames, bytes: &[u8]) -> bool {
    use tokio::io::AsyncWriteExt as _;
    let write = frames.stream.write_all(bytes);
    matches!(
        tokio::time::timeout(Duration::from_secs(1), write).await,
        Ok(Ok(()))
    )
}

#[tokio::test]
async fn x3_rapid_reset_is_cut_off() {
    let stage = Stage::recorded("").await;
    let head = block(&head(&stage, "/api/v1/query?query=flood", &[]));
    let flood = Flood {
        what: "rapid reset",
        first: Vec::new(),
        piece: Box::new(|index| {
            let stream = 2 * index + 1;
            let mut both = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
            both.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            both
        }),
        pieces: 100_000,
        must_end: true,
    };
    endure(&stage, &flood).await;
    let floods = stage.upstream.take();
    let flooded = floods
        .iter()
        .filter(|seen| seen.param("query")[0].contains("flood"));
    let flooded = flooded.count();
    println!("rapid reset: {flooded} reached the upstream");
    assert!(flooded < 5000, "{flooded} of 100 000 reached the upstream");
}

#[tokio::test]
async fn x3_floods_of_heads_are_cut_off() {
    let stage = Stage::recorded("").await;
    let begun = frame(HEADERS, END_STREAM, 1, &block(&head(&stage, QUERY, &[])));
    let long = block(&[("x-long", &"x".repeat(16_000))]);
    let endless = Flood {
        what: "CONTINUATION without end",
        first: begun.clone(),
        piece: Box::new(|_| frame(CONTINUATION, 0, 1, &long)),
        pieces: 20_000,
        must_end: true,
    };
    endure(&stage, &endless).await;
    let empty = Flood {
        what: "empty CONTINUATION without end",
        first: begun,
        piece: Box::new(|_| frame(CONTINUATION, 0, 1, b"").repeat(100)),
        pieces: 10_000,
        must_end: true,
    };
    endure(&stage, &empty).await;
    // One entry of the dynamic table, named thousands of times by one byte each (RFC 7541 §7.3).
    let mut bomb = block(&head(&stage, QUERY, &[]));
    bomb.extend([0x40, 6]);
    bomb.extend(b"x-bomb");
    bomb.extend([127, 0xa1, 0x1e]);
    bomb.extend("x".repeat(127 + 0x21 + 0x1e * 128).as_bytes());
    bomb.extend(vec![0xbe; 12_000 - bomb.len()]);
    let mut frames = Frames::connect(stage.proxy.authority()).await;
    frames
        .send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb))
        .await;
    let end = frames.end_of(1).await;
    assert!(end.is_refusal(), "an HPACK bomb: {end:?}");
    let seen = stage.upstream.take();
    assert!(seen.iter().all(|seen| seen.header("x-bomb").is_none()));
    assert_memory_below("an HPACK bomb", &stage.proxy, 128 * MIB);
}

#[tokio::test]
async fn x3_floods_of_small_frames_are_endured() {
    let stage = Stage::recorded("").await;
    let mut post = head(&stage, "/api/v1/query", &[FORM]);
    post[0].1 = "POST";
    let open = frame(HEADERS, END_HEADERS, 1, &block(&post));
    let idle = block(&head(&stage, "/elsewhere", &[]));
    let floods = [
        Flood {
            what: "pings",
            first: Vec::new(),
            piece: Box::new(|_| frame(PING, 0, 0, b"12345678").repeat(1000)),
            pieces: 300,
            must_end: false,
        },
        Flood {
            what: "answers to pings that were not sent",
            first: Vec::new(),
            piece: Box::new(|_| frame(PING, ACK, 0, b"12345678").repeat(1000)),
            pieces: 300,
            must_end: false,
        },
        Flood {
            what: "settings",
            first: Vec::new(),
            piece: Box::new(|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(1000)),
            pieces: 300,
            must_end: false,
        },
        Flood {
            what: "empty data",
            first: open.clone(),
            piece: Box::new(|_| frame(DATA, 0, 1, b"").repeat(1000)),
            pieces: 300,
            must_end: false,
        },
        Flood {
            what: "windows",
            first: open,
            piece: Box::new(|_| frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]).repeat(1000)),
            pieces: 300,
            must_end: false,
        },
        Flood {
            what: "priorities",
            first: Vec::new(),
            piece: Box::new(|index| {
                frame(PRIORITY, 0, 2 * index + 3, &[0, 0, 0, 1, 9]).repeat(1000)
            }),
            pieces: 300,
            must_end: false,
        },
        Flood {
            what: "more streams than are allowed",
            first: Vec::new(),
            piece: Box::new(|index| frame(HEADERS, END_HEADERS, 2 * index + 1, &idle)),
            pieces: 20_000,
            must_end: false,
        },
    ];
    for flood in floods {
        endure(&stage, &flood).await;
    }
}
