#![allow(clippy::disallowed_methods, reason = "a test's own bodies are small")]

use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};

use super::*;
use crate::server::timeouts::ConnectionState;

/// Parses all messages in the bytes.
fn follow(checker: &mut FramingChecker, bytes: &[u8]) -> Result<(), Ambiguous> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let begin = bytes.len() - rest.len();
        let followed = checker.follow(rest);
        rest = followed.map_err(|Ambiguous { at }| Ambiguous { at: begin + at })?;
    }
    Ok(())
}

/// What hyper made of a connection's bytes: each request's target and body, and the responses.
#[derive(Debug, PartialEq, Eq)]
struct Understood {
    requests: Vec<(String, Option<Bytes>)>,
    answers: String,
}

async fn serve<S>(stream: S) -> Vec<(String, Option<Bytes>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let requests = Mutex::new(Vec::new());
    let service = service_fn(async |request: Request<Incoming>| {
        let target = request.uri().to_string();
        let body = request.into_body().collect().await.ok();
        let body = body.map(http_body_util::Collected::to_bytes);
        requests.lock().unwrap().push((target, body));
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
    requests.into_inner().unwrap()
}

/// Sends the pieces one by one, then closes.
fn understood(pieces: &[&[u8]], is_checked: bool) -> Understood {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(1 << 20);
        let serving = async {
            if is_checked {
                serve(Framed::new(server, &ConnectionState::unlisted(), None)).await
            } else {
                serve(server).await
            }
        };
        let (requests, answers) = tokio::join!(serving, talk(client, pieces));
        Understood { requests, answers }
    })
}

async fn talk(mut client: DuplexStream, pieces: &[&[u8]]) -> String {
    for piece in pieces {
        let _ = client.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    // Only once each request has its response: hyper drops those in flight when the peer closes.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let _ = client.shutdown().await;
    let mut answers = String::new();
    let _ = client.read_to_string(&mut answers).await;
    answers
}

fn checked(text: &str) -> Understood {
    understood(&[text.as_bytes()], true)
}

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn unambiguous_framing_passes() {
    for (head, body) in [
        ("", ""),
        ("Content-Length: 0\r\n", ""),
        ("content-length:\t3 \r\n", "abc"),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("TRANSFER-ENCODING:CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        (
            "Transfer-Encoding: chunked\r\nTrailer: a\r\n",
            "00003;x=\"y\"\r\nabc\r\n0 ;z\r\nA: b\r\nContent-Length: 9\r\n\r\n",
        ),
        (
            "X-Long: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
            "",
        ),
        ("X-Content-Length: 3\r\nX-Transfer-Encoding: y\r\n", ""),
    ] {
        let text = format!("\r\nPOST /first HTTP/1.1\r\nHost: x\r\n{head}\r\n{body}{NEXT}");
        let got = checked(&text);
        let targets: Vec<_> = got
            .requests
            .iter()
            .map(|(target, _)| target.as_str())
            .collect();
        assert_eq!(targets, ["/first", "/next"], "{head:?}: {got:?}");
        let sent = got.requests[0].1.as_deref().unwrap();
        assert_eq!(
            sent,
            if body.contains("abc") || body == "abc" {
                &b"abc"[..]
            } else {
                b""
            }
        );
    }
}

#[test]
fn ambiguous_framing_is_a_400() {
    let heads = [
        "GET /x HTTP/1.1\nHost: x\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: x\n\r\n",
        "GET /x HTTP/1.1\r\nHost: x\r\n\n",
        "\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:                                                chunked\r\n\r\n",
    ];
    for head in heads {
        for before in ["", NEXT] {
            let text = format!("{before}{head}abc{NEXT}");
            for cut in [
                0,
                before.len() + head.len() - 1,
                before.len() + head.len() / 2,
            ] {
                let (first, second) = text.as_bytes().split_at(cut);
                let got = understood(&[first, second], true);
                let expected = usize::from(!before.is_empty());
                assert_eq!(got.requests.len(), expected, "{head:?}: {got:?}");
                let last = got.answers.rsplit("HTTP/1.1 ").next().unwrap();
                assert!(last.starts_with("400"), "{head:?} cut at {cut}: {got:?}");
            }
        }
    }
    for chunks in [
        "3\r\nabc\r\n0\r\nA: b\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
    ] {
        let head = "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let got = checked(&format!("{head}{chunks}{NEXT}"));
        assert_eq!(
            got.requests,
            [("/x".to_owned(), None)],
            "{chunks:?}: {got:?}"
        );
    }
}

#[test]
fn http2_is_not_parsed() {
    let mut checker = FramingChecker::new();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\n\n";
    assert_eq!(follow(&mut checker, preface), Ok(()));
    assert_eq!(checker.state, State::Http2);
    // But no later line turns the checks off.
    let mut checker = FramingChecker::new();
    let late = [NEXT.as_bytes(), preface].concat();
    assert!(follow(&mut checker, &late).is_err());
}

/// Requests, most of them valid, with mutations as they are used for smuggling.
fn stream() -> impl Strategy<Value = String> {
    let body = prop_oneof![
        Just(("", "")),
        Just(("Content-Length: 5\r\n", "hello")),
        Just(("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")),
        Just((
            "Transfer-Encoding: chunked\r\n",
            "2;e=f\r\nhe\r\n3\r\nllo\r\n0\r\nT: u\r\n\r\n"
        )),
        Just(("Content-Length: 31\r\n", NEXT)),
    ];
    let request = (body, prop::bool::weighted(0.2)).prop_map(|((head, body), blank)| {
        let blank = if blank { "\r\n" } else { "" };
        format!("{blank}POST /x HTTP/1.1\r\nHost: x\r\n{head}\r\n{body}")
    });
    prop::collection::vec(request, 1..4).prop_map(|requests| requests.concat())
}

fn with_slips() -> impl Strategy<Value = String> {
    let slip = (
        any::<prop::sample::Index>(),
        0..3usize,
        prop::sample::select(&[
            "",
            "\n",
            "\r",
            "\r\n",
            " ",
            "0",
            "5",
            "\t",
            ";",
            "chunked",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            "\0",
        ]),
    );
    (stream(), prop::collection::vec(slip, 1..4)).prop_map(|(mut text, slips)| {
        for (at, length, insert) in slips {
            let start = at.index(text.len());
            let end = (start + length).min(text.len());
            text.replace_range(start..end, insert);
        }
        text
    })
}

fn cut(text: &str, cuts: &[prop::sample::Index]) -> Vec<usize> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn valid_requests_are_unaffected(
        text in stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let cuts = cut(&text, &cuts);
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|two| &text.as_bytes()[two[0]..two[1]]).collect();
        let expected = understood(&[text.as_bytes()], false);
        prop_assert_eq!(understood(&pieces, true).requests, expected.requests);
    }

    #[test]
    fn checked_stream_yields_no_other_requests(
        text in with_slips(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let before = understood(&[text.as_bytes()], false).requests;
        let cuts = cut(&text, &cuts);
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|two| &text.as_bytes()[two[0]..two[1]]).collect();
        let after = understood(&pieces, true).requests;
        // The last one may have been cut short by a refusal.
        let whole = after.iter().filter(|(_, body)| body.is_some());
        prop_assert!(whole.zip(&before).all(|(after, before)| after == before), "{before:?} {after:?}");
        prop_assert!(after.len() <= before.len());
    }

    /// The invariant that the checker relies on: where it passes everything, hyper ends each
    /// message where the checker does.
    #[test]
    fn checker_agrees_with_hyper_on_message_ends(text in with_slips()) {
        let mut checker = FramingChecker::new();
        if follow(&mut checker, text.as_bytes()).is_ok() && checker.state == State::Headers && checker.headers.lines == 0 {
            let with = format!("{text}GET /last HTTP/1.1\r\nHost: x\r\n\r\n");
            let got = understood(&[with.as_bytes()], false);
            // HTTP/1.0 has no persistent connections.
            let is_over = text.contains("HTTP/1.0") || got.answers.contains("HTTP/1.1 400");
            let last = got.requests.last().map(|(target, _)| target.as_str());
            let is_broken = got.requests.iter().any(|(_, body)| body.is_none());
            prop_assert!(is_over || is_broken || last == Some("/last"), "{got:?}");
        }
    }

    #[test]
    fn result_is_independent_of_the_split(
        text in with_slips(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let whole = follow(&mut FramingChecker::new(), text.as_bytes());
        let mut checker = FramingChecker::new();
        let mut pieces = Ok(());
        for two in cut(&text, &cuts).windows(2) {
            pieces = follow(&mut checker, &text.as_bytes()[two[0]..two[1]])
                .map_err(|Ambiguous { at }| Ambiguous { at: two[0] + at });
            if pieces.is_err() {
                break;
            }
        }
        prop_assert_eq!(whole, pieces);
    }
}
