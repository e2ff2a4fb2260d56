//! The peculiarities of Tempo's lexer and grammar, one line each, with Tempo's own verdicts.

use super::lexer::unquoted_name;
use super::parser::{Outline, parse};
use super::{Refusal, RefusalKind, TraceIntrinsics};

fn outline(query: &str) -> Result<Outline, Refusal> {
    parse(query, TraceIntrinsics::Trust)
}

#[track_caller]
fn accepted(queries: &[&str]) {
    for query in queries {
        if let Err(refusal) = outline(query) {
            panic!("{query}: {refusal}");
        }
    }
}

#[track_caller]
fn refused(queries: &[&str]) {
    for query in queries {
        let Err(refusal) = outline(query) else {
            panic!("accepted: {query}");
        };
        assert_eq!(refusal.kind(), RefusalKind::Malformed, "{query}: {refusal}");
    }
}

/// The first few characters of each leaf pipeline.
fn leaves(query: &str) -> Vec<String> {
    let leaves = outline(query).unwrap().leaves;
    let start = |&at: &usize| query.get(at..).unwrap().chars().take(4).collect();
    leaves.iter().map(start).collect()
}

#[test]
fn attribute_names_allow_nearly_every_character() {
    accepted(&[
        "{ .a*2 = 1 }",
        "{ .a-1 = .b+1 }",
        "{ .a/*no_comment*/ = 1 }",
        "{ .tenant_id//x = 1 }",
        "{ .a#b;c:d'e[f]$@%?\\ = 1 }",
        "{ span.5xx && .été && .\u{feff} }",
        "{ .a.b..c. = 1 }",
        "{ .name = .duration }",
        "{.a=.b}",
        "{ span.\"a } || { b\".c = 1 }",
        "{ .\"\" = 1 }",
        "{ .\"a\\\"b\\\\\" }",
        "{ .\"two\nlines\" }",
        "{ resource.nil != nil }",
        "{ event.a && link.b && instrumentation.c }",
    ]);
    refused(&[
        "{ . }",
        "{ .a.\u{a0}b }",
        "{ span. }",
        "{ span. a }",
        "{ span .a }",
        "{ .\"open }",
        "{ .\"a\\n\" }",
        "{ .a b }",
        "{ .a\u{2003}b }",
        "{ trace.a }",
        "{ .a\0 }",
    ]);
}

#[test]
fn comments_are_those_of_go() {
    accepted(&[
        "// first\n{ } // last",
        "{ /* } */ .a /**/ = /* \n */ 1 }",
        "{ true /* // */ }",
        "/**/{}",
        "{}//",
        "{ trace: /* between */ duration > 1s }",
    ]);
    refused(&[
        "// all of it { }",
        "/* open { }",
        "{ true # no comment\n }",
        "{} /",
        "/* \0 */{}",
    ]);
    assert_eq!(leaves("/* {} | */ {.a}"), ["{.a}"]);
    assert_eq!(leaves("( // (\n {} | by(.a)) && (/**/{})"), ["{} |", "{})"]);
}

#[test]
fn strings_are_those_of_go() {
    accepted(&[
        r#"{ .a = "} | { \" // \\" }"#,
        "{ .a = `} | { \\` }",
        "{ .a = `two\nlines` }",
        r#"{ .a = "\a\b\f\n\r\t\v\x41\101\377\u00e9\U0001f4a5" }"#,
        "{ .a = \"é\u{a0}\u{feff}\" }",
    ]);
    refused(&[
        "{ .a = \"two\nlines\" }",
        "{ .a = \"open }",
        "{ .a = `open }",
        "{ .a = 'a' }",
        "{ .a = 'abc' }",
        r#"{ .a = "\'" }"#,
        r#"{ .a = "\`" }"#,
        r#"{ .a = "\400" }"#,
        r#"{ .a = "\ud800" }"#,
        r#"{ .a = "\U00110000" }"#,
        r#"{ .a = "\xé" }"#,
        "{ .a = \"\0\" }",
    ]);
}

#[test]
fn numbers_and_durations_are_those_of_go_and_prometheus() {
    accepted(&[
        "{ .a = 010 && .b = 1. && .c = .5 && .d = 1e3 && .e = 09.5 && .f = 1.5e-3 }",
        "{ .a = 9223372036854775807 && .b = minInt && .c = -maxInt }",
        "{ duration > 1d2h3m4s5ms && duration < 1.5h && duration != 100us && duration > 7µs && duration > 8ns }",
        "{ duration > 1s500ms && duration > 1ms1s && duration > .5s && duration > 1y }",
        "{ duration > 1h.5m }",
    ]);
    refused(&[
        "{ .a = 9223372036854775808 }",
        "{ .a = 0x10 }",
        "{ .a = 1_000 }",
        "{ .a = 0b1 }",
        "{ .a = 08 }",
        "{ .a = 1e }",
        "{ .a = 1e999 }",
        "{ .a = 1x }",
        "{ duration > 1d1y }",
        "{ duration > 300y }",
        "{ duration > 1d1.5h }",
        "{ duration > 1min }",
        "{ duration > 1h.s }",
        "{ .a = 1.2.3 }",
    ]);
}

#[test]
fn only_ascii_and_four_kinds_of_white_space_separate_tokens() {
    accepted(&["\u{feff}{}", "\t{\r\n}  "]);
    refused(&[
        "{\u{a0}}",
        "{} \u{2028}",
        " \u{feff}{}",
        "{}\u{feff}",
        "{ naïve }",
        "{}\u{b}",
        "\0{}",
        "{}\0",
        "{} & {}",
        "{} $",
    ]);
    assert_eq!(leaves("\u{feff} {}"), ["{}"]);
}

#[test]
fn precedence_decides_which_types_are_combined() {
    accepted(&[
        "{ 1 = 1 + 1 }",
        "{ -.a = 1 }",
        "{ !.a = true }",
        "{ 2 ^ -3 + 1 = 1 }",
    ]);
    // (!true) + 1 and !(.a * 2): `!` stands between `+` and `*`.
    refused(&[
        "{ !true + 1 = 1 }",
        "{ !.a = 1 && !1 }",
        "{ -true }",
        "{ !(1 * 2) }",
    ]);
    accepted(&["{ (!.a) * 2 = 1 }"]);
    // (1 = 1) = 1: comparisons associate to the left.
    refused(&["{ 1 = 1 = 1 }", "{ true && 1 < 2 < 3 }"]);
    accepted(&[
        "{ 1 = 1 = true }",
        "{ 1 < 2 = .a }",
        "{ true = false && 1 = 2 || 3 < 4 }",
    ]);
}

#[test]
fn nil_is_allowed_only_with_equality() {
    accepted(&[
        "{ nil = nil }",
        "{ nil != nil && nil = .a }",
        "{ .a = nil = true }",
        "{ nil != .a = true }",
        "{ .a && nil != .b && .c = nil }",
        "{ (.a) = nil }",
        "{ !nil = .a }",
        "{ name != nil && nil != resource.service.name }",
        "{ .service.name = nil }",
        "{ .a + .b = nil }",
    ]);
    refused(&[
        "{ nil }",
        "{ .a = (nil) }",
        "{ .a > nil }",
        "{ nil + 1 = 1 }",
        "{ name = nil }",
        "{ nil = (name) }",
        "{ resource.service.name = nil }",
        "{ nil = resource.\"service\".name }",
        "{ trace:id = nil }",
        "{} | count() = nil",
    ]);
}

#[test]
fn intrinsics_are_allowed_only_in_their_scopes() {
    accepted(&[
        "{ span:childCount > 1 && span:id = span:parentID && event:name = link:traceID }",
        "{ event:timeSinceStart > 1s && link:spanID != `` && trace:id = `1` }",
        "{ instrumentation:name = 1 && instrumentation:version = `1` }",
        "{ nestedSetParent < 0 && nestedSetLeft > nestedSetRight }",
        "{ span:status = error && span:kind != client && kind = unspecified && status != unset }",
        "{ trace: duration > 1s }",
    ]);
    refused(&[
        "{ childCount > 1 }",
        "{ id = `1` }",
        "{ event:id = `1` }",
        "{ span:rootName = `1` }",
        "{ trace:rootServiceName = `1` }",
        "{ resource:name = `1` }",
        "{ parent:name = `1` }",
        "{ span:.a = 1 }",
        "{ Name = `1` }",
        "{ name = 1 }",
        "{ status > ok }",
        "{ parent = nil }",
        "{ parent.a }",
        "{ parent.span.a }",
        "{} | rate() by (parent.resource.a)",
        "{} | select(parent)",
    ]);
}

#[test]
fn every_span_set_operator_is_accepted() {
    for op in [
        "&&", "||", ">", "<", ">>", "<<", "~", "!>", "!<", "!>>", "!<<", "!~", "&>", "&<", "&>>",
        "&<<", "&~",
    ] {
        let query = format!("{{.a}}{op}{{.b}} {op} ({{}} {op} {{.c}})");
        assert_eq!(leaves(&query), ["{.a}"], "{query}");
        let wrapped = format!("({{.a}} | by(.x)) {op} ({{.b}} | count() > 1)");
        assert_eq!(leaves(&wrapped), ["{.a}", "{.b}"], "{wrapped}");
    }
    for op in [
        "+", "-", "*", "/", "%", "^", "=", "!=", "<=", ">=", "=~", "!", "&", "><",
    ] {
        let query = format!("{{.a}} {op} {{.b}}");
        assert!(outline(&query).is_err(), "{query}");
    }
}

#[test]
fn pipeline_may_start_with_any_stage_but_coalesce() {
    for query in [
        "{} | {} | coalesce() | by(.a) | select(.b, name) | count() > 1",
        "by(.a) | {}",
        "select(name)",
        "count() > -1 | { } >> { }",
        "(count()) >= (1 + 2) / 3",
        "(({})) | {}",
        "({}) && ({})",
        "max(.a + 1) != 1.5",
    ] {
        assert_eq!(outline(query).unwrap().leaves, [0], "{query}");
    }
    refused(&[
        "coalesce()",
        "coalesce() | {}",
        "| {}",
        "{} |",
        "{} | | {}",
        "{} | (by(.a))",
        "{} | ({} | {})",
        "({} | {}) | {}",
        "{} | count()",
        "count()",
        "5",
        "{} && count() > 1",
        "count() > 1 && {}",
        "({}) && (count())",
        "{} {}",
        "({}",
        "{})",
        "()",
        "",
    ]);
}

#[test]
fn aggregates_are_compared_with_constants_only() {
    refused(&[
        "count() > count()",
        "1 < count()",
        "count() + 1 > 1",
        "({} | count()) > 1",
        "({} | count()) + ({} | count()) > ({} | count())",
        "2 > 1",
        "count() > 1h + 1h",
        "count() > 1 / 0",
        "count() > -(count())",
        "count() =~ 1",
        "count() > 1 > 1",
        "max(name) > 1",
        "max(1) > 1",
        "by(1) | {}",
        "count() > 2 ^ 3",
    ]);
    accepted(&[
        "count() > 1.0 / 0",
        "max(duration) > -1h",
        "count() > -(1 - --2)",
    ]);
}

#[test]
fn parenthesised_pipelines_are_leaves_of_their_own() {
    let three = "({.a} | by(.x)) && ({.b}) >> (({.c} | {}) || ((({.d}))))";
    assert_eq!(leaves(three), ["{.a}", "{.b}", "{.c}", "(({."]);
    assert_eq!(leaves("(({.a} | {}))"), ["{.a}"]);
    assert_eq!(leaves("(count() > 1) ~ (by(.a))"), ["coun", "by(."]);
    assert_eq!(leaves("({.a} | {}) && ({.b} && ({.c}))"), ["{.a}", "{.b}"]);
    // Tempo has already taken the first parenthesis as one around a span set.
    refused(&[
        "({.a}) && ({.b} | count() > 1)",
        "{.a} && ({.b} | count() > 1)",
        "({.a} | {}) && {.b}",
        "(({.a}) && ({.b} | {})) && ({.c} | {})",
    ]);
}

#[test]
fn metrics_end_a_pipeline() {
    for query in [
        "{} | rate()",
        "by(.a) | {} | count_over_time() by (.a, name, span:id, event:name, link:traceID)",
        "{} | quantile_over_time(duration, .5, 1, 0.9) by (.a)",
        "{} | avg_over_time(.a) > 1 | topk(2) <= 5 | bottomk (1)",
        "{} | rate() > 1 > 2",
        "{} | compare({ .a || true }, 5, 1, 2)",
        "{} | histogram_over_time(span:duration) with(exemplars=true)",
    ] {
        let outline = outline(query).unwrap();
        assert_eq!(
            (outline.leaves, outline.is_metrics),
            (vec![0], true),
            "{query}"
        );
    }
    refused(&[
        "rate()",
        "{} | rate() | rate()",
        "{} | rate() | {}",
        "{} | rate() && {}",
        "{} | rate() + 1",
        "{} | topk(1)",
        "{} | rate() | topk(0)",
        "{} | rate() | topk(-1)",
        "{} | rate() | topk(1.5)",
        "{} | rate() > `1`",
        "{} | rate() by ()",
        "{} | rate() by (.a + 1)",
        "{} | rate() by (.a,.b,.c,.d,.e,.f)",
        "{} | histogram_over_time(.x) by (.a,.b,.c,.d,.e)",
        "{} | max_over_time()",
        "{} | max_over_time(.a + 1)",
        "{} | quantile_over_time(duration)",
        "{} | quantile_over_time(duration, 2)",
        "{} | compare(.a)",
        "{} | compare({}, 0)",
        "{} | compare({}, 1001)",
        "{} | compare({}, 5, 2)",
        "{} | compare({}, 5, 2, 1)",
        "{} | compare({}) > 1",
        "({} | compare({})) + ({} | rate())",
        "2 * ({} | compare({}))",
        "{} | compare({ name })",
    ]);
}

#[test]
fn arithmetic_on_metrics_has_a_leaf_in_every_operand() {
    assert_eq!(
        leaves("(60 * ({.a} | rate())) / (({.b} | rate() > 1)) - -1 > 5 | topk(1)"),
        ["{.a}", "{.b}"]
    );
    assert_eq!(
        leaves("2 - (({.a} | rate()) * 1.5) with(sample=0.1)"),
        ["{.a}"]
    );
    assert_eq!(
        leaves("({.a} | rate()) * 2 + ({.b} | rate())"),
        ["{.a}", "{.b}"]
    );
    refused(&[
        "({} | rate()) % 2",
        "({} | rate()) ^ ({} | rate())",
        "({} | rate()) + {} | rate()",
        "({} | rate()) + ({})",
        "({} | rate()) && ({} | rate())",
        "(({} | rate()) > 1) + 1",
        "({} | rate()) > ({} | rate())",
        "({} | rate()) * 10s",
        "-({} | rate())",
        "5 < ({} | rate())",
        "({} | rate()) + 1 2",
    ]);
}

#[test]
fn hints_are_allowed_at_the_end_and_may_repeat() {
    accepted(&[
        "{} with(most_recent=true)",
        "{} | rate() with(sample=0.1, exemplars=5) with(span_sample=true)",
        "{} | rate() with(extrapolate=true)",
        "({} | rate()) / ({} | rate()) with (trace_sample=1)",
    ]);
    refused(&[
        "{} with()",
        "{} with(sample)",
        "{} with(sample=)",
        "{} with(sample=nil)",
        "{} with(sample=.a)",
        "with(sample=1)",
        "{} with(sample=1) | {}",
        "({} with(sample=1) | {})",
    ]);
}

#[test]
fn hint_that_is_not_known_to_be_harmless_is_refused_by_its_name() {
    for (hints, name) in [
        ("debug=true", "debug"),
        (
            "sample=1, skip_ast_transformations=`all`",
            "skip_ast_transformations",
        ),
        ("debug_return_in=1s", "debug_return_in"),
        ("Most_recent=true", "Most_recent"),
    ] {
        let refusal = outline(&format!("{{}} with({hints})")).unwrap_err();
        assert_eq!(refusal.kind(), RefusalKind::Unprocessable, "{hints}");
        let text = refusal.to_string();
        assert!(
            text.contains(&format!("the hint {name} is not known")),
            "{text}"
        );
        assert!(
            text.contains("leave it out") && !text.contains("value"),
            "{text}"
        );
    }
}

#[test]
fn hint_with_another_value_is_refused_with_what_it_takes() {
    for (hint, expected) in [
        ("most_recent=1", "hint most_recent has to be true or false"),
        ("extrapolate=1", "hint extrapolate has to be true or false"),
        ("sample=1h", "hint sample has to be a number, true or false"),
        (
            "exemplars=`1`",
            "hint exemplars has to be a number, true or false",
        ),
    ] {
        let refusal = outline(&format!("{{}} with({hint})")).unwrap_err();
        assert_eq!(refusal.kind(), RefusalKind::Unprocessable, "{hint}");
        let text = refusal.to_string();
        assert!(text.ends_with(expected), "{text}");
    }
}

#[test]
fn refusal_of_a_whole_trace_intrinsic_says_what_to_write() {
    for (name, instead) in [
        ("rootName", "by(name)`"),
        ("trace:rootName", "by(name)`"),
        ("rootServiceName", "by(resource.service.name)`"),
        ("trace:rootService", "by(resource.service.name)`"),
        ("traceDuration", "write `duration`,"),
        ("trace:duration", "write `duration`,"),
        ("span:childCount", "by(span:parentID)"),
    ] {
        let query = format!("{{ }} | rate() by ({name})");
        let refusal = parse(&query, TraceIntrinsics::Refuse).unwrap_err();
        assert!(refusal.to_string().contains(instead), "{refusal}");
    }
    // What is proposed is allowed.
    for query in [
        "({ nestedSetParent < 0 && name = `a` } && { .a = 1 }) | { .a = 1 }",
        "({ nestedSetParent < 0 && resource.service.name =~ `a` } && {}) | { .a = 1 } | rate()",
        "{ nestedSetParent < 0 } | by(name)",
        "{ nestedSetParent < 0 } | rate() by(name)",
        "{ nestedSetParent < 0 && duration > 1s } && {}",
        "{ .a = 1 } < {}",
        "{ .a = 1 } | by(span:parentID) | count() > 2",
    ] {
        parse(query, TraceIntrinsics::Refuse).unwrap();
    }
}

#[test]
fn trace_level_intrinsics_are_refused_everywhere() {
    for name in [
        "rootName",
        "rootServiceName",
        "traceDuration",
        "trace:rootName",
        "trace:rootService",
        "trace:duration",
        "span:childCount",
    ] {
        for query in [
            format!("{{ {name} != nil }}"),
            format!("{{ !(true && nil != {name}) }}"),
            format!("{{ }} | by({name})"),
            format!("{{ }} | select(.a, {name}) | rate()"),
            format!("{{ }} | select(.a) | by({name})"),
            format!("{{ }} | select(.a, {name}) | by({name})"),
            format!("{{ }} | rate() by ({name})"),
            format!("{{ }} | max_over_time({name})"),
            format!("{{ }} | quantile_over_time({name}, 1)"),
            format!("{{ }} | compare({{ {name} != nil }})"),
            format!("({{ }} | rate()) / ({{ {name} != nil }} | rate())"),
        ] {
            let refusal = parse(&query, TraceIntrinsics::Refuse).unwrap_err();
            assert_eq!(refusal.kind(), RefusalKind::Denied, "{query}");
            assert!(refusal.to_string().contains(name), "{query}: {refusal}");
            accepted(&[&query]);
        }
    }
    let counted = "{ } | select(.a, span:childCount)";
    parse(counted, TraceIntrinsics::Refuse).unwrap_err();
    let harmless = "{ .rootName && span.traceDuration > 1 && trace:id = `1` }";
    parse(harmless, TraceIntrinsics::Refuse).unwrap();
}

/// Tempo does not show it: results have fields for it.
#[test]
fn trace_level_intrinsic_is_allowed_in_the_select_of_a_search() {
    for name in [
        "rootName",
        "rootServiceName",
        "traceDuration",
        "trace:rootName",
        "trace:rootService",
        "trace:duration",
    ] {
        for query in [
            format!("{{ }} | select({name})"),
            format!("{{ }} | select(.a, {name}, status) | count() > 1"),
            format!("({{ }} | select({name})) && ({{ .a }} | by(.b))"),
        ] {
            parse(&query, TraceIntrinsics::Refuse).unwrap();
        }
    }
}

#[test]
fn refusal_gives_the_position() {
    for (query, message) in [
        (
            "{ .a < 3",
            "parse error at line 1, col 9: unexpected end of query, expecting an operator or }",
        ),
        (
            "{ attribute = 4 }",
            "parse error at line 1, col 3: unexpected attribute, expecting an attribute (with its dot) or a value",
        ),
        (
            "{ .é &&\n  }",
            "parse error at line 2, col 3: unexpected }, expecting a field expression",
        ),
        (
            "{ .a = 1 &&\n\t-true }",
            "line 2, col 2: illegal operation for the given type",
        ),
        (
            "{ 1 }",
            "line 1, col 1: span filter field expressions must resolve to a boolean",
        ),
        (
            "{} | max(name) > 1",
            "line 1, col 6: aggregate field expressions must resolve to a number type",
        ),
    ] {
        assert_eq!(outline(query).unwrap_err().to_string(), message);
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let check = || {
        for (open, middle, close) in [
            ("(", "{}", ")"),
            ("{ (", " .a ", ") }"),
            ("{ !", "true", " }"),
            ("{ !nil=", "true", " }"),
            ("(", "{} | rate()", ")"),
            ("{ 2^", "2", "=1 }"),
        ] {
            let (brace, open) = open.split_at(open.len() - open.trim_start_matches("{ ").len());
            let (close, brace_close) =
                close.split_at(close.len() - close.trim_start_matches(')').len());
            let depth = 50_000;
            let query = format!(
                "{brace}{}{middle}{}{brace_close}",
                open.repeat(depth),
                close.repeat(depth)
            );
            parse(&query, TraceIntrinsics::Trust).unwrap();
        }
    };
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(check)
        .unwrap()
        .join()
        .unwrap();
}

/// A larger one does not fit Tempo's `time.Duration`.
#[test]
fn duration_of_more_than_an_i64_of_nanoseconds_is_refused() {
    for (largest, unit) in [
        (292_u64, "y"),
        (15_250, "w"),
        (106_751, "d"),
        (2_562_047, "h"),
        (153_722_867, "m"),
        (9_223_372_036, "s"),
        (9_223_372_036_854, "ms"),
    ] {
        accepted(&[&format!("{{ duration > {largest}{unit} }}")]);
        refused(&[&format!("{{ duration > {}{unit} }}", largest + 1)]);
    }
    // Units that only Go's durations have, or in another order.
    accepted(&["{ duration > 7ns153722867m && duration > 7ns2562047h }"]);
    refused(&["{ duration > 7ns153722868m }", "{ duration > 7ns2562048h }"]);
}

#[test]
fn scalars_are_computed_as_go_computes_them() {
    accepted(&[
        "({} | rate()) * (1 / (3 - 2))",
        "({} | rate()) * (1 / (0 + 1))",
        "({} | rate()) * (1 / (1 * 2))",
        "({} | rate()) * (1 / (2 / 2))",
    ]);
    refused(&[
        "({} | rate()) * (1 / (2 - 2))",
        "({} | rate()) * (1 / (2 - 1 - 1))",
        "({} | rate()) * (1 / (0 * 2))",
        "({} | rate()) * (1 / (1 / 2))",
    ]);
}

#[test]
fn other_words_and_operators_are_no_stages_and_no_parts_of_filters() {
    refused(&[
        "{} | name(.a)",
        "{} | duration(.a)",
        "{} | status(.a) by(.b)",
        "{} | parent(.a)",
        "{ .a | .b }",
        "{ .a >> .b }",
        "{ .a ! .b }",
        "{ resource:name = 1 }",
        "{ parent:id = `a` }",
        "{ true | true }",
        "{} | by(.a | .b)",
    ]);
}

#[test]
fn quoted_parts_of_names_are_unescaped() {
    for (written, name) in [
        (r#""a\"b\\c""#, r#"a"b\c"#),
        (r#"a."b c".d"#, "a.b c.d"),
        (r"a\b", r"a\b"),
        (r#""a"\b"#, r"a\b"),
    ] {
        assert_eq!(unquoted_name(written), name, "{written}");
    }
}
