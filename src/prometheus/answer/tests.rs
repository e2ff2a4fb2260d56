use proptest::prelude::*;

use super::*;

const SECRET: &str = "receive series from Addr: 10.0.0.7 LabelSets: {tenant_id=\\\"globex\\\"}";

type Same = fn(Position) -> Option<Position>;
const SAME: Same = Some;

fn stream(chunks: &[&[u8]]) -> Result<Vec<u8>, ScrubError> {
    let mut scrubber = AnswerScrubber::new(1 << 16, SAME);
    let mut out = Vec::new();
    for chunk in chunks {
        scrubber.push(Bytes::copy_from_slice(chunk), &mut out)?;
    }
    out.push(scrubber.finish()?);
    Ok(out.concat())
}

fn in_pieces_of(size: usize, text: &str) -> Result<Vec<u8>, ScrubError> {
    stream(&text.as_bytes().chunks(size).collect::<Vec<_>>())
}

/// Responses as Prometheus 2.42 and 3, Thanos and its query frontend write them.
fn answers() -> Vec<String> {
    let vector = r#""resultType":"vector","result":[{"metric":{"__name__":"up","warnings":"[","infos":"x"},"value":[1,"1"]}]"#;
    vec![
        format!(r#"{{"status":"success","data":{{{vector}}}}}"#),
        format!(r#"{{"status":"success","data":{{{vector}}},"warnings":["{SECRET}"]}}"#),
        format!(r#"{{"status":"success","data":{{{vector}}},"infos":["PromQL info: x (1:2)"]}}"#),
        format!(r#"{{"status":"success","data":{{{vector},"analysis":{{}}}},"warnings":["{SECRET}","{SECRET}"],"infos":["y"]}}"#),
        r#"{"status":"success","data":[{"\"warnings":"[","a":"\"warnings\":[\"x\"]"}],"warnings":["results truncated due to limit"]}"#.to_owned(),
        r#"{"status":"success","data":["warnings","infos",":["]}"#.to_owned(),
        r#"{"status":"success","data":null}"#.to_owned(),
        r#"{"status":"success"}"#.to_owned(),
        r#"{"warnings":["x"],"status":"success","data":[1, 2]}"#.to_owned(),
        r#"{ "status": "success", "data": [], "notices": ["at globex"] }"#.to_owned(),
    ]
}

#[test]
fn warnings_are_scrubbed_and_data_is_unmodified() {
    for answer in answers() {
        let out = String::from_utf8(in_pieces_of(answer.len(), &answer).unwrap()).unwrap();
        assert!(!out.contains("globex"), "{out}");
        let data =
            |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["data"].clone();
        assert_eq!(data(&out), data(&answer));
    }
}

#[test]
fn response_without_warnings_is_neither_changed_nor_copied() {
    let answer = Bytes::from(answers().swap_remove(0));
    let mut scrubber = AnswerScrubber::new(0, SAME);
    let mut out = Vec::new();
    scrubber.push(answer.clone(), &mut out).unwrap();
    assert_eq!(scrubber.streams(), Some(true));
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), answer.as_ptr());
    assert_eq!(out[0], answer);
    assert!(scrubber.finish().unwrap().is_empty());
}

#[test]
fn streaming_buffers_nothing() {
    let head = r#"{"status":"success","data":["a","warn"#;
    let mut scrubber = AnswerScrubber::new(0, SAME);
    let mut out = Vec::new();
    scrubber
        .push(Bytes::from_static(head.as_bytes()), &mut out)
        .unwrap();
    assert_eq!(out.concat(), head.as_bytes());
}

#[test]
fn result_is_independent_of_chunk_boundaries() {
    for answer in answers() {
        let whole = scrub_whole(answer.as_bytes(), &SAME).unwrap();
        for size in 1..=answer.len() {
            let cut = in_pieces_of(size, &answer).unwrap();
            assert_eq!(
                String::from_utf8_lossy(&cut),
                String::from_utf8_lossy(&whole),
                "pieces of {size}"
            );
        }
    }
}

#[test]
fn unknown_tail_is_refused() {
    for tail in [
        r#","warnings":["a"],"notices":["at globex"]}"#,
        r#","warnings":["a"],"warnings":["b"]}"#,
        r#","warnings":[{"a":"globex"}]}"#,
        r#","warnings":["a""#,
        r#","warnings":["a"]}}"#,
        r#","warnings":["a"]} globex"#,
        r#","infos":["a"]"#,
    ] {
        let answer = format!(r#"{{"status":"success","data":[]{tail}"#);
        for size in [1, 7, answer.len()] {
            assert!(in_pieces_of(size, &answer).is_err(), "{tail}");
        }
    }
    let long = format!(
        r#"{{"status":"success","data":[],"warnings":["{}"]}}"#,
        "x".repeat(MAX_TAIL)
    );
    assert_eq!(in_pieces_of(4096, &long), Err(ScrubError::TooLong));
}

#[test]
fn response_in_another_format_is_buffered_up_to_a_limit() {
    let mut scrubber = AnswerScrubber::new(64, SAME);
    let mut out = Vec::new();
    scrubber
        .push(Bytes::from_static(b"{\"status"), &mut out)
        .unwrap();
    assert_eq!(scrubber.streams(), None);
    scrubber
        .push(Bytes::from_static(b"\": \"success\"}"), &mut out)
        .unwrap();
    assert_eq!(scrubber.streams(), Some(false));
    assert!(out.is_empty());
    let more = Bytes::from(vec![b' '; 64]);
    assert_eq!(scrubber.push(more, &mut out), Err(ScrubError::TooLong));

    assert!(stream(&[b"<html>globex</html>"]).is_err());
    assert!(stream(&[]).is_err());
    assert!(stream(&[br#"{"status":"error","errorType":"internal","error":"globex"}"#]).is_err());
}

proptest! {
    #[test]
    fn streamed_result_equals_buffered_result(
        warnings in prop::collection::vec(".{0,12}", 0..3),
        infos in prop::collection::vec("(PromQL info: )?.{0,8}", 0..3),
        values in prop::collection::vec("(warnings|infos|[\":\\[\\\\])*", 0..4),
        cuts in prop::collection::vec(0_usize..400, 0..6),
    ) {
        let mut answer = serde_json::json!({"status": "success", "data": values});
        for (key, texts) in [("warnings", warnings), ("infos", infos)] {
            if !texts.is_empty() {
                answer[key] = texts.into();
            }
        }
        let answer = answer.to_string();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(answer.len())).collect();
        cuts.extend([0, answer.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &answer.as_bytes()[w[0]..w[1]]).collect();
        prop_assert_eq!(stream(&chunks).unwrap(), scrub_whole(answer.as_bytes(), &SAME).unwrap());
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        head in prop::bool::ANY,
        chunks in prop::collection::vec("(\"warnings\":\\[|\"infos\":\\[|[\"\\[\\]{},:a\\\\])*", 0..4),
    ) {
        let mut all: Vec<&[u8]> = if head { vec![HEAD] } else { Vec::new() };
        all.extend(chunks.iter().map(String::as_bytes));
        let _ = stream(&all);
    }
}
