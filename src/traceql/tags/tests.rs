use proptest::prelude::*;

use super::*;
use crate::tenancy::{Tenant, TenantSet};

fn filter_for(tenants: &[&str], query: &str) -> String {
    let tenants = TenantSet::new(tenants.iter().map(|t| Tenant::new(t).unwrap()));
    let tenants = tenants.unwrap().into();
    tag_filter(query, &TenantPredicate::new([("t", &tenants)]).unwrap())
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
            r#"name = "HTTP GET" && kind = server"#,
        ),
        (
            "{ duration > 1.5s && status = error }",
            "duration > 1.5s && status = error",
        ),
        (
            "{ span:name = \"a\" && event.b >= 2.5 }",
            "span:name = \"a\" && event.b >= 2.5",
        ),
        // Only the usable conditions stay.
        ("{ .u = 1 && span.x = true }", "span.x = true"),
        ("{ span.x = 1 && (span.y = 2 || span.z = 3) }", "span.x = 1"),
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
        "{ span.x = 1 && span.y = 2 || span.z = 3 }",
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
        let tenants = TenantSet::new(tenants.iter().map(|t| Tenant::new(t).unwrap())).unwrap();
        let tenants = tenants.into();
        let filter = root_filter(&TenantPredicate::new([("t", &tenants)]).unwrap());
        assert_eq!(filter, written);
        parse(&filter, TraceIntrinsics::Refuse).unwrap();
        let found: Vec<_> = found.find_iter(&filter).map(|one| one.as_str()).collect();
        assert!(
            matches!(found[..], [one] if one.starts_with("resource.t =")),
            "{found:?}"
        );
    }
}

proptest! {
    /// Tempo before 3.0 ignores the query if it has a `|`, `{` or `}` anywhere inside, and all
    /// versions do if it does not parse.
    #[test]
    fn filter_is_always_one_plain_conjunction(
        query in any::<String>(),
        inside in "(( ?&& ?)?(span\\.x|resource\\.y|name|\\.z) ?(=|!=|>|=~) ?(\"[^\"]{0,5}\"|[0-9]{1,3}|true|ok|1s)){0,5}",
    ) {
        for query in [query, format!("{{ {inside} }}")] {
            let filter = filter_for(&["a", "b{c"], &query);
            prop_assert!(parse(&filter, TraceIntrinsics::Refuse).is_ok());
            let rest = filter.strip_prefix(r#"{ resource.t =~ "^(?:a\x7cb\\\x7bc)$""#).unwrap();
            let rest = rest.strip_suffix(" }").unwrap();
            prop_assert!(rest.is_empty() || rest.starts_with(" && "), "{}", filter);
            prop_assert!(!rest.contains(['|', '{', '}', '`']), "{}", filter);
        }
    }
}
