use super::*;

fn error_of(text: &str) -> (usize, usize, String) {
    let SyntaxError { at, message } = parse(text.as_bytes()).unwrap_err();
    (at.line, at.column, message)
}

fn scalar(line: usize, column: usize, text: &str, plain: bool) -> Node {
    Node {
        at: Position { line, column },
        value: Value::Scalar {
            text: text.into(),
            plain,
        },
    }
}

#[test]
fn tree_has_the_position_of_every_value() {
    let tree = parse("a: 1\nb:\n  - 'x'\n  - {c: ~}\nd:\n".as_bytes()).unwrap();
    let entry = |key: &str, line, column, value| Entry {
        key: key.into(),
        key_at: Position { line, column },
        value,
    };
    let map = |line, column, entries| Node {
        at: Position { line, column },
        value: Value::Map(entries),
    };
    let list = Node {
        at: Position { line: 3, column: 3 },
        value: Value::List(vec![
            scalar(3, 5, "x", false),
            map(4, 5, vec![entry("c", 4, 6, scalar(4, 6, "~", true))]),
        ]),
    };
    let expected = map(
        1,
        1,
        vec![
            entry("a", 1, 1, scalar(1, 4, "1", true)),
            entry("b", 2, 1, list),
            // A missing value has the position of its key.
            entry("d", 5, 1, scalar(5, 1, "~", true)),
        ],
    );
    assert_eq!(tree.value, expected.value);
}

#[test]
fn byte_order_mark_is_not_a_column() {
    assert_eq!(parse("\u{feff}a: 1".as_bytes()), parse(b"a: 1"));
}

#[test]
fn columns_count_characters() {
    let tree = parse("{ä: [ö, ü]}".as_bytes()).unwrap();
    let Value::Map(entries) = tree.value else {
        panic!()
    };
    let Value::List(items) = &entries[0].value.value else {
        panic!()
    };
    assert_eq!(items[1].at.column, 9);
}

#[test]
fn empty_file_is_an_empty_mapping() {
    for text in ["", "\n", "# nothing\n", "---\n"] {
        let tree = parse(text.as_bytes()).unwrap();
        assert!(
            tree.value == Value::Map(Vec::new()) || tree.is_null(),
            "{text:?}"
        );
    }
}

#[test]
fn unsupported_yaml_is_refused_at_its_position() {
    for (text, line, column, part) in [
        ("a: b: c", 1, 5, "mapping values are not allowed"),
        ("a: [1, 2", 1, 4, "unclosed bracket"),
        ("a: 'x", 1, 4, "unclosed quote"),
        ("a: &x 1", 1, 7, "anchors"),
        ("a: &x 1\nb: *x", 1, 7, "anchors"),
        ("a: 1\nb: *x", 2, 4, "aliases"),
        ("*x : 1", 1, 1, "aliases"),
        ("a: !!str 1", 1, 10, "tags"),
        ("a: ! 1", 1, 6, "tags"),
        ("a: 1\n---\nb: 2", 2, 1, "second document"),
        ("%YAML 1.1\n---\na: 1", 1, 1, "directives"),
        ("? [a]\n: b", 1, 5, "a key must be a plain text"),
        ("a: \u{0}", 1, 4, "unexpected character"),
    ] {
        let error = error_of(text);
        assert_eq!((error.0, error.1), (line, column), "{text:?} {error:?}");
        assert!(error.2.contains(part), "{text:?} {error:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    let error = parse(b"a: 1\nb\xc3\xa4: \xff").unwrap_err();
    assert_eq!(error.at, Position { line: 2, column: 5 });
}

#[test]
fn nesting_is_bounded() {
    for deep in ["[".repeat(100_000), "{a: ".repeat(1000), "- ".repeat(1000)] {
        assert!(parse(deep.as_bytes()).is_err());
    }
    let mixed = format!("{}{}", "- ".repeat(10), "[".repeat(10)) + &"]".repeat(10);
    assert_eq!(error_of(&mixed).2, "nested more than 16 deep");
}

#[test]
fn only_the_core_schema_is_supported() {
    let node = |text: &str| match parse(format!("a: {text}").as_bytes()).unwrap().value {
        Value::Map(mut entries) => entries.remove(0).value,
        _ => panic!(),
    };
    for null in ["", "~", "null", "NULL"] {
        assert!(node(null).is_null(), "{null}");
    }
    for text in ["'null'", "\"\"", "none", "nil", "yes", "on", "'true'", "1"] {
        assert!(!node(text).is_null(), "{text}");
        assert_eq!(node(text).as_bool(), None, "{text}");
    }
    assert_eq!(node("true").as_bool(), Some(true));
    assert_eq!(node("FALSE").as_bool(), Some(false));
}
