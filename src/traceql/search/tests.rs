use super::*;
use crate::tenancy::{Tenant, TenantSet};
use crate::traceql::MAX_BYTES;
use crate::traceql::RefusalKind;

fn confine(search: &TagBasedSearch, policy: TraceIntrinsics) -> Result<String, Refusal> {
    let tenants = TenantSet::new([Tenant::new("a").unwrap()]).unwrap().into();
    let predicate = TenantPredicate::new([("t", &tenants)]).unwrap();
    search.confine(&predicate, policy, MAX_BYTES)
}

fn from(tags: &str, min: &str, max: &str) -> Result<String, Refusal> {
    confine(
        &TagBasedSearch::from_parameters(tags, min, max)?,
        TraceIntrinsics::Refuse,
    )
}

#[test]
fn empty_search_finds_all_the_tenants_spans() {
    assert_eq!(from("", "", "").unwrap(), r#"{ resource.t = "a" }"#);
    assert_eq!(from(" \t", "0", "").unwrap(), r#"{ resource.t = "a" }"#);
}

#[test]
fn tags_must_be_found_somewhere_in_the_trace() {
    for (tags, query) in [
        ("x=y", r#"{ span.x = "y" || resource.x = "y" }"#),
        (
            "service.name=a.b name=\"GET /\"",
            r#"{ resource.service.name =~ ".*a\\.b.*" } && { name =~ ".*GET\x20/.*" }"#,
        ),
        ("status.code=error", "{ status = error }"),
        (
            "namespace=x http.method=G",
            r#"{ resource.namespace =~ ".*x.*" } && { span.http.method =~ ".*G.*" }"#,
        ),
        ("http.status_code=404", "{ span.http.status_code = 404 }"),
        (
            "http.status_code=4xx",
            r#"{ span.http.status_code = "4xx" || resource.http.status_code = "4xx" }"#,
        ),
        ("status.code=odd", "{ status = unset }"),
        (
            "a\\b=\"} || {\"",
            r#"{ span."a\\b" = "\x7d\x20\x7c\x7c\x20\x7b" || resource."a\\b" = "\x7d\x20\x7c\x7c\x20\x7b" }"#,
        ),
        ("flag", r#"{ span.flag = "" || resource.flag = "" }"#),
        (
            "(x)|y=1",
            r#"{ span."(x)|y" = "1" || resource."(x)|y" = "1" }"#,
        ),
    ] {
        assert_eq!(
            from(tags, "", "").unwrap(),
            format!("{{ resource.t = \"a\" }} | {query}")
        );
    }
}

#[test]
fn durations_count_the_tenants_spans_unless_intrinsics_are_trusted() {
    assert_eq!(
        from("x=y", "1.5s", "1m").unwrap(),
        r#"{ resource.t = "a" } | max(duration) >= 1500ms | max(duration) <= 60000ms | { span.x = "y" || resource.x = "y" }"#
    );
    assert_eq!(
        from("", "100ms", "").unwrap(),
        r#"{ resource.t = "a" } | max(duration) >= 100ms"#
    );
    let search = TagBasedSearch::from_parameters("", "1s", "2s").unwrap();
    assert_eq!(
        confine(&search, TraceIntrinsics::Trust).unwrap(),
        r#"{ resource.t = "a" } | { traceDuration >= 1000ms } | { traceDuration <= 2000ms }"#
    );
}

#[test]
fn tags_of_the_root_span_are_those_of_the_callers_own_root() {
    let search =
        TagBasedSearch::from_parameters("root.service.name=x root.name=y", "", "").unwrap();
    assert_eq!(
        confine(&search, TraceIntrinsics::Refuse).unwrap(),
        r#"{ resource.t = "a" } | { nestedSetParent < 0 && (resource.service.name =~ ".*x.*") && (name =~ ".*y.*") } && {} | { true } && { true }"#
    );
    assert_eq!(
        confine(&search, TraceIntrinsics::Trust).unwrap(),
        r#"{ resource.t = "a" } | { rootServiceName =~ ".*x.*" } && { rootName =~ ".*y.*" }"#
    );
}

#[test]
fn logfmt_is_parsed_as_tempo_does() {
    let tags = |text: &str| TagBasedSearch::from_parameters(text, "", "").map(|search| search.tags);
    let pairs = |pairs: &[(&str, &str)]| {
        Ok(pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect())
    };
    assert_eq!(
        tags("a=1 b=\"2 \\\"3\\u00e9\" c d="),
        pairs(&[("a", "1"), ("b", "2 \"3é"), ("c", ""), ("d", "")])
    );
    assert_eq!(tags("a=1\nb=2"), pairs(&[("a", "1"), ("b", "2")]));
    assert_eq!(
        tags(r#"a="\b\f\n\r\t\/\'\\""#),
        pairs(&[("a", "\u{8}\u{c}\n\r\t/'\\")])
    );
    for bad in [
        "=1",
        "a=1=2",
        "a=\"open",
        "\"a\"=1",
        "a\"b=1",
        "a=b\"c",
        "a=\"\\q\"",
        "a=1 a=2",
    ] {
        assert_eq!(
            tags(bad).unwrap_err().kind(),
            RefusalKind::Malformed,
            "{bad}"
        );
    }
}

#[test]
fn invalid_durations_are_refused() {
    for bad in [
        "1", "abc", "-1s", "1d", "1s1", ".s", "1.2.3s", "1000000h", "s",
    ] {
        assert!(
            TagBasedSearch::from_parameters("", bad, "").is_err(),
            "{bad}"
        );
    }
    assert!(TagBasedSearch::from_parameters("", "2s", "1s").is_err());
    let search = TagBasedSearch::from_parameters("", "1h2m3.5s4ms5us", "+2h").unwrap();
    assert_eq!(
        (search.min_duration_ms, search.max_duration_ms),
        (3_723_504, 7_200_000)
    );
}
