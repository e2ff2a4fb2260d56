use proptest::prelude::*;

use super::*;
use crate::tenancy::{Tenant, TenantSet};
use crate::testing::resources;

fn scope_of(tenants: &[&str]) -> TagScope {
    let tenants = TenantSet::new(tenants.iter().map(|t| Tenant::new(t).unwrap()));
    let own = Attribute::text("t".into(), tenants.unwrap().into());
    TagScope::of(&Resources::all_of(own, [])).unwrap()
}

fn queries(filters: Vec<TagFilter>) -> Vec<String> {
    filters.into_iter().map(|filter| filter.query).collect()
}

fn filters_for(tenants: &[&str], query: &str) -> Vec<String> {
    queries(scope_of(tenants).filters(query, 1).unwrap())
}

fn filter_for(tenants: &[&str], query: &str) -> String {
    let mut filters = filters_for(tenants, query);
    assert_eq!(filters.len(), 1, "{query}: {filters:?}");
    filters.remove(0)
}

const ALONE: &str = r#"{ resource.t = "a" }"#;

#[test]
fn simple_conditions_narrow_the_tenants_filter() {
    for (query, kept) in [
        (r#"{ span.x = "y" }"#, r#"span.x = "y""#),
        (
            r#"{span.x="y"&&resource.z!=5}"#,
            r#"span.x = "y" && resource.z != 5"#,
        ),
        (
            r#"{ name = "HTTP GET" && kind=server }"#,
            r#"name = "HTTP\x20GET" && kind = server"#,
        ),
        // Tempo 2.10 would find the string before it up to the quote.
        (
            "{ name = \"x\u{200b}y\" && kind = server }",
            r#"name = "x\u200by" && kind = server"#,
        ),
        (
            "{ duration > 1.5s && status = error }",
            "duration > 1.5s && status = error",
        ),
        (
            "{ span:name = \"a\" && resource.b >= 2.5 }",
            "span:name = \"a\" && resource.b >= 2.5",
        ),
        // Only the usable conditions stay.
        ("{ .u = 1 && span.x = true }", "span.x = true"),
        (
            "{ span.x = 1 && !(span.y = 2 || span.z = 3) }",
            "span.x = 1",
        ),
        (
            "{ (span.x = 1 && ((span.y = 2))) }",
            "span.x = 1 && span.y = 2",
        ),
        ("{ span.x = 1 && ((span.y + 1) = 2)", "span.x = 1"),
        ("{ (span.x = 1) && (span.y", "span.x = 1"),
        ("{ span.x = 1 && span.y = }", "span.x = 1"),
        ("{ span.x = 1 && ", "span.x = 1"),
        ("{ span.x = 1", "span.x = 1"),
        ("{ span.x = 1 && span.y = \"open", "span.x = 1"),
        ("{ span.x = 1 } | rate()", "span.x = 1"),
    ] {
        assert_eq!(
            filter_for(&["a"], query),
            format!("{{ resource.t = \"a\" && {kept} }}")
        );
    }
}

#[test]
fn unusable_conditions_are_dropped() {
    for query in [
        "",
        "garbage",
        "{}",
        "{ }",
        "{ true }",
        "{ span.x = 1 || true }",
        "{ span.x = 1 || span.y = }",
        "{ span.x = 1 || ",
        "{ (span.x = 1 || .y = 2) && !(span.z = 3) }",
        "{ span.x = 1 } && { span.y = 2 }",
        "{ span.x = 1 } >> {}",
        "by(span.x)",
        "({ span.x = 1 })",
        "{ .x = 1 }",
        "{ span.x }",
        "{ !(span.x = 1) }",
        "{ -span.x = 1 }",
        "{ 1 = span.x }",
        "{ span.x = -1 }",
        "{ span.x = span.y }",
        "{ span.x = nil }",
        "{ span.x + 1 = 2 }",
        "{ parent.x = 1 }",
        "{ parent = 1 }",
        "{ span.x > true }",
        "{ name = 1 }",
        "{ status > ok }",
        "{ span.x =~ \"[\" }",
        "{ span.x =~ \"a\" }",
        "{ span.\"x y\" = 1 }",
        "{ span.a-b = 1 }",
        "{ span.x = \"a|b\" }",
        "{ span.x = \"} || { true\" }",
        "{ span.x = \"b = true\" }",
        "{ span.x = `a` }",
        "{ span.x = \"a\\\"b\" }",
        "{ span.x = \"\" }",
        "{ rootName = \"a\" }",
        "{ trace:rootService = \"a\" }",
        "{ traceDuration > 1s }",
        "{ nestedSetParent < 0 }",
        "{ event:name = \"a\" }",
        "{ trace:id = \"a\" }",
        // Tempo 2.5 cannot read these scopes.
        "{ event.x = 1 }",
        "{ link.x = 1 }",
        "{ instrumentation.x = 1 }",
        // Tempo before 3.0 cannot read what it takes of these: 5m30, 1ms5, 08, too many digits.
        "{ duration > 5m30.5s }",
        "{ duration > 1ms5us }",
        "{ span.x = 08.5 }",
        "{ span.x = 99999999999999999999.5 }",
        // A condition on the tenant attribute adds nothing.
        "{ resource.t = \"b\" }",
        "{ resource.\"t\" = \"b\" }",
        "{ span.x = 1 } /*",
        "// {\n",
    ] {
        assert_eq!(filter_for(&["a"], query), ALONE, "{query}");
    }
}

#[test]
fn several_tenants_are_written_without_alternatives() {
    assert_eq!(
        filter_for(&["a", "b"], "{ span.x = 1 }"),
        r#"{ resource.t =~ "^(?:a\x7cb)$" && span.x = 1 }"#
    );
}

/// Tempo before 3.0 finds conditions by their operator and the start of a literal, and 2.4 answers for
/// all tenants if one of them names `nestedSetParent`.
#[test]
fn condition_on_roots_is_not_found_by_older_versions() {
    let found = regex::Regex::new(r#"[\w.]+\s*[=<>~!]+\s*["a-z0-9]"#).unwrap();
    for (tenants, written) in [
        (
            &["a"][..],
            r#"{ resource.t = "a" && nestedSetParent < (0) }"#,
        ),
        (
            &["a", "b"],
            r#"{ resource.t =~ "^(?:a\x7cb)$" && nestedSetParent < (0) }"#,
        ),
    ] {
        let filters = queries(scope_of(tenants).root_filters().unwrap());
        assert_eq!(filters, [written]);
        let filter = &filters[0];
        parse(filter, TraceIntrinsics::Refuse).unwrap();
        let found: Vec<_> = found.find_iter(filter).map(|one| one.as_str()).collect();
        assert!(
            matches!(found[..], [one] if one.starts_with("resource.t =")),
            "{found:?}"
        );
    }
}

/// What Tempo 3 makes of a query with `||`, in a store of its own.
#[test]
fn alternatives_of_the_query_are_filters_of_their_own() {
    for (query, narrowed) in [
        (
            "{ span.x = 1 || span.y = 2 }",
            &["span.x = 1", "span.y = 2"][..],
        ),
        (
            "{ span.x = 1 && (span.y = 2 || span.z = 3) }",
            &["span.x = 1 && span.y = 2", "span.x = 1 && span.z = 3"],
        ),
        // Both operators have the same precedence.
        (
            "{ span.x = 1 && span.y = 2 || span.z = 3 }",
            &["span.x = 1 && span.y = 2", "span.z = 3"],
        ),
        (
            "{ span.x = 1 || span.y = 2 && span.z = 3 }",
            &["span.x = 1 && span.z = 3", "span.y = 2 && span.z = 3"],
        ),
        (
            "{ (span.a = 1 || span.b = 2) && (span.c = 3 || name = \"d\") } | rate()",
            &[
                "span.a = 1 && span.c = 3",
                "span.a = 1 && name = \"d\"",
                "span.b = 2 && span.c = 3",
                "span.b = 2 && name = \"d\"",
            ],
        ),
        (
            "{ span.a = 1 || (span.b = 2 || (span.c = 3 || span.a = 1)) }",
            &["span.a = 1", "span.b = 2", "span.c = 3"],
        ),
        // Not what it means, but what Tempo makes of it.
        (
            "{ span.a = 1 || (span.b = 2 && (span.c = 3 || span.d = 4)) }",
            &["span.a = 1", "span.b = 2 && span.c = 3 && span.d = 4"],
        ),
        // Only the usable conditions stay.
        (
            "{ span.a = 1 && .u = 1 || span.b = 2 && span.c =~ \"x\" && resource.t = \"b\" }",
            &["span.a = 1", "span.b = 2"],
        ),
    ] {
        let expected: Vec<String> = narrowed
            .iter()
            .map(|narrowed| format!("{{ resource.t = \"a\" && {narrowed} }}"))
            .collect();
        let (mut filters, mut expected) = (filters_for(&["a"], query), expected);
        filters.sort();
        expected.sort();
        assert_eq!(filters, expected, "{query}");
    }
}

#[test]
fn query_with_too_many_alternatives_is_ignored() {
    let any = |count: usize| {
        let all: Vec<String> = (0..count).map(|n| format!("span.x = {n}")).collect();
        format!("{{ {} }}", all.join(" || "))
    };
    assert_eq!(filters_for(&["a"], &any(16)).len(), 16);
    assert_eq!(filters_for(&["a"], &any(17)), [ALONE]);
    let deep = |depth: usize| format!("{{ {}span.x = 1", "(".repeat(depth));
    assert_ne!(filters_for(&["a"], &deep(30)), [ALONE]);
    for long in [
        deep(300),
        any(5000),
        format!("{{ {} }}", "(span.x = 1 || span.y = 1) && ".repeat(40)),
        format!("{{ {} }}", "span.x = 1 && true || ".repeat(40)),
    ] {
        assert_eq!(filters_for(&["a"], &long), [ALONE]);
    }
}

const UNION: &str = "traces: {any: [[{attribute: resource.env, match: '=', value: prod}, \
                     {attribute: resource.team, match: '=~', value: 'front.*'}], \
                     [{attribute: resource.team, match: '=', value: checkout}], \
                     [{attribute: resource.n, match: '=', value: 5}, \
                     {attribute: resource.b, match: '=', value: true}]]}";

#[test]
fn alternatives_of_the_caller_are_requests_of_their_own() {
    let scope = TagScope::of(&resources(UNION, &["t"])).unwrap();
    let first = r#"resource.env = "prod" && resource.team =~ "^(?:(?s:front.*))$""#;
    let expected = [
        format!("{{ {first} }}"),
        r#"{ resource.team = "checkout" }"#.to_owned(),
        "{ resource.b = true && resource.n = 5 }".to_owned(),
        "{ resource.b = true && resource.n = 5.0 }".to_owned(),
    ];
    let mut filters = scope.filters("", 1).unwrap();
    filters.sort_by_key(|filter| expected.iter().position(|query| *query == filter.query));
    let of_team = |filter: &TagFilter| filter.values_of(|name| name == "team").is_some();
    let of_team: Vec<bool> = filters.iter().map(of_team).collect();
    assert_eq!(of_team, [true, true, false, false]);
    assert_eq!(queries(filters), expected);
    assert_eq!(scope.root_filters().unwrap().len(), 4);

    // A condition on an attribute that decides is dropped where it decides.
    let mut filters = queries(
        scope
            .filters("{ resource.env = \"dev\" || span.x = 1 }", 1)
            .unwrap(),
    );
    filters.sort();
    let mut expected = vec![
        format!("{{ {first} }}"),
        r#"{ resource.team = "checkout" && resource.env = "dev" }"#.to_owned(),
        r#"{ resource.team = "checkout" && span.x = 1 }"#.to_owned(),
    ];
    for n in ["5", "5.0"] {
        for more in ["resource.env = \"dev\"", "span.x = 1"] {
            expected.push(format!(
                "{{ resource.b = true && resource.n = {n} && {more} }}"
            ));
        }
    }
    expected.sort();
    assert_eq!(filters, expected);
}

#[test]
fn too_many_requests_drop_the_query_and_then_are_refused() {
    let texts = |count: usize| {
        let each =
            (0..count).map(|n| format!("[{{attribute: resource.a{n}, match: '=', value: x}}]"));
        format!("traces: {{any: [{}]}}", each.collect::<Vec<_>>().join(", "))
    };
    let scope = TagScope::of(&resources(&texts(16), &["t"])).unwrap();
    let four = "{ span.x = 1 || span.x = 2 || span.x = 3 || span.x = 4 }";
    assert_eq!(scope.filters(four, 1).unwrap().len(), 64);
    assert_eq!(scope.filters(four, 2).unwrap().len(), 16);
    assert_eq!(
        scope.filters("", 5).unwrap_err(),
        TagScopeError::TooManyRequests
    );
    let numbers = (0..7).map(|n| format!("{{attribute: resource.a{n}, match: '=', value: 1}}"));
    let numbers = format!("traces: [{}]", numbers.collect::<Vec<_>>().join(", "));
    assert_eq!(
        TagScope::of(&resources(&numbers, &["t"])).unwrap_err(),
        TagScopeError::TooManyRequests
    );
}

/// What Tempo before 3.0 finds conditions with: in 2.4, 2.5, from 2.6 on, and in 2.10
/// (`matchersRegexp` in `pkg/traceql/extractmatcher.go`).
const FOUND: [&str; 4] = [
    r#"[\p{L}\p{N}._]+\s*[=|<=|>=|=~|!=|>|<|!~]\s*(?:"[\p{L}\p{N}\p{P}\p{M}\p{S}]+"|true|false|[a-z]+|[0-9smh]+)"#,
    r#"[\p{L}\p{N}._\-" ]+\s*(=|<=|>=|=~|!=|>|<|!~)\s*(?:"[\p{L}\p{N}\p{P}\p{M}\p{S}]+"|true|false|[a-z]+|[0-9smh]+)"#,
    r#"[\p{L}\p{N}._\-:" ]+\s*(=|<=|>=|=~|!=|>|<|!~)\s*(?:"[\p{L}\p{N}\p{P}\p{M}\p{S}]+"|true|false|[a-z]+|[0-9smh]+)"#,
    r#"[\p{L}\p{N}._\-:" ]+\s*(=|<=|>=|=~|!=|>|<|!~)\s*(?:"[\p{L}\p{N}\p{P}\p{M}\p{S}\p{Z}]+"|true|false|[a-z]+|[0-9smh]+)"#,
];

/// The query that each of these versions makes of one, without its braces.
fn found_in(query: &str) -> [String; 4] {
    static REGEXES: std::sync::LazyLock<[regex::Regex; 4]> =
        std::sync::LazyLock::new(|| FOUND.map(|found| regex::Regex::new(found).unwrap()));
    REGEXES.each_ref().map(|found| {
        let all = found.find_iter(query).map(|one| one.as_str().trim());
        all.collect::<Vec<_>>().join(" && ")
    })
}

/// Otherwise they would answer for all tenants.
#[test]
fn conditions_of_the_caller_are_found_by_older_versions() {
    let more = "traces: {any: [[{attribute: resource.a, match: '!=', value: 'x y'}, \
                {attribute: resource.b-c, match: '!~', value: 'x|y'}], \
                [{attribute: resource.a, match: '=', value: 'x y'}, \
                {attribute: resource.n, match: '=', value: 9007199254740992}], \
                [{attribute: resource.b, match: '=', value: false}]]}";
    for selector in [UNION, more] {
        let scope = TagScope::of(&resources(selector, &["t"])).unwrap();
        for filter in scope.filters("", 1).unwrap() {
            let query = &filter.query;
            let inside = query.trim_matches(['{', '}', ' ']);
            // Of a float the whole part is found, which is the integer of the other request.
            let parts = inside.split(" && ");
            let parts: Vec<&str> = parts.map(|part| part.trim_end_matches(".0")).collect();
            let [in_2_4, later @ ..] = found_in(query);
            assert_eq!(later, [(); 3].map(|()| parts.join(" && ")), "{query}");
            let of_texts = query.contains("=~") || query.contains("!~");
            if !of_texts {
                assert_eq!(in_2_4, parts.join(" && "), "{query}");
            }
        }
    }
}

proptest! {
    /// Tempo before 3.0 ignores a query if it has a `|`, `{` or `}` anywhere inside, and all
    /// versions do if it does not parse.
    #[test]
    fn filters_are_always_plain_conjunctions(
        query in any::<String>(),
        inside in "(( ?(&&|[|][|]) ?)?[(]?(span\\.x|resource\\.y|name|\\.z) ?(=|!=|>|=~) ?(\"[^\"]{0,5}\"|[0-9]{1,3}|true|ok|1s)[)]?){0,8}",
    ) {
        for query in [query, format!("{{ {inside} }}")] {
            for filter in filters_for(&["a", "b{c"], &query) {
                prop_assert!(parse(&filter, TraceIntrinsics::Refuse).is_ok());
                let rest = filter.strip_prefix(r#"{ resource.t =~ "^(?:a\x7cb\\\x7bc)$""#).unwrap();
                let rest = rest.strip_suffix(" }").unwrap();
                prop_assert!(rest.is_empty() || rest.starts_with(" && "), "{}", filter);
                prop_assert!(!rest.contains(['|', '{', '}', '`']), "{}", filter);
            }
        }
    }

    /// From 2.5 to 2.10 Tempo answers for all tenants if what it finds does not parse.
    #[test]
    fn what_older_versions_find_of_filters_parses(
        inside in "((&& ?)?(span[.]x|resource[.]y|event[.]z|link[.]z|instrumentation[.]z|name|span:name|duration|kind) ?(=|!=|>|<=|=~) ?(\"[^\"]{0,5}\"|([0-9]{1,2}[.]?[0-9]{0,2}(s|m|h|ms|us|ns|d|)){1,3}|[0-9]{1,22}([.][0-9])?|true|server)){0,4}",
    ) {
        for filter in filters_for(&["a"], &format!("{{ {inside} }}")) {
            for (version, found) in ["2.4", "2.5", "2.6", "2.10"].iter().zip(found_in(&filter)) {
                prop_assert!(found.starts_with("resource.t = \"a\""), "{}: {} of {}", version, found, filter);
                let parsed = parse(&format!("{{{found}}}"), TraceIntrinsics::Refuse);
                prop_assert!(parsed.is_ok(), "{}: {} of {}", version, found, filter);
                for unknown in ["event", "link", "instrumentation"] {
                    prop_assert!(!found.contains(&format!("&& {unknown}.")), "{}", found);
                }
            }
        }
    }
}
