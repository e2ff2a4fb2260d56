use proptest::prelude::*;

use super::*;

type Given<'a> = &'a [(&'a str, &'a str)];
type Error = ParamError<Unconfinable>;

/// The error of these tests' stand-in for TraceQL.
#[derive(Debug, PartialEq)]
struct Unconfinable;

fn check(query: &str) -> Result<(), Unconfinable> {
    (!query.contains("bad")).then_some(()).ok_or(Unconfinable)
}

fn confine(query: &str) -> Result<String, Unconfinable> {
    check(query)?;
    Ok(format!("T|{query}"))
}

fn from_old_form(form: &OldForm<'_>) -> Result<String, Unconfinable> {
    let bare: Vec<String> = form
        .bare_tags
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let bare = bare.join(",");
    check(form.tags)?;
    let (min, max) = (form.min_duration, form.max_duration);
    Ok(format!("T|{}|{bare}|{min}..{max}", form.tags))
}

fn filter(query: &str) -> String {
    format!("T&{query}")
}

fn text(params: &Params<'_>) -> String {
    let pairs: Vec<String> = params.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.join(" ")
}

fn forwarded(tags: &TagParams<'_>) -> String {
    text(&tags.forwarded(filter(tags.query)))
}

fn search(given: Given<'_>) -> Result<String, Error> {
    super::search(given.iter().copied(), confine, from_old_form).map(|(params, _)| text(&params))
}

fn range_query(given: Given<'_>) -> Result<String, Error> {
    metrics_query_range(given.iter().copied(), confine).map(|params| text(&params))
}

fn trace(version: Version, given: Given<'_>) -> Result<String, Error> {
    trace_by_id(version, given.iter().copied()).map(|params| text(&params))
}

#[test]
fn search_is_forwarded_with_its_confined_query_and_listed_parameters() {
    let given = [
        ("start", "5"),
        ("q", "{}"),
        ("end", "9"),
        ("limit", "20"),
        ("spss", "3"),
        ("skip_ast_transformations", "x"),
        ("minDuration", "1s"),
        ("custom", "1"),
        ("Q", "{}"),
    ];
    assert_eq!(
        search(&given),
        Ok("q=T|{} start=5 end=9 limit=20 spss=3".to_owned())
    );
    let (_, range) = super::search(given.iter().copied(), confine, from_old_form).unwrap();
    assert_eq!((range.start, range.end), (5, 9));
    let range: Vec<_> = range.parameters().collect();
    assert_eq!(range, [("start", "5".to_owned()), ("end", "9".to_owned())]);
}

#[test]
fn old_search_parameters_become_one_query() {
    for (given, query) in [
        (&[("tags", "a=1 b=\"x y\"")][..], "q=T|a=1 b=\"x y\"||.."),
        (
            &[("minDuration", "1.5s"), ("maxDuration", "2s")],
            "q=T|||1.5s..2s",
        ),
        (&[], "q=T|||.."),
        (&[("q", "")], "q=T|||.."),
        (
            &[("a", "b-web"), ("x", ""), ("c", "d")],
            "q=T||a=b-web,c=d|..",
        ),
        // With a range, other parameters are not tags.
        (&[("a", "b"), ("start", "1")], "q=T|||.. start=1"),
        // Nor with tags.
        (&[("a", "b"), ("tags", "c=d")], "q=T|c=d||.."),
        (&[("a", "1"), ("start", "0")], "q=T||a=1|.. start=0"),
    ] {
        assert_eq!(search(given), Ok(query.to_owned()), "{given:?}");
    }
}

#[test]
fn ambiguous_searches_are_refused() {
    for given in [
        &[("q", "{}"), ("q", "{a}")][..],
        &[("q", ""), ("q", "{a}")],
        &[("tags", "a=1"), ("tags", "b=1")],
    ] {
        let refused = search(given).unwrap_err();
        assert!(matches!(refused, ParamError::Repeated(_)), "{given:?}");
    }
    let many: Vec<String> = (0..=MAX_BARE_TAGS).map(|n| n.to_string()).collect();
    let many: Vec<_> = many.iter().map(|name| (&**name, "1")).collect();
    assert_eq!(search(&many), Err(ParamError::TooManyTags));
    assert_eq!(
        search(&[("q", "{}"), ("tags", "a=1")]),
        Err(ParamError::TagsAndQuery)
    );
    for (name, value) in [
        ("start", "x"),
        ("start", "-1"),
        ("end", "4294967296"),
        ("limit", "0"),
        ("limit", "1.5"),
        ("spss", "many"),
        ("start", "+1"),
    ] {
        let refused = search(&[("q", "{}"), (name, value)]).unwrap_err();
        assert!(matches!(refused, ParamError::Invalid(..)), "{name}={value}");
    }
}

#[test]
fn unconfinable_query_is_refused() {
    let refused = Err(ParamError::Query(Unconfinable));
    assert_eq!(search(&[("q", "bad")]), refused);
    assert_eq!(search(&[("tags", "a=bad")]), refused);
    assert_eq!(range_query(&[("query", "bad")]), refused);
}

#[test]
fn tag_calls_always_carry_the_filter() {
    let names = |given: Given<'_>| -> Result<String, Error> {
        tag_names(given.iter().copied()).map(|params| forwarded(&params))
    };
    assert_eq!(names(&[]), Ok("q=T&".to_owned()));
    assert_eq!(
        names(&[("q", "{}"), ("scope", "span"), ("limit", "5"), ("x", "1")]),
        Ok("q=T&{} scope=span limit=5".to_owned())
    );
    assert!(names(&[("scope", "bogus")]).is_err());
    assert!(names(&[("start", "x")]).is_err());
    let values = |given: Given<'_>| -> Result<String, Error> {
        tag_values(given.iter().copied()).map(|params| forwarded(&params))
    };
    assert_eq!(
        values(&[("scope", "span"), ("maxStaleValues", "1"), ("end", "2")]),
        Ok("q=T& maxStaleValues=1 end=2".to_owned())
    );
    assert!(values(&[("q", "{}"), ("q", "{ }")]).is_err());
    assert_eq!(
        values(&[
            ("q", "{}"),
            ("q", "{}"),
            ("q", ""),
            ("limit", "1"),
            ("limit", "x")
        ]),
        Ok("q=T&{} limit=1".to_owned())
    );
}

#[test]
fn metrics_query_takes_precedence_over_its_alias_as_in_tempo() {
    let both = [("query", "b"), ("q", "a"), ("step", "60s"), ("since", "1h")];
    assert_eq!(range_query(&both), Ok("q=T|a step=60s since=1h".to_owned()));
    assert_eq!(range_query(&[("query", "b")]), Ok("q=T|b".to_owned()));
    assert_eq!(
        range_query(&[("q", ""), ("query", "b")]),
        Ok("q=T|b".to_owned())
    );
    assert_eq!(range_query(&[("step", "1")]), Err(ParamError::NoQuery));
    assert!(range_query(&[("query", "b"), ("query", "c")]).is_err());
    assert_eq!(
        range_query(&[("query", "b"), ("query", "b"), ("step", "1"), ("step", "2")]),
        Ok("q=T|b step=1".to_owned())
    );
    let instant = [("q", "a"), ("step", "60s"), ("end", "2.5")];
    let instant = metrics_query(instant.into_iter(), confine).map(|params| text(&params));
    assert_eq!(instant, Ok("q=T|a end=2.5".to_owned()));
}

#[test]
fn internal_parameter_with_a_value_is_refused() {
    for (name, value) in [
        ("blockID", "0b5e8a0e-0000-0000-0000-000000000000"),
        ("dc", "[]"),
        ("mode", "recent"),
        ("size", "1"),
        ("startPage", "00"),
        ("pagesToSearch", "-1"),
        ("version", "vParquet5"),
        ("encoding", "zstd"),
        ("footerSize", "none"),
    ] {
        assert_eq!(
            range_query(&[("q", "a"), (name, value)]),
            Err(ParamError::Internal(name)),
            "{name}"
        );
    }
    assert_eq!(
        trace(Version::V1, &[("blockStart", "x")]),
        Err(ParamError::Internal("blockStart"))
    );
}

/// What `tempo-cli query api metrics` sends (`BuildQueryRangeRequest` in Tempo's `pkg/api/http.go`).
#[test]
fn internal_parameters_that_say_nothing_are_dropped() {
    let sent = [
        ("start", "1"),
        ("end", "2"),
        ("mode", ""),
        ("blockID", ""),
        ("startPage", "0"),
        ("pagesToSearch", "0"),
        ("version", ""),
        ("encoding", "none"),
        ("size", "0"),
        ("footerSize", "0"),
        ("q", "a"),
        ("exemplars", "0"),
        ("maxSeries", "0"),
    ];
    let expected = "q=T|a start=1 end=2 exemplars=0 maxSeries=0";
    assert_eq!(range_query(&sent), Ok(expected.to_owned()));
    let instant = metrics_query(sent.into_iter(), confine).map(|params| text(&params));
    assert_eq!(instant, Ok("q=T|a start=1 end=2".to_owned()));
}

#[test]
fn trace_is_requested_whole_and_unmerged() {
    let given = [("start", "1"), ("end", "2"), ("mode", "all"), ("x", "y")];
    assert_eq!(
        trace(Version::V1, &given),
        Ok("start=1 end=2 mode=all".to_owned())
    );
    assert_eq!(
        trace(Version::V2, &given),
        Ok("start=1 end=2 mode=all span_pruning=false".to_owned())
    );
    assert_eq!(
        trace(Version::V2, &[("q", " "), ("keep_hierarchy", "true")]),
        Ok("span_pruning=false".to_owned())
    );
    // The first version ignores all of these.
    assert_eq!(trace(Version::V1, &[("q", "{}")]), Ok(String::new()));
    for given in [
        &[("q", "{}")][..],
        &[("span_pruning", "true")],
        &[("mode", "bogus")],
        &[("start", "x")],
        &[("start", "x"), ("start", "1")],
    ] {
        assert!(trace(Version::V2, given).is_err(), "{given:?}");
    }
}

proptest! {
    /// The invariant of this module: one query is forwarded, confined, and nothing is repeated.
    #[test]
    fn exactly_one_confined_query_is_forwarded(
        given in prop::collection::vec(
            (
                prop::sample::select(&["q", "query", "tags", "start", "limit", "mode", "x", ""][..]),
                prop::sample::select(&["{}", "", "1", "a=1"][..]),
            ),
            0..5,
        ),
    ) {
        let given = || given.iter().copied();
        let all = [
            super::search(given(), confine, from_old_form).map(|(params, _)| params),
            metrics_query_range(given(), confine),
            metrics_query(given(), confine),
            tag_names(given()).map(|tags| tags.forwarded(filter(tags.query))),
            tag_values(given()).map(|tags| tags.forwarded(filter(tags.query))),
        ];
        for params in all.into_iter().flatten() {
            let queries = params.iter().filter(|(name, _)| ["q", "query", "tags"].contains(name));
            let queries: Vec<_> = queries.collect();
            prop_assert_eq!(queries.len(), 1);
            prop_assert!(queries[0].1.starts_with('T'));
            let mut names: Vec<_> = params.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            names.dedup();
            prop_assert_eq!(names.len(), params.len());
        }
    }
}
