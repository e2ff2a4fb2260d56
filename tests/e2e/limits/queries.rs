//! Bounds on query texts, for all callers and in every parameter.
//! The limits are set low, so that harmless texts are over them.

use std::collections::HashMap;

use crate::kit::client::{Answer, Ask, Client, Sent};
use crate::kit::grpc::{Call, call};
use crate::kit::partywall::Setup;
use crate::kit::protobuf::{LabelMatcher, Query, ReadRequest};
use crate::kit::stage::Stage;
use crate::kit::tempo_messages::{
    QueryInstantRequest, QueryRangeRequest, SearchRequest, TagValuesRequest, TagsRequest,
};
use crate::kit::tempo_upstream::TempoUpstream;
use crate::kit::upstream::Upstream;

const LIMITS: &str =
    "limits: {query_bytes: 60, query_depth: 3, query_nodes: 20, format_bytes: 100}\n";

const LONG: &str = "the query is 61 bytes long, more than 60 (limits.query_bytes)";
const DEEP: &str = "the query is nested 4 levels deep, more than 3 (limits.query_depth)";
const MANY: &str = "the query has 21 parts, more than 20 (limits.query_nodes)";

/// Every call that takes a query or selector, and the parameter.
const CALLS: [(&str, &str); 10] = [
    ("/api/v1/query", "query"),
    ("/api/v1/query_range", "query"),
    ("/api/v1/query_exemplars", "query"),
    ("/api/v1/parse_query", "query"),
    ("/api/v1/format_query", "query"),
    ("/api/v1/series", "match[]"),
    ("/api/v1/labels", "match[]"),
    ("/api/v1/label/job/values", "match[]"),
    ("/federate", "match[]"),
    ("/api/v1/rules", "match[]"),
];

async fn metrics(options: &[&str]) -> Stage<Upstream> {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    setup.rest = LIMITS.to_owned();
    setup.upstream_options = options.iter().map(|&option| option.to_owned()).collect();
    Stage::of(upstream, setup).await
}

async fn traces() -> Stage<TempoUpstream> {
    let upstream = TempoUpstream::start().await;
    let mut setup = Setup::tempo(&upstream.url);
    setup.rest = LIMITS.to_owned();
    Stage::of(upstream, setup).await
}

impl<U> Stage<U> {
    /// Of a caller with a tenant, and of one with all.
    fn callers(&self) -> [String; 2] {
        [self.proxy.signer.tenant("A"), self.proxy.signer.admin()]
    }
}

async fn send<U>(stage: &Stage<U>, ask: &Ask, token: &str) -> Answer {
    Client::default()
        .ask(&stage.proxy.url, ask, Some(token))
        .await
}

#[track_caller]
fn assert_refused(answer: &Answer, told: &str, asked: &str) {
    assert_eq!(answer.status, 422, "{asked}: {}", answer.text());
    assert!(answer.text().contains(told), "{asked}: {}", answer.text());
}

#[tokio::test]
async fn metrics_text_over_a_limit_is_refused_before_the_store_is_asked() {
    let stage = metrics(&[]).await;
    let long = format!("up{}", " ".repeat(59));
    let chain = ["1"; 11].join("+");
    let nested = [
        long.as_str(),
        "((((1))))",
        "----1",
        "a(b(c(d[5m])))",
        &chain,
    ];
    let told = [LONG, DEEP, DEEP, DEEP, MANY];
    // Selectors have no operators, but matchers and regular expressions.
    let matchers = format!("{{{}}}", ["a=\"\""; 7].join(","));
    let selectors = [
        (long.as_str(), LONG),
        (matchers.as_str(), "22 parts, more than 20"),
        (r#"{a=~"b{20}"}"#, "23 parts, more than 20"),
        (r#"{a!~"(b{4}){4}"}"#, "22 parts, more than 20"),
        ("((((up", DEEP),
    ];
    for token in stage.callers() {
        for (path, name) in CALLS {
            let texts: Vec<(&str, &str)> = match name {
                "query" => nested.into_iter().zip(told).chain(selectors).collect(),
                _ => selectors.to_vec(),
            };
            for (text, told) in texts {
                for sent in [Sent::Get, Sent::Post] {
                    let ask = Ask::new(sent, path, &[(name, text)]);
                    let answer = send(&stage, &ask, &token).await;
                    if answer.status == 405 {
                        continue;
                    }
                    assert_refused(&answer, told, &ask.to_string());
                    assert_eq!(answer.json()["errorType"], "execution");
                }
            }
            assert!(stage.upstream.take().is_empty(), "{path}");
            let ask = Ask::get(path, &[(name, r#"up{a=~"b{9}"}"#)]);
            send(&stage, &ask, &token).await;
            assert!(!stage.upstream.take().is_empty(), "{path}");
        }
    }
}

#[tokio::test]
async fn format_and_parse_are_bounded_by_length_times_depth() {
    let stage = metrics(&[]).await;
    let chain = ["1"; 9].join("+");
    let told = "136 bytes (its length times its depth";
    for token in stage.callers() {
        for path in ["/api/v1/format_query", "/api/v1/parse_query"] {
            let answer = send(&stage, &Ask::get(path, &[("query", &chain)]), &token).await;
            assert_refused(&answer, told, path);
            assert!(
                answer
                    .text()
                    .contains("more than 100 (limits.format_bytes)")
            );
        }
        assert!(stage.upstream.take().is_empty());
        let ask = Ask::get("/api/v1/query", &[("query", &chain)]);
        assert_eq!(send(&stage, &ask, &token).await.status, 200);
        stage.upstream.take();
    }
}

#[tokio::test]
async fn selectors_of_one_request_count_together() {
    let stage = metrics(&[]).await;
    let half = r#"{a="x",b="",c=""}"#;
    for token in stage.callers() {
        for (count, passes) in [(2, true), (3, false)] {
            let ask = Ask::get("/api/v1/series", &vec![("match[]", half); count]);
            let answer = send(&stage, &ask, &token).await;
            assert_eq!(answer.status == 200, passes, "{}", answer.text());
            assert_eq!(stage.upstream.take().is_empty(), !passes);
        }
    }
}

/// Matchers make a short request long: where the endpoint takes no form, it says so, and what to do.
#[tokio::test]
async fn selectors_too_long_for_a_url_are_refused_before_the_store_is_asked() {
    let stage = Stage::recorded("").await;
    let tenants: Vec<String> = (0..150)
        .map(|number| format!("tenant-{number:0>13}"))
        .collect();
    let tenants: Vec<&str> = tenants.iter().map(String::as_str).collect();
    let token = stage.proxy.signer.tenants(&tenants);
    let selectors = [("match[]", "up"); 24];
    let few = [("match[]", "up"); 2];
    for path in ["/api/v1/label/job/values", "/federate"] {
        let answer = send(&stage, &Ask::get(path, &selectors), &token).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        let told = "does not fit a URL (65534 bytes), and its endpoint takes no POST; give fewer";
        assert!(answer.text().contains(told), "{path}: {}", answer.text());
        assert!(stage.upstream.take().is_empty(), "{path}");
        send(&stage, &Ask::get(path, &few), &token).await;
        assert_eq!(stage.upstream.take().len(), 1, "{path}");
    }
    // Where it takes a form, that is what is sent.
    for path in ["/api/v1/series", "/api/v1/labels"] {
        let answer = send(&stage, &Ask::get(path, &selectors), &token).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let seen = stage.upstream.take();
        assert_eq!((seen.len(), seen[0].method.as_str()), (1, "POST"), "{path}");
    }
}

/// In the URL, in the form, in both, twice, and spelled so that another reader would take it.
#[tokio::test]
async fn text_is_bounded_wherever_the_store_would_read_it() {
    let stage = metrics(&[]).await;
    for token in stage.callers() {
        let bearer = format!("Bearer {token}");
        for (target, body) in [
            ("/api/v1/query?query=((((1))))", ""),
            ("/api/v1/query", "query=((((1))))"),
            ("/api/v1/query?query=1", "query=((((1))))"),
            ("/api/v1/query?query=((((1))))", "query=1"),
            ("/api/v1/query?query=1&query=((((1))))", "a=b"),
            ("/api/v1/query?%71uery=%28%28((1))))", "a=b"),
            ("/api/v1/series?match%5B%5D=((((1", "match[]=up"),
        ] {
            let form = ("Content-Type", "application/x-www-form-urlencoded");
            let headers = [("Authorization", bearer.as_str()), form];
            let answer = stage.send_as("POST", target, &headers, body).await;
            assert_eq!(answer.status, 422, "{target} {body}: {}", answer.head);
        }
    }
    assert!(stage.upstream.take().is_empty());
}

#[tokio::test]
async fn endpoint_that_is_open_to_admins_is_bounded_too() {
    let stage = metrics(&["open_to_admins: [unknown, tsdb_admin]"]).await;
    let bearer = format!("Bearer {}", stage.proxy.signer.admin());
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let deep = "((((up))))";
    for (method, target, body) in [
        (
            "GET",
            format!("/api/v1/targets/metadata?match_target={deep}"),
            String::new(),
        ),
        (
            "GET",
            format!("/api/v1/query_explain?query={deep}"),
            String::new(),
        ),
        (
            "POST",
            "/api/v1/query_explain".to_owned(),
            format!("query={deep}"),
        ),
        (
            "PUT",
            "/api/v1/admin/tsdb/delete_series".to_owned(),
            format!("match[]={deep}"),
        ),
    ] {
        let headers = [("Authorization", bearer.as_str()), form];
        let answer = stage.send_as(method, &target, &headers, &body).await;
        assert_eq!(answer.status, 422, "{target}: {}", answer.head);
        let harmless = body.replace(deep, "up");
        let target = target.replace(deep, "up");
        assert!(stage.upstream.take().is_empty(), "{target}");
        let answer = stage.send_as(method, &target, &headers, &harmless).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.head);
        assert_eq!(stage.upstream.take_one().body, harmless.as_bytes());
    }
    // Go reads parameters from this as well.
    let multipart = ("Content-Type", "multipart/form-data; boundary=x");
    let headers = [("Authorization", bearer.as_str()), multipart];
    let answer = stage
        .send_as("POST", "/api/v1/query_explain", &headers, "--x--")
        .await;
    assert_eq!(answer.status, 415, "{}", answer.head);
}

#[tokio::test]
async fn matchers_of_a_remote_read_are_bounded() {
    let stage = metrics(&[]).await;
    let read = async |token: &str, matchers: &[(i32, &str, &str)]| {
        let matcher = |&(kind, name, value): &(i32, &str, &str)| LabelMatcher {
            kind,
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let query = Query {
            start: 0,
            end: 1000,
            matchers: matchers.iter().map(matcher).collect(),
        };
        let request = ReadRequest {
            queries: vec![query.clone(), query],
            accepted_response_types: vec![],
        };
        let client = Client::default();
        client
            .remote_read(&stage.proxy.url, Some(token), &request)
            .await
    };
    let long = "x".repeat(60);
    for token in stage.callers() {
        for (matchers, told) in [
            (
                &[(0, "a", long.as_str())][..],
                "61 bytes long, more than 60",
            ),
            (&[(2, "a", "x{11}")], "22 parts, more than 20"),
            (&[(0, "a", ""); 11], "21 parts, more than 20"),
        ] {
            let answer = read(&token, matchers).await;
            assert_refused(&answer, told, "remote read");
        }
        assert!(stage.upstream.take().is_empty());
        assert_eq!(read(&token, &[(2, "a", "x{9}")]).await.status, 200);
        assert_eq!(stage.upstream.take().len(), 1);
    }
}

/// Every call of the traces API that takes a query, with its parameter.
const TRACE_CALLS: [(&str, &str); 8] = [
    ("/api/search", "q"),
    ("/api/search/tags", "q"),
    ("/api/v2/search/tags", "q"),
    ("/api/search/tag/name/values", "q"),
    ("/api/v2/search/tag/span.a/values", "q"),
    ("/api/metrics/query_range", "q"),
    ("/api/metrics/query", "query"),
    ("/api/v2/traces/1", "q"),
];

#[tokio::test]
async fn traces_text_over_a_limit_is_refused_before_the_store_is_asked() {
    let stage = traces().await;
    let long = format!("{{}} | rate(){}", " ".repeat(50));
    let chain = format!("{{ .a }}{} | rate()", ">>{}".repeat(8));
    for token in stage.callers() {
        for (path, name) in TRACE_CALLS {
            for (text, told) in [
                (long.as_str(), LONG),
                ("((({})))", DEEP),
                ("{ !!!.a }", DEEP),
                (&chain, MANY),
                ("{ .a =~ `b{20}` }", "23 parts, more than 20"),
            ] {
                let ask = Ask::get(path, &[(name, text)]);
                let answer = send(&stage, &ask, &token).await;
                assert_refused(&answer, told, &ask.to_string());
                let is_text = answer.header("content-type").starts_with("text/plain");
                assert!(is_text, "{ask}");
            }
        }
        for (parameters, told) in [
            (&[("tags", "a=b c=d e=f")][..], "30 parts"),
            (&[("tags", r#"a=""b=""c="""#)], "30 parts"),
            (&[("a", "b"), ("c", "d"), ("e", "f")], "30 parts"),
            (&[("tags", &long)], LONG),
            (&[("a", &long)], "62 bytes long"),
        ] {
            let ask = Ask::get("/api/search", parameters);
            assert_refused(&send(&stage, &ask, &token).await, told, &ask.to_string());
        }
        assert!(stage.upstream.take().is_empty());
        let ask = Ask::get("/api/search", &[("q", "{ .a =~ `b{9}` }")]);
        assert_eq!(send(&stage, &ask, &token).await.status, 200);
        assert!(!stage.upstream.take().is_empty());
    }
}

#[tokio::test]
async fn grpc_text_over_a_limit_is_refused_before_the_store_is_asked() {
    const INVALID_ARGUMENT: u8 = 3;
    let stage = traces().await;
    let deep = "((({}))) | rate()".to_owned();
    let service = "/tempopb.StreamingQuerier/";
    let method = |name: &str| format!("{service}{name}");
    let tags: HashMap<String, String> =
        ["a", "b", "c"].map(|t| (t.to_owned(), t.to_owned())).into();
    let search = SearchRequest {
        query: deep.clone(),
        ..SearchRequest::default()
    };
    let old = SearchRequest {
        tags,
        ..SearchRequest::default()
    };
    let names = TagsRequest {
        query: deep.clone(),
        ..TagsRequest::default()
    };
    let values = TagValuesRequest {
        tag: "span.a".to_owned(),
        query: deep.clone(),
        ..TagValuesRequest::default()
    };
    let range = QueryRangeRequest {
        query: deep.clone(),
        ..QueryRangeRequest::default()
    };
    let instant = QueryInstantRequest {
        query: deep,
        ..QueryInstantRequest::default()
    };
    for token in stage.callers() {
        for (asked, told) in [
            (Call::new(&method("Search"), &search), DEEP),
            (Call::new(&method("Search"), &old), "30 parts"),
            (Call::new(&method("SearchTags"), &names), DEEP),
            (Call::new(&method("SearchTagsV2"), &names), DEEP),
            (Call::new(&method("SearchTagValues"), &values), DEEP),
            (Call::new(&method("SearchTagValuesV2"), &values), DEEP),
            (Call::new(&method("MetricsQueryRange"), &range), DEEP),
            (Call::new(&method("MetricsQueryInstant"), &instant), DEEP),
        ] {
            let answer = call(&stage.proxy.url, &asked, Some(&token)).await;
            assert_eq!(answer.code(), INVALID_ARGUMENT, "{answer:?}");
            assert!(answer.message().contains(told), "{answer:?}");
        }
        assert!(stage.upstream.take().is_empty());
        let search = SearchRequest::default();
        let asked = Call::new(&method("Search"), &search);
        let answer = call(&stage.proxy.url, &asked, Some(&token)).await;
        assert_eq!(answer.code(), 0, "{answer:?}");
        assert!(!stage.upstream.take().is_empty());
    }
}
