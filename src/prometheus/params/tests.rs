use std::num::NonZeroUsize;

use super::*;
use crate::tenancy::{LabelMatcher, Tenant, TenantSet};

/// Replaces the scanner: marks what it gets.
struct Marks;

impl Confine for Marks {
    type Refusal = &'static str;

    fn query(&mut self, query: &str) -> Result<Encoded, Self::Refusal> {
        if query.contains("info(") {
            Err("info")
        } else {
            Ok(Encoded::new(format!("<{query}>").into()))
        }
    }

    fn selector(&mut self, selector: &str) -> Result<ConfinedSelector, Self::Refusal> {
        self.check_selector(selector)?;
        Ok(ConfinedSelector {
            text: Encoded::new(format!("[{selector}]").into()),
            was_unselective: has_no_matcher(selector) || selector.contains(".*"),
        })
    }

    fn check_selector(&mut self, selector: &str) -> Result<(), Self::Refusal> {
        if selector.contains(" or ") {
            Err("not one selector")
        } else {
            Ok(())
        }
    }
}

fn matchers() -> Matchers {
    let tenants = TenantSet::new([Tenant::new("acme").unwrap()]).unwrap();
    Matchers::new(LabelMatcher::new("tenant_id".into(), tenants), [])
}

fn try_allow(endpoint: &Endpoint, form: &str) -> Result<(String, Local), ParamError<&'static str>> {
    let form = Form::parse(form.as_bytes()).unwrap();
    let allowed = allow(endpoint, form, &matchers(), &mut Marks)?;
    let sent: Vec<String> = allowed
        .sent
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    Ok((sent.join("&"), allowed.local))
}

fn sent(endpoint: &Endpoint, form: &str) -> String {
    try_allow(endpoint, form).unwrap().0
}

fn refusal(endpoint: &Endpoint, form: &str) -> ParamError<&'static str> {
    try_allow(endpoint, form).unwrap_err()
}

fn values() -> Endpoint {
    Endpoint::LabelValues("job".into())
}

#[test]
fn query_is_confined_at_every_endpoint() {
    for endpoint in [
        Endpoint::Query,
        Endpoint::QueryRange,
        Endpoint::QueryExemplars,
    ] {
        assert_eq!(sent(&endpoint, "query=up"), "query=<up>");
    }
    assert_eq!(
        sent(
            &Endpoint::QueryRange,
            "query=up&start=1&end=2&step=15&limit=3&stats=all"
        ),
        "query=<up>&start=1&end=2&step=15&limit=3&stats=all"
    );
    assert_eq!(
        refusal(&Endpoint::Query, "query=info(up)"),
        ParamError::Refused("info")
    );
}

#[test]
fn empty_query_is_forwarded() {
    assert_eq!(sent(&Endpoint::Query, "query="), "query=");
    assert_eq!(sent(&Endpoint::Query, "time=1"), "time=1");
}

#[test]
fn printed_query_is_unmodified() {
    let long = format!("query={}", "a".repeat(MAX_VALUE_BYTES + 1));
    assert_eq!(sent(&Endpoint::ParseQuery, &long), long);
    assert_eq!(
        sent(&Endpoint::FormatQuery, "query=up&match[]=x"),
        "query=up"
    );
}

#[test]
fn first_of_several_counts_and_queries_may_not_differ() {
    assert_eq!(
        sent(&Endpoint::Query, "query=up&query=up&time=1&time=1"),
        "query=<up>&time=1"
    );
    assert_eq!(
        refusal(&Endpoint::Query, "query=up&query=down"),
        ParamError::Ambiguous("query")
    );
    assert_eq!(
        refusal(&Endpoint::Query, "query=&query=down"),
        ParamError::Ambiguous("query")
    );
    assert_eq!(
        sent(
            &Endpoint::Query,
            "query=up&query=&timeout=30s&timeout=60s&time=1&time=&limit=&limit=5"
        ),
        "query=<up>&timeout=30s&time=1&limit="
    );
}

#[test]
fn engine_that_thanos_does_not_know_is_dropped() {
    for endpoint in [Endpoint::Query, Endpoint::QueryRange] {
        for engine in ["prometheus", "thanos"] {
            let form = format!("query=up&engine={engine}");
            assert_eq!(
                sent(&endpoint, &form),
                format!("query=<up>&engine={engine}")
            );
        }
        for engine in ["undefined", "", "Thanos", "thanos,prometheus"] {
            let form = format!("query=up&engine={engine}");
            assert_eq!(sent(&endpoint, &form), "query=<up>", "{engine}");
        }
    }
}

#[test]
fn unknown_parameters_are_dropped() {
    for name in [
        "extra_filters[]",
        "extra_label",
        "Query",
        "match",
        "match[0]",
        "tenant",
        "X-Scope-OrgID",
        "",
    ] {
        assert_eq!(
            sent(&Endpoint::Query, &format!("query=up&{name}=x")),
            "query=<up>",
            "{name}"
        );
    }
    assert_eq!(sent(&Endpoint::Alerts, "partial_response=1&match[]=a"), "");
    assert_eq!(sent(&Endpoint::BuildInfo, "a=b"), "");
    // `time` is not a parameter of a range query, and so on.
    assert_eq!(
        sent(&Endpoint::QueryRange, "query=up&time=1&match[]=x"),
        "query=<up>"
    );
    assert_eq!(
        sent(&Endpoint::QueryExemplars, "query=up&step=1"),
        "query=<up>"
    );
}

#[test]
fn parameters_that_circumvent_the_tenant_are_refused() {
    for (endpoint, form) in [
        (Endpoint::Query, "query=up&storeMatch[]={a=\"b\"}"),
        (Endpoint::Series, "match[]=up&storeMatch[]="),
        (values(), "storeMatch[]=x"),
        (Endpoint::Query, "query=up&shard_info={}"),
        (Endpoint::Query, "query=up&analyze=true"),
        (Endpoint::QueryRange, "query=up&analyze=1"),
        (Endpoint::QueryRange, "query=up&analyze=maybe"),
        (Endpoint::Query, "query=up&explain=true"),
        (
            Endpoint::Query,
            "query=up&replicaLabels[]=replica&replicaLabels[]=tenant_id",
        ),
        (Endpoint::Series, "match[]=up&replicaLabels[]=tenant_id"),
    ] {
        let refused = refusal(&endpoint, form);
        assert!(
            matches!(refused, ParamError::Forbidden { .. }),
            "{form}: {refused:?}"
        );
    }
    assert_eq!(
        sent(
            &Endpoint::Query,
            "query=up&analyze=false&explain=&replicaLabels[]=a&replicaLabels[]=b&dedup=1"
        ),
        "query=<up>&replicaLabels[]=a&replicaLabels[]=b&dedup=1"
    );
}

#[test]
fn every_selector_is_confined_and_a_missing_one_selects_the_tenant() {
    assert_eq!(
        sent(
            &Endpoint::Series,
            "match[]=up&start=1&match[]=down&match[]=up"
        ),
        "match[]=[up]&start=1&match[]=[down]&match[]=[up]"
    );
    assert_eq!(sent(&Endpoint::Labels, ""), r#"match[]={tenant_id="acme"}"#);
    assert_eq!(
        sent(&values(), "limit=5"),
        r#"limit=5&match[]={tenant_id="acme"}"#
    );
    assert_eq!(sent(&Endpoint::Labels, "match[]=up"), "match[]=[up]");
    assert_eq!(
        refusal(&Endpoint::Labels, "match[]=up&match[]=a or b"),
        ParamError::Refused("not one selector")
    );
    assert_eq!(
        refusal(&Endpoint::Series, "start=1").to_string(),
        "no match[] parameter provided"
    );
}

#[test]
fn selector_that_the_empty_value_fulfils_is_left_to_the_store() {
    let error = "match[] must contain at least one non-empty matcher";
    let of_series =
        "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher";
    let (none, some) = ("{}", r#"{__name__=~".*"}"#);
    for (endpoint, form, error, like) in [
        (Endpoint::Series, "match[]={}", of_series, None),
        (
            Endpoint::Series,
            r#"match[]={}&match[]={x=~".*"}"#,
            of_series,
            None,
        ),
        (
            Endpoint::Series,
            r#"match[]={x=~".*"}&match[]=up"#,
            of_series,
            Some(some),
        ),
        (Endpoint::Labels, "match[]={}", error, Some(none)),
        (
            Endpoint::Labels,
            "match[]={ }&match[]=up",
            error,
            Some(none),
        ),
        (values(), "match[]=up&match[]={}", error, Some(none)),
        (
            values(),
            r#"match[]={}&match[]={x=~".*"}&match[]={}"#,
            error,
            Some(some),
        ),
        (Endpoint::SearchLabelNames, "match[]={}", error, None),
        (
            Endpoint::SearchMetricNames,
            r#"match[]={x=~".*"}"#,
            error,
            None,
        ),
    ] {
        let parsed = Form::parse(form.as_bytes()).unwrap();
        let allowed = allow(&endpoint, parsed, &matchers(), &mut Marks);
        if let Some(like) = like {
            let unselective = Some(Unselective { error, like });
            assert_eq!(allowed.unwrap().unselective, unselective, "{form}");
        } else {
            let refusal = ParamError::Invalid(error.into());
            assert_eq!(allowed.unwrap_err(), refusal, "{form}");
        }
        // Prometheus finds this first.
        let refusal = refusal(&endpoint, &format!("{form}&match[]=a or b"));
        assert_eq!(refusal, ParamError::Refused("not one selector"));
    }
    // The store decides: the text is forwarded unmodified.
    assert!(try_allow(&Endpoint::Rules, "match[]={}").is_ok());
    // Prometheus accepts it.
    assert!(try_allow(&Endpoint::TargetsMetadata, "match_target={}").is_ok());
}

#[test]
fn federate_without_a_selector_selects_nothing() {
    assert_eq!(
        sent(&Endpoint::Federate, ""),
        r#"match[]={tenant_id="acme",__name__=""}"#
    );
    assert_eq!(
        sent(&Endpoint::Federate, "match[]=up&limit=1"),
        "match[]=[up]"
    );
}

#[test]
fn rules_are_requested_without_pages_that_are_cut_here() {
    let form = "type=alert&rule_name[]=a&rule_name[]=b&file[]=f&rule_group[]=g&match[]={x=\"y\"}\
                &exclude_alerts=TRUE&group_limit=1&group_next_token=abc";
    let (sent, local) = try_allow(&Endpoint::Rules, form).unwrap();
    assert_eq!(
        sent,
        "type=alert&rule_name[]=a&rule_name[]=b&file[]=f&rule_group[]=g&match[]={x=\"y\"}"
    );
    assert!(local.exclude_alerts);
    let page = GroupPage {
        limit: NonZeroUsize::MIN,
        first: Some("abc".to_owned()),
    };
    assert_eq!(local.page, Some(page));
    for (form, text) in [
        (
            "group_limit=x",
            "invalid parameter \"group_limit\": group_limit needs to be a valid number: \
             strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "group_limit=2147483648&group_next_token=a",
            "invalid parameter \"group_limit\": group_limit needs to be a valid number: \
             strconv.ParseInt: parsing \"2147483648\": value out of range",
        ),
        (
            "group_limit=0",
            "invalid parameter \"group_limit\": group_limit needs to be greater than 0",
        ),
        (
            "group_limit=-1",
            "invalid parameter \"group_limit\": group_limit needs to be greater than 0",
        ),
        (
            "group_limit=&group_next_token=a",
            "invalid parameter \"group_next_token\": group_limit needs to be present in order to \
             paginate over the groups",
        ),
    ] {
        let expected = ParamError::Invalid(text.into());
        assert_eq!(refusal(&Endpoint::Rules, form), expected, "{form}");
    }
    for form in [
        "",
        "group_limit=",
        "group_next_token=",
        "group_limit=&group_next_token=",
    ] {
        assert_eq!(
            try_allow(&Endpoint::Rules, form).unwrap().1.page,
            None,
            "{form}"
        );
    }
    assert!(
        !try_allow(&Endpoint::Rules, "exclude_alerts=")
            .unwrap()
            .1
            .exclude_alerts
    );
    assert!(matches!(
        refusal(&Endpoint::Rules, "exclude_alerts=yes"),
        ParamError::Invalid(_)
    ));
    assert_eq!(
        refusal(&Endpoint::Rules, "match[]=a or b"),
        ParamError::Refused("not one selector")
    );
}

#[test]
fn metadata_is_limited_after_filtering() {
    let limits = |form: &str| {
        let (sent, local) = try_allow(&Endpoint::Metadata, form).unwrap();
        assert_eq!(sent, "metric=up", "{form}");
        let per_metric = local.metadata.per_metric.map(NonZeroUsize::get);
        (local.metadata.metrics, per_metric)
    };
    assert_eq!(
        limits("metric=up&limit=2&limit_per_metric=1"),
        (Some(2), Some(1))
    );
    assert_eq!(
        limits("metric=up&limit=0&limit_per_metric=0"),
        (Some(0), None)
    );
    assert_eq!(
        limits("metric=up&limit=-1&limit_per_metric=-1"),
        (None, None)
    );
    assert_eq!(
        refusal(&Endpoint::Metadata, "limit=x").to_string(),
        "limit must be a number"
    );
    assert_eq!(
        refusal(&Endpoint::Metadata, "limit_per_metric=x").to_string(),
        "limit_per_metric must be a number"
    );
}

#[test]
fn metadata_of_targets_is_that_of_the_tenants_targets() {
    let endpoint = Endpoint::TargetsMetadata;
    assert_eq!(
        sent(&endpoint, "match_target={job=\"a\"}&metric=up&limit=2"),
        "match_target=[{job=\"a\"}]&metric=up&limit=2"
    );
    for form in ["limit=2", "limit=2&match_target="] {
        assert_eq!(
            sent(&endpoint, form),
            r#"limit=2&match_target={tenant_id="acme"}"#,
            "{form}"
        );
    }
    assert_eq!(
        refusal(&endpoint, "match_target=a or b"),
        ParamError::Refused("not one selector")
    );
    assert_eq!(
        refusal(&endpoint, "match_target=&match_target=b"),
        ParamError::Ambiguous("match_target")
    );
}

#[test]
fn values_and_confined_selectors_are_bounded() {
    let long = "1".repeat(MAX_VALUE_BYTES + 1);
    assert_eq!(
        refusal(&Endpoint::Query, &format!("query=up&time={long}")),
        ParamError::TooLong("time")
    );
    assert_eq!(
        refusal(&Endpoint::Rules, &format!("file[]={long}")),
        ParamError::TooLong("file[]")
    );
    let selector = format!("match[]={}&", "a".repeat(MAX_CONFINED_BYTES / 500));
    assert_eq!(
        refusal(&Endpoint::Series, &selector.repeat(501)),
        ParamError::TooMuch
    );
}
