//! X1, X2 and H5 by the matrix: every way to say where a request ends, by itself and with a second
//! request behind it, on an endpoint that is rebuilt and on a page that passes through.
//!
//! The one assertion: nothing but what the table says reaches the upstream, so no second request is
//! ever hidden in the first. What has two readings is a 400, and the connection ends.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::kit::raw::{RawAnswer, exchange, read_answer, read_answer_behind};
use crate::kit::stage::{Stage, eventually};
use crate::kit::upstream::{Behaviour, Upstream};
use crate::kit::wire::Step;

const CHUNKS: &str = "8\r\nquery=up\r\n0\r\n\r\n";

struct Row {
    what: &'static str,
    /// Header lines that frame the body, each with its end.
    framing: &'static str,
    body: &'static str,
    /// Whether it has one reading, and the request behind it is read as well.
    is_clear: bool,
}

const fn row(what: &'static str, framing: &'static str, body: &'static str, is_clear: bool) -> Row {
    Row {
        what,
        framing,
        body,
        is_clear,
    }
}

/// `Content-Length` by itself.
#[rustfmt::skip]
const LENGTHS: &[Row] = &[
    row("a length", "Content-Length: 8\r\n", "query=up", true),
    row("blanks around it", "Content-Length:\t 8 \t\r\n", "query=up", true),
    row("leading zeros", "Content-Length: 008\r\n", "query=up", true),
    row("twice the same", "Content-Length: 8\r\nContent-Length: 8\r\n", "query=up", false),
    row("twice", "Content-Length: 8\r\nContent-Length: 9\r\n", "query=up", false),
    row("a list of the same", "Content-Length: 8, 8\r\n", "query=up", false),
    row("a list", "Content-Length: 8, 9\r\n", "query=up", false),
    row("a sign", "Content-Length: +8\r\n", "query=up", false),
    row("a minus", "Content-Length: -8\r\n", "query=up", false),
    row("hex", "Content-Length: 0x8\r\n", "query=up", false),
    row("a fraction", "Content-Length: 8.0\r\n", "query=up", false),
    row("an exponent", "Content-Length: 8e0\r\n", "query=up", false),
    row("quotes", "Content-Length: \"8\"\r\n", "query=up", false),
    row("a blank within", "Content-Length: 8 8\r\n", "query=up", false),
    row("nothing", "Content-Length:\r\n", "query=up", false),
    row("huge", "Content-Length: 18446744073709551616\r\n", "query=up", false),
    row("wrapped", "Content-Length: 18446744073709551624\r\n", "query=up", false),
    row("other digits", "Content-Length: \u{0668}\r\n", "query=up", false),
    row("blank before the colon", "Content-Length : 8\r\n", "query=up", false),
    row("a folded line", "Content-Length:\r\n 8\r\n", "query=up", false),
    row("a bare LF", "Content-Length: 8\n", "query=up", false),
    row("a bare CR", "Content-Length: 8\rX: y\r\n", "query=up", false),
    row("NUL", "Content-Length: 8\0\r\n", "query=up", false),
    row("hidden behind a bare LF", "X: y\nContent-Length: 8\r\n", "query=up", false),
    row("hidden behind a bare CR", "X: y\rContent-Length: 8\r\n", "query=up", false),
];

/// `Transfer-Encoding` by itself, and beside a length.
#[rustfmt::skip]
const CODINGS: &[Row] = &[
    row("chunked", "Transfer-Encoding: chunked\r\n", CHUNKS, true),
    row("another case", "TRANSFER-ENCODING: ChUnKeD\r\n", CHUNKS, true),
    row("no blank", "Transfer-Encoding:chunked\r\n", CHUNKS, true),
    row("a tab", "Transfer-Encoding:\tchunked\t\r\n", CHUNKS, true),
    row("twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKS, false),
    row("a list", "Transfer-Encoding: chunked, chunked\r\n", CHUNKS, false),
    row("an empty entry", "Transfer-Encoding: ,chunked\r\n", CHUNKS, false),
    row("gzip first", "Transfer-Encoding: gzip, chunked\r\n", CHUNKS, false),
    row("gzip last", "Transfer-Encoding: chunked, gzip\r\n", CHUNKS, false),
    row("gzip on its own line", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", CHUNKS, false),
    row("identity", "Transfer-Encoding: identity\r\n", "query=up", false),
    row("identity and chunked", "Transfer-Encoding: identity, chunked\r\n", CHUNKS, false),
    row("unknown", "Transfer-Encoding: xchunked\r\n", CHUNKS, false),
    row("a parameter", "Transfer-Encoding: chunked;q=1\r\n", CHUNKS, false),
    row("quotes", "Transfer-Encoding: \"chunked\"\r\n", CHUNKS, false),
    row("nothing", "Transfer-Encoding:\r\n", CHUNKS, false),
    row("VT", "Transfer-Encoding: \u{b}chunked\r\n", CHUNKS, false),
    row("FF", "Transfer-Encoding: chunked\u{c}\r\n", CHUNKS, false),
    row("NUL", "Transfer-Encoding: chunked\0\r\n", CHUNKS, false),
    row("a no-break space", "Transfer-Encoding: \u{a0}chunked\r\n", CHUNKS, false),
    row("blank before the colon", "Transfer-Encoding : chunked\r\n", CHUNKS, false),
    row("a folded line", "Transfer-Encoding:\r\n chunked\r\n", CHUNKS, false),
    row("blank before the name", " Transfer-Encoding: chunked\r\n", CHUNKS, false),
    row("a bare LF", "Transfer-Encoding: chunked\n", CHUNKS, false),
    row("hidden behind a bare LF", "X: y\nTransfer-Encoding: chunked\r\n", CHUNKS, false),
    row("length and chunked", "Content-Length: 23\r\nTransfer-Encoding: chunked\r\n", CHUNKS, false),
    row("chunked and length", "Transfer-Encoding: chunked\r\nContent-Length: 23\r\n", CHUNKS, false),
    row("a length of 0 and chunked", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", CHUNKS, false),
    row("chunked far from a length", "Content-Length: 4\r\nX: y\r\nZ: w\r\ntransfer-encoding: chunked\r\n", CHUNKS, false),
    row("a length and identity", "Content-Length: 8\r\nTransfer-Encoding: identity\r\n", "query=up", false),
];

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// The chunks themselves.
#[rustfmt::skip]
const BODIES: &[Row] = &[
    row("two chunks", CHUNKED, "5\r\nquery\r\n3\r\n=up\r\n0\r\n\r\n", true),
    row("zeros", CHUNKED, "0008\r\nquery=up\r\n000\r\n\r\n", true),
    row("an extension", CHUNKED, "8;a=\"b\"\r\nquery=up\r\n0;c\r\n\r\n", true),
    row("trailers", CHUNKED, "8\r\nquery=up\r\n0\r\nX-Scope-OrgID: beta\r\nContent-Length: 5\r\n\r\n", true),
    row("no size", CHUNKED, "\r\nquery=up\r\n0\r\n\r\n", false),
    row("0x", CHUNKED, "0x8\r\nquery=up\r\n0\r\n\r\n", false),
    row("a sign", CHUNKED, "+8\r\nquery=up\r\n0\r\n\r\n", false),
    row("a blank before it", CHUNKED, " 8\r\nquery=up\r\n0\r\n\r\n", false),
    row("a minus", CHUNKED, "-8\r\nquery=up\r\n0\r\n\r\n", false),
    row("too large", CHUNKED, "10000000000000008\r\nquery=up\r\n0\r\n\r\n", false),
    row("larger still", CHUNKED, "fffffffffffffffffffff\r\nquery=up\r\n0\r\n\r\n", false),
    row("a size that is short", CHUNKED, "7\r\nquery=up\r\n0\r\n\r\n", false),
    row("no CRLF after a chunk", CHUNKED, "8\r\nquery=up0\r\n\r\n", false),
    row("a bare LF after a size", CHUNKED, "8\nquery=up\r\n0\r\n\r\n", false),
    row("a bare LF after a chunk", CHUNKED, "8\r\nquery=up\n0\r\n\r\n", false),
    row("a bare LF in an extension", CHUNKED, "8;a\nb\r\nquery=up\r\n0\r\n\r\n", false),
    row("a bare CR in an extension", CHUNKED, "8;a\rb\r\nquery=up\r\n0\r\n\r\n", false),
    row("a bare LF in the trailers", CHUNKED, "8\r\nquery=up\r\n0\r\nX: y\n\r\n", false),
    row("a bare LF at the end", CHUNKED, "8\r\nquery=up\r\n0\r\n\n", false),
    row("no trailer", CHUNKED, "8\r\nquery=up\r\n0\r\nX\r\n\r\n", false),
];

/// Header lines that frame a body, and the body.
pub fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = LENGTHS.iter().chain(CODINGS).chain(BODIES);
    all.map(|row| (row.framing, row.body))
}

/// The row as a request, and one behind it.
fn both(stage: &Stage<Upstream>, target: &str, row: &Row) -> Vec<u8> {
    let bearer = &stage.bearer;
    let Row { framing, body, .. } = row;
    let form = "Content-Type: application/x-www-form-urlencoded";
    format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n{form}\r\n{framing}\r\n{body}\
         GET /api/v1/query?query=second HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\
         Connection: close\r\n\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn x1_x2_every_way_to_frame_a_body() {
    let stage = Stage::recorded("").await;
    for target in ["/api/v1/query", "/elsewhere"] {
        for row in LENGTHS.iter().chain(CODINGS).chain(BODIES) {
            let what = format!("X1 {target} {}: {:?}{:?}", row.what, row.framing, row.body);
            let bytes = both(&stage, target, row);
            let answer = exchange(stage.proxy.authority(), &bytes).await;
            let seen = stage.upstream.take();
            if row.is_clear {
                assert_eq!(answer.answers(), 2, "{what}: {answer:?}");
                assert_eq!(seen.len(), 2, "{what}: {seen:?}");
                if target == "/elsewhere" {
                    assert_eq!(seen[0].body, "query=up", "{what}");
                } else {
                    assert_eq!(
                        seen[0].param("query"),
                        [r#"up{tenant_id="acme"}"#],
                        "{what}"
                    );
                }
                assert_eq!(seen[0].header("x-scope-orgid"), None, "{what}");
                assert_eq!(
                    seen[1].param("query"),
                    [r#"second{tenant_id="acme"}"#],
                    "{what}"
                );
            } else {
                assert!([0, 400].contains(&answer.status), "{what}: {answer:?}");
                assert!(answer.answers() <= 1, "{what}: {answer:?}");
                assert!(seen.is_empty(), "{what}: {seen:?}");
            }
        }
    }
    assert_eq!(stage.get("/api/v1/query?query=up").await.status, 200);
}

#[tokio::test]
async fn x1_h5_request_lines_and_heads_have_one_reading() {
    let stage = Stage::recorded("timeouts: {first_request: 500ms, header: 500ms}\n").await;
    let target = "/api/v1/query?query=up";
    let head = format!(
        "Host: x\r\nAuthorization: {}\r\nConnection: close\r\n",
        stage.bearer
    );
    #[rustfmt::skip]
    let table = [
        (200, "plain", format!("GET {target} HTTP/1.1\r\n{head}\r\n")),
        (200, "blank lines before it", format!("\r\n\r\nGET {target} HTTP/1.1\r\n{head}\r\n")),
        (200, "HTTP/1.0", format!("GET {target} HTTP/1.0\r\n{head}\r\n")),
        (200, "absolute form", format!("GET http://x{target} HTTP/1.1\r\n{head}\r\n")),
        (400, "HTTP/0.9", format!("GET {target}\r\n")),
        (400, "HTTP/0.9 with a head", format!("GET {target}\r\n{head}\r\n")),
        (400, "HTTP/1.2", format!("GET {target} HTTP/1.2\r\n{head}\r\n")),
        (400, "HTTP/2.0 as text", format!("GET {target} HTTP/2.0\r\n{head}\r\n")),
        (400, "http in lower case", format!("GET {target} http/1.1\r\n{head}\r\n")),
        (400, "two blanks", format!("GET  {target} HTTP/1.1\r\n{head}\r\n")),
        (400, "a tab", format!("GET\t{target} HTTP/1.1\r\n{head}\r\n")),
        (400, "a blank in the target", format!("GET {target} x HTTP/1.1\r\n{head}\r\n")),
        (400, "a blank before it", format!(" GET {target} HTTP/1.1\r\n{head}\r\n")),
        (400, "a blank after it", format!("GET {target} HTTP/1.1 \r\n{head}\r\n")),
        (400, "a bare LF", format!("GET {target} HTTP/1.1\n{head}\r\n")),
        (400, "a bare LF before it", format!("\nGET {target} HTTP/1.1\r\n{head}\r\n")),
        (400, "a bare CR", format!("GET {target} HTTP/1.1\r{head}\r\n")),
        (400, "a bare LF at the end", format!("GET {target} HTTP/1.1\r\n{head}\n")),
        (400, "NUL in the target", format!("GET {target}\0 HTTP/1.1\r\n{head}\r\n")),
        (400, "two Hosts", format!("GET {target} HTTP/1.1\r\nHost: y\r\n{head}\r\n")),
        (400, "Host by another case", format!("GET {target} HTTP/1.1\r\nHOST: x\r\n{head}\r\n")),
        (400, "obs-fold", format!("GET {target} HTTP/1.1\r\nX: y\r\n z\r\n{head}\r\n")),
        (400, "obs-fold of the first line", format!("GET {target} HTTP/1.1\r\n X: y\r\n{head}\r\n")),
        (400, "blank before the colon", format!("GET {target} HTTP/1.1\r\nX : y\r\n{head}\r\n")),
        (400, "NUL in a value", format!("GET {target} HTTP/1.1\r\nX: \0\r\n{head}\r\n")),
        (400, "CR in a value", format!("GET {target} HTTP/1.1\r\nX: a\rb\r\n{head}\r\n")),
        (400, "no Host", format!( "GET {target} HTTP/1.1\r\n{}\r\n", head.trim_start_matches("Host: x\r\n") )),
    ];
    for (status, what, text) in table {
        let answer = exchange(stage.proxy.authority(), text.as_bytes()).await;
        let seen = stage.upstream.take();
        // HTTP/0.9 has no end that would be waited for.
        let is_silent = what.starts_with("HTTP/0.9") && answer.status == 0;
        assert!(
            answer.status == status || is_silent,
            "X1 {what}: {answer:?}"
        );
        assert_eq!(
            seen.len(),
            usize::from(status == 200),
            "X1 {what}: {seen:?}"
        );
        for seen in seen {
            assert_eq!(
                seen.param("query"),
                [r#"up{tenant_id="acme"}"#],
                "X1 {what}"
            );
        }
    }
}

/// The same bytes in small pieces: where a piece ends means nothing.
#[tokio::test]
async fn x1_pieces_make_no_difference() {
    let stage = Stage::recorded("").await;
    for (row, status) in [
        (&CODINGS[0], 200),
        (&CODINGS[25], 400),
        (&LENGTHS[23], 400),
        (&BODIES[2], 200),
    ] {
        let bytes = both(&stage, "/api/v1/query", row);
        for size in [1, 7, 64] {
            let mut stream = stage.connect().await;
            stream.set_nodelay(true).unwrap();
            for piece in bytes.chunks(size) {
                if stream.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let answer = read_answer(&mut stream).await;
            let expected = [status, if status == 400 { 0 } else { status }];
            assert!(
                expected.contains(&answer.status),
                "{}: {answer:?}",
                row.what
            );
            let seen = stage.upstream.take().len();
            assert_eq!(seen, if status == 200 { 2 } else { 0 }, "{}", row.what);
        }
    }
}

#[tokio::test]
async fn x2_nothing_is_read_after_an_error() {
    let stage = Stage::recorded("").await;
    let next = format!(
        "GET /api/v1/query?query=second HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n",
        stage.bearer
    );
    for bad in [
        "NONSENSE\r\n\r\n",
        "GET /api/v1/query HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /api/v1/query HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /api/v1/query HTTP/1.1\r\nHost: x\r\nX: y\n\r\n",
    ] {
        let bytes = format!("{bad}{next}{next}");
        let answer = exchange(stage.proxy.authority(), bytes.as_bytes()).await;
        assert_eq!(answer.status, 400, "X2 {bad:?}: {answer:?}");
        assert_eq!(answer.answers(), 1, "X2 {bad:?}: {answer:?}");
        assert!(stage.upstream.take().is_empty(), "X2 {bad:?}");
        // The good ones before it are answered.
        let bytes = format!("{next}{bad}{next}");
        let answer = exchange(stage.proxy.authority(), bytes.as_bytes()).await;
        assert_eq!(answer.status, 200, "X2 {bad:?}: {answer:?}");
        assert_eq!(answer.answers(), 2, "X2 {bad:?}: {answer:?}");
        assert_eq!(stage.upstream.take().len(), 1, "X2 {bad:?}");
    }
}

#[tokio::test]
async fn http10_keeps_a_connection_only_if_asked() {
    let stage = Stage::recorded("").await;
    for (asked, answers) in [("", 1), ("Connection: keep-alive\r\n", 2)] {
        let one = |more: &str| {
            format!(
                "GET /api/v1/query?query=up HTTP/1.0\r\nAuthorization: {}\r\n{more}\r\n",
                stage.bearer
            )
        };
        let bytes = one(asked) + &one("");
        let answer = exchange(stage.proxy.authority(), bytes.as_bytes()).await;
        let count = answer.text().matches("HTTP/1.").count() + 1;
        assert_eq!((answer.status, count), (200, answers), "{answer:?}");
        assert_eq!(stage.upstream.take().len(), answers);
    }
}

/// A client that has said all it has to say, and listens. It passes over interim answers, as every
/// client does (RFC 9110 §15.2).
async fn half_closed<U>(stage: &Stage<U>, bytes: &[u8]) -> RawAnswer {
    let mut stream = stage.connect().await;
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    read_answer_behind(&mut stream, interim).await
}

#[tokio::test]
async fn a_client_that_has_ended_its_side_is_answered() {
    let stage = Stage::recorded("").await;
    for target in ["/api/v1/query?query=up", "/elsewhere"] {
        let one = stage.kept(target);
        let answer = half_closed(&stage, &one).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        let answer = half_closed(&stage, &[&one[..], &one].concat()).await;
        assert_eq!(answer.answers(), 2, "{target}: {answer:?}");
        stage.upstream.take();
    }
    // Also when the end comes before the answer is there.
    let ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
    let stage = Stage::scripted(&[Step::Gate, Step::send(ok)], "").await;
    let request = stage.kept("/elsewhere");
    let asked = half_closed(&stage, &request);
    let gate = async {
        eventually("it is upstream", async || stage.upstream.seen().len() == 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        stage.upstream.open();
    };
    let (answer, ()) = tokio::join!(asked, gate);
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
}

/// Most clients whose side has ended are gone. Their requests do not burden the upstream.
#[tokio::test]
async fn a_client_that_is_gone_is_noticed() {
    let stage = Stage::recorded("").await;
    stage.upstream.behave(Behaviour::Silent);
    for shuts_down_first in [false, true] {
        let mut stream = stage.connect().await;
        let request = stage.kept("/api/v1/query?query=up");
        stream.write_all(&request).await.unwrap();
        if shuts_down_first {
            stream.shutdown().await.unwrap();
        }
        drop(stream);
        let in_flight = "partywall_http_requests_in_flight";
        eventually("it is let go", async || stage.metric(in_flight).await < 0.5).await;
    }
}
