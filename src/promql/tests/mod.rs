//! Where matchers are inserted, which queries are refused, and what refusals say.

mod corpus;
mod properties;
mod shared;
mod table;

use super::*;
use crate::tenancy::{Tenant, TenantSet};
use crate::testing::selected;

const MAX_SELECTORS: usize = 1000;

pub(super) fn label_matcher(label: &str, tenants: &[&str]) -> LabelMatcher {
    let tenants = tenants.iter().map(|tenant| Tenant::new(tenant).unwrap());
    LabelMatcher::new(label.into(), TenantSet::new(tenants).unwrap())
}

/// `tenant_id="acme"`
pub(super) fn acme() -> Matchers {
    Matchers::new(label_matcher("tenant_id", &["acme"]), [])
}

pub(super) fn acme_and_globex() -> Matchers {
    Matchers::new(label_matcher("tenant_id", &["acme", "globex"]), [])
}

fn confined(query: &str) -> Result<Confined, Refusal> {
    confined_with(query, &acme(), &none())
}

pub(super) fn confined_with(
    query: &str,
    matchers: &Matchers,
    agreements: &Agreements,
) -> Result<Confined, Refusal> {
    let foreign = ForeignMatchers::Intersect;
    confine(query, matchers, foreign, MAX_SELECTORS, agreements)
}

/// Nothing that was agreed on before.
pub(super) fn none() -> Agreements {
    Agreements::new(0)
}

fn refusal(query: &str) -> Refusal {
    match confined(query) {
        Ok(confined) => panic!("{query:?} became {:?}", confined.text()),
        Err(refusal) => refusal,
    }
}

/// Queries and their error texts.
const MALFORMED: &[(&str, &str)] = &[
    ("", "1:1: parse error: unexpected end of input"),
    (
        " # only a comment",
        "1:18: parse error: unexpected end of input",
    ),
    ("up +", "1:5: parse error: unexpected end of input"),
    ("sum(up", "1:7: parse error: unclosed left parenthesis"),
    ("sum(up))", "1:8: parse error: unexpected right parenthesis"),
    ("()", "1:2: parse error: unexpected right parenthesis"),
    ("sum(up,)", "1:8: parse error: unexpected right parenthesis"),
    ("up,up", "1:3: parse error: unexpected character ','"),
    (
        "up up",
        "1:4: parse error: unexpected word where an operator is expected",
    ),
    ("1 2", "1:3: parse error: unexpected character '2'"),
    (
        "5:up",
        "1:2: parse error: unexpected word where an operator is expected",
    ),
    (
        "\n\n up \"x\"",
        "3:5: parse error: unexpected character '\"'",
    ),
    ("up = 1", "1:4: parse error: unexpected character '='"),
    ("up =~ 1", "1:4: parse error: unexpected character '='"),
    ("up ! up", "1:4: parse error: unexpected character '!'"),
    ("up & up", "1:4: parse error: unexpected character '&'"),
    (
        "{é=\"x\"}",
        "1:2: parse error: expected label matchers separated by commas, or \"}\"",
    ),
    ("é", "1:1: parse error: unexpected character 'é'"),
    ("up\u{c}", "1:3: parse error: unexpected character '\\u{c}'"),
    (
        "up{",
        "1:4: parse error: expected label matchers separated by commas, or \"}\"",
    ),
    (
        "up{a}",
        "1:5: parse error: expected label matchers separated by commas, or \"}\"",
    ),
    (
        "up{,}",
        "1:4: parse error: expected label matchers separated by commas, or \"}\"",
    ),
    (
        "up{a=\"b\",,}",
        "1:10: parse error: expected label matchers separated by commas, or \"}\"",
    ),
    (
        "up{a=\"b\" c=\"d\"}",
        "1:10: parse error: expected label matchers separated by commas, or \"}\"",
    ),
    (
        "up{a=b}",
        "1:6: parse error: expected label matchers separated by commas, or \"}\"",
    ),
    (
        "up{a==\"b\"}",
        "1:6: parse error: expected label matchers separated by commas, or \"}\"",
    ),
    (
        "up{a:b=\"c\"}",
        "1:5: parse error: expected label matchers separated by commas, or \"}\"",
    ),
    (
        "up{{}}",
        "1:4: parse error: expected label matchers separated by commas, or \"}\"",
    ),
    ("up{}{}", "1:5: parse error: unexpected character '{'"),
    ("(up){}", "1:5: parse error: unexpected character '{'"),
    ("\"up\"{}", "1:5: parse error: unexpected character '{'"),
    ("inf{}", "1:4: parse error: unexpected character '{'"),
    ("nan(up)", "1:4: parse error: unexpected character '('"),
    ("up}", "1:3: parse error: unexpected character '}'"),
    ("up(1)(2)", "1:6: parse error: unexpected character '('"),
    ("up[5m", "1:6: parse error: expected a duration, or \"]\""),
    (
        "up[5m{}]",
        "1:6: parse error: expected a duration, or \"]\"",
    ),
    ("up[foo]", "1:4: parse error: expected a duration, or \"]\""),
    ("up[5m][", "1:8: parse error: expected a duration, or \"]\""),
    (
        "up[\"5m\"]",
        "1:4: parse error: expected a duration, or \"]\"",
    ),
    ("up[(5m]", "1:7: parse error: expected a duration, or \"]\""),
    ("up[5m)]", "1:6: parse error: expected a duration, or \"]\""),
    ("[5m]", "1:1: parse error: unexpected character '['"),
    (
        "sum by up",
        "1:8: parse error: expected a parenthesised list of labels",
    ),
    (
        "sum by (a{}) (up)",
        "1:10: parse error: expected a parenthesised list of labels",
    ),
    (
        "sum by (a b) (up)",
        "1:11: parse error: expected a parenthesised list of labels",
    ),
    (
        "sum by (a, 1) (up)",
        "1:12: parse error: expected a parenthesised list of labels",
    ),
    (
        "sum by (,) (up)",
        "1:9: parse error: expected a parenthesised list of labels",
    ),
    (
        "sum(up) by (up[5m])",
        "1:15: parse error: expected a parenthesised list of labels",
    ),
    (
        "up + on (sum(up)) up",
        "1:13: parse error: expected a parenthesised list of labels",
    ),
    (
        "up + on (a) group_left (b + c)",
        "1:27: parse error: expected a parenthesised list of labels",
    ),
    (
        "up + fill(up) up",
        "1:13: parse error: expected a number in parentheses",
    ),
    (
        "up + fill(1 + up) up",
        "1:13: parse error: expected a number in parentheses",
    ),
    ("up + \"x", "1:6: parse error: unterminated string"),
    ("\"x\ny\"", "1:1: parse error: unterminated string"),
    ("'x\\'", "1:1: parse error: unterminated string"),
    ("\"x\\", "1:1: parse error: unterminated string"),
    ("up{a=`\\`, b=`}", "1:13: parse error: unterminated string"),
    ("up\0", "1:3: parse error: NUL and U+FFFD are not accepted"),
    (
        "up{a=\"\u{fffd}\"}",
        "1:7: parse error: NUL and U+FFFD are not accepted",
    ),
    // Other dialects: `or` between matchers, and possible extensions of it.
    (
        "up{a=\"b\" or c=\"d\"}",
        "1:10: parse error: expected label matchers separated by commas, or \"}\"",
    ),
    (
        "{or c=\"d\"}",
        "1:5: parse error: expected label matchers separated by commas, or \"}\"",
    ),
    (
        "WITH (x = up) x",
        "1:9: parse error: unexpected character '='",
    ),
    (
        "up if up",
        "1:4: parse error: unexpected word where an operator is expected",
    ),
    (
        "up keep_metric_names",
        "1:4: parse error: unexpected word where an operator is expected",
    ),
];

#[test]
fn malformed_query_is_refused_with_its_position() {
    for (query, text) in MALFORMED {
        let refusal = refusal(query);
        assert_eq!(refusal.to_string(), *text, "{query:?}");
        assert_eq!(
            (refusal.reason().label(), refusal.kind()),
            ("malformed", RefusalKind::Malformed)
        );
    }
}

#[test]
fn selector_that_the_empty_value_fulfils_is_refused() {
    for (query, at) in [
        ("{}", "1:1"),
        ("{a=\"\"}", "1:1"),
        ("{a=~\".*\",b!=\"x\",c!~\"x|y\"}", "1:1"),
        ("{__name__=~\".*\"}", "1:1"),
        ("{\"\"}", "1:1"),
        ("{'tenant_id'=~`a?`}", "1:1"),
        ("up +\n {}", "2:2"),
        ("sum(rate({a=\"\"}[5m]))", "1:10"),
        ("topk(scalar({}), up)", "1:13"),
        ("absent({a=~\"(b|)\"} offset 5m) or {}", "1:8"),
        ("info({}, {a=\"b\"})", "1:6"),
    ] {
        let refusal = refusal(query);
        assert_eq!(
            refusal.to_string(),
            format!(
                "{at}: parse error: vector selector must contain at least one non-empty matcher"
            ),
            "{query}"
        );
        assert_eq!(
            (refusal.reason().label(), refusal.kind()),
            ("malformed", RefusalKind::Malformed)
        );
        assert!(
            !check_selector(query).is_err_and(|refusal| refusal.to_string().contains("non-empty")),
            "{query}"
        );
    }
    // Syntax errors come first.
    assert_eq!(
        refusal("{} + (").to_string(),
        "1:7: parse error: unexpected end of input"
    );
    for query in [
        "up{}",
        "up{a=\"\"}",
        "{\"up\"}",
        "{a=\"\",b=\"c\"}",
        "{a=~\".*\",a=~\".+\"}",
        "{a!=\"\"}",
        "{tenant_id=\"other\"}",
        "{tenant_id!=\"\"}",
        // The store is the judge of what may be no pattern.
        "{a=~\"(\"}",
        "{a=~\"b{,5}\"}",
    ] {
        assert!(confined(query).is_ok(), "{query}");
    }
}

#[test]
fn selector_remembers_that_the_empty_value_fulfils_it() {
    for (selector, was_unselective) in [
        ("{}", true),
        ("{a=~\".*\"}", true),
        ("{a=\"b\"}", false),
        ("up{}", false),
        ("up", false),
    ] {
        let foreign = ForeignMatchers::Intersect;
        let confined = confine_selector(selector, &acme(), foreign, 1, &none()).unwrap();
        assert_eq!(confined.was_unselective(), was_unselective, "{selector}");
    }
}

#[test]
fn matchers_inside_absent_are_regular_expressions_for_each_tenant_label() {
    let matchers = Matchers::new(
        label_matcher("tenant_id", &["a.b"]),
        [
            label_matcher("env", &["prod", "test"]),
            label_matcher("zone", &["z"]),
        ],
    );
    let confined = confined_with("absent(up) + up", &matchers, &none()).unwrap();
    assert_eq!(
        confined.text(),
        r#"absent(up{tenant_id=~"a\\.b",env=~"prod|test",zone=~"z"}) + up{tenant_id="a.b",env=~"prod|test",zone="z"}"#
    );
}

#[test]
fn info_is_refused_unless_its_answer_is_that_of_a_private_store() {
    for query in [
        "info(up)",
        "INFO(up)",
        "info (up)",
        "info # comment\n (up)",
        "sum(info(up))",
        "info()",
        "info((up))",
        // Our matcher would change which labels are copied, or which series are dropped.
        "info(up, {})",
        "info(up, {__name__=\"target_info\"})",
        "info(up, {\"target_info\"})",
        "info(up, {\"__name__\"=~\".+_info\"})",
        "info(up, {version=~\".*\"})",
        "info(up, {version=~\"1?\"})",
        "info(up, {version!~\"1.*\"})",
        "info(up, {version=~\"(\"})",
        "info(up, {version!=\"1\"})",
        "info(up, {version=\"\"})",
        // Not a plain selector.
        "info(up, target_info)",
        "info(up, target_info{version=~\".+\"})",
        "info(up, ({version=~\".+\"}))",
        "info(up, {version=~\".+\"} offset 5m)",
        "info(up, {version=~\".+\"} == 1)",
        "info(up, {version=~\".+\"}, up)",
        "info(up, sum(up))",
        "info(info(up), {version=~\".+\"})",
        "info(info(up, {version=~\".+\"}))",
        // The first argument may have lost the tenant label.
        "info(sum by (job, instance) (up), {version=~\".+\"})",
        "info(up * on (job, instance) up, {version=~\".+\"})",
    ] {
        let refusal = refusal(query);
        assert_eq!(
            refusal.reason().label(),
            "unconfined_info",
            "{query}: {refusal}"
        );
        assert_eq!(refusal.kind(), RefusalKind::Unprocessable);
    }
    assert_eq!(
        refusal("1 + info(up)").to_string(),
        "1:5: info() selects series of its own and is confined only in this form: a second \
         argument with a matcher, other than of __name__, that rules out the empty value, as in \
         info(v, {cluster=~\".+\"})"
    );
}

#[test]
fn selectors_are_bounded() {
    let kind = |query| {
        confine(query, &acme(), ForeignMatchers::Intersect, 2, &none())
            .map_err(|refusal| (refusal.reason().label(), refusal.kind()))
    };
    assert!(kind("up + up ").is_ok());
    assert_eq!(
        kind("a+b+c{}"),
        Err(("too_many_selectors", RefusalKind::Unprocessable))
    );
}

#[test]
fn confined_query_length_is_bounded() {
    let tenants: Vec<String> = (0..250).map(|i| format!("{i:0>250}")).collect();
    let tenants: Vec<&str> = tenants.iter().map(String::as_str).collect();
    let matchers = Matchers::new(label_matcher("tenant_id", &tenants), []);
    let kind = |selectors: usize| {
        let query = vec!["up"; selectors].join("+");
        confined_with(&query, &matchers, &none())
            .map_err(|refusal| (refusal.reason().label(), refusal.kind()))
    };
    assert!(kind(60).is_ok());
    assert_eq!(
        kind(70),
        Err(("confined_too_long", RefusalKind::Unprocessable))
    );
}

#[test]
fn match_parameter_must_be_exactly_one_selector() {
    let confined = |selector| {
        check_selector(selector)?;
        let foreign = ForeignMatchers::Intersect;
        confine_selector(selector, &acme(), foreign, MAX_SELECTORS, &none())
    };
    for (selector, text) in [
        ("up", r#"up{tenant_id="acme"}"#),
        (" up # c", r#" up{tenant_id="acme"} # c"#),
        ("sum", r#"sum{tenant_id="acme"}"#),
        ("a:b", r#"a:b{tenant_id="acme"}"#),
        ("{}", r#"{tenant_id="acme",}"#),
        ("up {a=\"b\"} ", r#"up {tenant_id="acme",a="b"} "#),
        ("{\"up\"}", r#"{tenant_id="acme","up"}"#),
    ] {
        assert_eq!(confined(selector).unwrap().text(), text);
    }
    for selector in [
        "",
        " ",
        "#",
        "up up",
        "up,up",
        "{} {}",
        "{}{}",
        "up offset 5m",
        "up[5m]",
        "up @ 1",
        "(up)",
        "-up",
        "up or up",
        "sum(up)",
        "up{} or up{}",
        "1",
        "5m",
        "inf",
        "NaN{}",
        "\"up\"",
        "up{}#\n,",
        "info(up)",
        "up{a=\"b\" or c=\"d\"}",
        "up}",
        "{",
        "up\0",
    ] {
        let refusal = confined(selector).unwrap_err();
        assert_eq!(refusal.kind(), RefusalKind::Malformed, "{selector:?}");
    }
    assert_eq!(
        confined("up offset 5m").unwrap_err().to_string(),
        "1:1: parse error: expected one metric selector and nothing else"
    );
}

/// As prom-label-proxy's `-error-on-replace`: what Grafana makes of a variable with several values passes.
#[test]
fn matchers_that_leave_no_own_tenant_are_refused_where_the_config_says_so() {
    let confine = |query| {
        confine(
            query,
            &acme(),
            ForeignMatchers::RejectDisjoint,
            MAX_SELECTORS,
            &none(),
        )
    };
    for query in [
        r#"up{tenant_id="other"}"#,
        r#"up{tenant_id=""}"#,
        r#"up{tenant_id!="acme"}"#,
        r#"up{tenant_id!~"acme|other"}"#,
        r#"up or {"tenant_id"=~"one|other"}"#,
    ] {
        let refusal = confine(query).unwrap_err();
        assert_eq!(
            (refusal.reason().label(), refusal.kind()),
            ("foreign_tenant", RefusalKind::Denied),
            "{query}"
        );
        assert!(!refusal.to_string().contains("other"), "{query}: {refusal}");
    }
    for query in [
        r#"up{tenant_id=~"acme|other"}"#,
        r#"up{tenant_id!="other"}"#,
        r#"up{tenant_id!=""}"#,
        r#"up{tenant_id=~".*"}"#,
        r#"up{tenant="other"}"#,
    ] {
        let kept = confine(query).unwrap();
        assert_eq!(kept.text(), confined(query).unwrap().text(), "{query}");
    }
}

#[test]
fn reject_mode_refuses_foreign_matchers() {
    let foreign = ForeignMatchers::Reject;
    let reject = |query| confine(query, &acme(), foreign, MAX_SELECTORS, &none());
    for (query, place) in [
        (r#"up{tenant_id="other"}"#, "1:4"),
        (r#"up{a="b","tenant_id"="other"}"#, "1:10"),
        (r#"up{'tenant\x5fid'=~"acme|other"}"#, "1:4"),
        ("up +\nsum({`tenant_id`=`other`})", "2:6"),
        (r#"topk(scalar(up{tenant_id="other"}), up)"#, "1:16"),
    ] {
        let refusal = reject(query).unwrap_err();
        assert_eq!(
            (refusal.reason().label(), refusal.kind()),
            ("foreign_tenant", RefusalKind::Denied)
        );
        assert!(refusal.to_string().starts_with(place), "{query}: {refusal}");
        assert!(!refusal.to_string().contains("other"));
        assert!(confined(query).is_ok(), "{query}");
    }
    for query in [
        r#"up{tenant_id="acme"}"#,
        r#"up{tenant_id=~".*"}"#,
        r#"up{tenant_id!="other"}"#,
        r#"up{tenant="other"}"#,
        r#"{"tenant_id"}"#,
        r#"label_replace(up, "tenant_id", "other", "", "")"#,
    ] {
        assert!(reject(query).is_ok(), "{query}");
    }
}

#[test]
fn several_tenants_and_labels_are_spliced_escaped() {
    let matchers = Matchers::new(
        label_matcher("tenant_id", &["a.b", "c\"}"]),
        [label_matcher("env", &["prod"])],
    );
    let confined = confined_with("up{}", &matchers, &none()).unwrap();
    assert_eq!(
        confined.text(),
        r#"up{tenant_id=~"a\\.b|c\"\\}",env="prod",}"#
    );
}

#[test]
fn confined_offsets_map_back_to_the_original() {
    let confined = confined("up + x{a=\"é\"}").unwrap();
    assert_eq!(
        confined.text(),
        r#"up{tenant_id="acme"} + x{tenant_id="acme",a="é"}"#
    );
    assert_eq!(confined.selectors(), 2);
    assert_eq!(confined.original(), "up + x{a=\"é\"}");
    assert_eq!(
        confined.insertions(),
        [Insertion { at: 2, len: 18 }, Insertion { at: 7, len: 17 }]
    );
    for (spliced, original) in [
        (0, 0),
        (1, 1),
        (2, 2),
        (19, 2),
        (20, 2),
        (21, 3),
        (23, 5),
        (24, 6),
        (25, 7),
        (41, 7),
        (42, 7),
        (43, 8),
        (confined.text().len(), 14),
        (usize::MAX, 14),
    ] {
        assert_eq!(confined.original_offset(spliced), original, "{spliced}");
    }
}

#[test]
fn selectors_of_the_operator_are_inserted_as_regular_expressions() {
    let label = || "ns".into();
    let matchers = Matchers::new(
        LabelMatcher::new(label(), selected("=~", r"a\.b-.*", &["x.y"])),
        [label_matcher("env", &["prod"])],
    );
    let confined = confined_with("absent(up{}) + up", &matchers, &none()).unwrap();
    assert_eq!(
        confined.text(),
        r#"absent(up{ns=~"x\\.y|(?s:a\\.b-.*)",env=~"prod",}) + up{ns=~"x\\.y|(?s:a\\.b-.*)",env="prod"}"#
    );
    // A negative matcher makes no label of an `absent` either.
    for (op, value, inserted) in [
        ("!=", "a.b", r#"ns!~"a\\.b|""#),
        ("!~", "a.b|\"", r#"ns!~"(?s:a.b|\")|""#),
    ] {
        let matchers = Matchers::new(LabelMatcher::new(label(), selected(op, value, &[])), []);
        let confined = confined_with(
            "absent(up{}) + topk(scalar(x), up[5m:1m])",
            &matchers,
            &none(),
        );
        assert_eq!(
            confined.unwrap().text(),
            format!(
                "absent(up{{{inserted},}}) + topk(scalar(x{{{inserted}}}), up{{{inserted}}}[5m:1m])"
            )
        );
    }
}

#[test]
fn verification_knows_the_operator_of_a_negative_selector() {
    let matchers = |op| Matchers::new(LabelMatcher::new("ns".into(), selected(op, "a.+", &[])), []);
    for (query, of) in [
        (r#"up{ns="(?s:a.+)"}"#, "=~"),
        (r#"up{ns!="(?s:a.+)|"}"#, "!~"),
    ] {
        for op in ["=~", "!~"] {
            let verdict = verify::verdict_of_tree(query, 1, &matchers(op));
            assert_eq!(
                verdict == agreements::Verdict::Agrees,
                op == of,
                "{query} {op}"
            );
        }
    }
}

#[test]
fn foreign_matchers_are_told_by_the_selector() {
    use ForeignMatchers::{Reject, RejectDisjoint};
    let of = |op, value| LabelMatcher::new("tenant_id".into(), selected(op, value, &["x"]));
    let confine = |query: &str, own: LabelMatcher, foreign| {
        confine(query, &Matchers::new(own, []), foreign, 10, &none()).is_ok()
    };
    for (query, reject, disjoint) in [
        (r#"up{tenant_id="team-a-1"}"#, true, true),
        (r#"up{tenant_id="x"}"#, true, true),
        (r#"up{tenant_id="team-b-1"}"#, false, false),
        (r#"up{tenant_id=~"team-a-1|team-b-1"}"#, false, true),
        (r#"up{tenant_id=~"team-b-1|team-c-1"}"#, false, false),
        // Which values these leave cannot be listed.
        (r#"up{tenant_id=~"team-b-.*"}"#, true, true),
        (r#"up{tenant_id!="team-a-1"}"#, true, true),
        (r#"up{tenant_id!~".+"}"#, true, false),
    ] {
        let own = || of("=~", "team-a-.*");
        assert_eq!(confine(query, own(), Reject), reject, "{query}");
        assert_eq!(confine(query, own(), RejectDisjoint), disjoint, "{query}");
    }
}
