use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// The events of a text in chunks of this many bytes, with offsets from the start of the text.
fn events(
    text: &[u8],
    reported_depth: usize,
    chunk: usize,
) -> Result<Vec<(Event, Vec<u8>)>, TraceError> {
    let mut scanner = Scanner::new(reported_depth);
    let mut events = Vec::new();
    for (index, part) in text.chunks(chunk).enumerate() {
        let mut at = 0;
        while let Some(event) = scanner.next(part, &mut at)? {
            let before = index * chunk;
            let event = match event {
                Event::Name { depth } => Event::Name { depth },
                Event::Start { depth, at, byte } => {
                    let at = before + at;
                    Event::Start { depth, at, byte }
                }
                Event::End { depth, at } => {
                    let at = before + at;
                    Event::End { depth, at }
                }
            };
            let text = match event {
                Event::Name { .. } => scanner.text().unwrap_or(b"?").to_vec(),
                _ => Vec::new(),
            };
            events.push((event, text));
        }
    }
    scanner.finish()?;
    Ok(events)
}

fn accepts(text: &[u8], chunk: usize) -> bool {
    events(text, 1, chunk).is_ok()
}

#[test]
fn names_and_values_are_reported_down_to_a_depth() {
    let text = br#"{"a" : {"b":[1,{"c":2}]}, "d":"x\"}y" ,"e":-1}"#;
    let value = |start, byte, end| {
        let depth = 1;
        [
            Event::Start {
                depth,
                at: start,
                byte,
            },
            Event::End { depth, at: end },
        ]
    };
    let [a, a_end] = value(7, b'{', 24);
    let [d, d_end] = value(30, b'"', 37);
    let [e, e_end] = value(43, b'-', 45);
    let name = Event::Name { depth: 1 };
    let (depth, byte) = (0, b'{');
    for chunk in 1..=text.len() {
        let reported_depth: Vec<_> = events(text, 1, chunk).unwrap();
        let (found, names): (Vec<_>, Vec<_>) = reported_depth.into_iter().unzip();
        assert_eq!(
            found,
            [
                Event::Start { depth, at: 0, byte },
                name,
                a,
                a_end,
                name,
                d,
                d_end,
                name,
                e,
                e_end,
                Event::End { depth, at: 46 },
            ],
        );
        assert_eq!(names.concat(), b"ade");
    }
}

#[test]
fn text_of_a_string_or_scalar_is_available_at_its_end() {
    let mut scanner = Scanner::new(1);
    let chunk = br#"["a\u0041b",-1.5e3,null]"#;
    let mut at = 0;
    let mut texts = Vec::new();
    while let Some(event) = scanner.next(chunk, &mut at).unwrap() {
        if let Event::End { depth: 1, .. } = event {
            texts.push(scanner.text().unwrap().to_vec());
        }
    }
    assert_eq!(texts, [&br"a\u0041b"[..], b"-1.5e3", b"null"]);
}

#[test]
fn overlong_name_has_no_text() {
    let long = format!(r#"{{"{}":1}}"#, "x".repeat(MAX_TOKEN + 1));
    assert_eq!(events(long.as_bytes(), 1, 10).unwrap()[1].1, b"?");
    let known = format!(r#"{{"{}":1}}"#, "x".repeat(MAX_TOKEN));
    assert_eq!(
        events(known.as_bytes(), 1, 10).unwrap()[1].1.len(),
        MAX_TOKEN
    );
}

#[test]
fn invalid_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "\"",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "[1",
        "[1,",
        "tru",
        "-",
        "1.",
        "1e",
        "{]",
        "[}",
        "[1}",
        "{\"a\":1]",
        "{,}",
        "[,]",
        "[1,]",
        "{\"a\":1,}",
        "{1:2}",
        "{\"a\"}",
        "{\"a\",1}",
        "{\"a\" 1}",
        "[1 2]",
        "[\"a\"\"b\"]",
        "[\"a\":1]",
        "{}{}",
        "[]]",
        "1 2",
        "01",
        "-01",
        "+1",
        ".5",
        "1.e5",
        "1e+",
        "0x1",
        "NaN",
        "nulll",
        "True",
        "[1]x",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u123\"",
        "\"\n\"",
        "\"\t\"",
        "'a'",
        "{'a':1}",
        "[1]\u{0}",
        "\u{feff}[]",
        "[\"a\"1]",
        "[1\"a\"]",
        "{\"a\":1 \"b\":2}",
        "[[]",
        "[]{",
        "{\"a\":{}",
    ] {
        for chunk in [1, 2, 1000] {
            assert!(
                !accepts(text.as_bytes(), chunk),
                "{text:?} in chunks of {chunk}"
            );
        }
    }
}

#[test]
fn deep_nesting_is_bounded() {
    let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    assert!(accepts(&nested(MAX_DEPTH), 1 << 16));
    assert!(!accepts(&nested(MAX_DEPTH + 1), 1 << 16));
    assert!(!accepts(&nested(MAX_DEPTH + 1), 1 << 30));
}

#[test]
fn error_gives_its_offset() {
    for chunk in [1, 3, 100] {
        let error = events(br#"{"a":[1,2}"#, 3, chunk).unwrap_err();
        let TraceError::Json { at, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(at, 9);
    }
}

/// Texts that are nearly JSON.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"a\":",
        "\"b\\\"\":",
        "{}",
        "[]",
        "1",
        "-1.5e+3",
        "0",
        "true",
        "null",
        "\\",
        "\\u00",
        " ",
        "\n",
        "x",
        "\"long string, here\"",
        "{\"a\":[",
        "]}",
        "},{",
        "\u{1f600}",
        "\u{1}",
    ]);
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat().into_bytes())
}

/// JSON, with a little damage or none.
fn damaged_json() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just("1".to_owned()),
        Just("null".to_owned()),
        "\"[a-z{}:,]{0,12}\"",
        Just(r#""\u0041\\\"""#.to_owned()),
    ];
    let json = leaf.prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|it| format!("[{}]", it.join(","))),
            prop::collection::vec(inner, 0..4).prop_map(|it| {
                let members: Vec<_> = it.iter().map(|value| format!("\"n\" : {value}")).collect();
                format!("{{{}}}", members.join(" ,"))
            }),
        ]
    });
    let byte = prop::sample::select(b"{}[]\",:\\1x ".to_vec());
    let damage = prop::collection::vec((any::<prop::sample::Index>(), byte), 0..2);
    (json, damage).prop_map(|(json, damage)| {
        let mut json = json.into_bytes();
        for (place, byte) in damage {
            let place = place.index(json.len());
            json[place] = byte;
        }
        json
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn scanner_accepts_what_serde_json_accepts(
        text in prop_oneof![nearly_json(), damaged_json()],
        chunk in 1usize..9,
        reported_depth in 0usize..4,
    ) {
        // Only what follows a number shows that it has ended.
        let text = [&text[..], b"\n"].concat();
        let valid = serde_json::from_slice::<IgnoredAny>(&text).is_ok();
        prop_assert_eq!(accepts(&text, usize::MAX), valid);
        prop_assert_eq!(accepts(&text, chunk), valid);
        prop_assert_eq!(events(&text, reported_depth, chunk), events(&text, reported_depth, usize::MAX));
    }
}
