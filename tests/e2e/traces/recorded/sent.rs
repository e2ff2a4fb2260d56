//! What is forwarded: one confined query at one canonical path, and nothing the client smuggled in.

use super::{Door, STAGE, assert_plain};
use crate::kit::client::Ask;
use crate::kit::raw;
use crate::kit::tempo_upstream::{is_ownership_query, trace_id};
use crate::kit::upstream::Seen;

fn names(seen: &Seen) -> Vec<String> {
    seen.params().into_iter().map(|(name, _)| name).collect()
}

fn only_query(seen: &Seen) -> String {
    let queries = seen.param("q");
    assert_eq!(queries.len(), 1, "one query is forwarded: {}", seen.target);
    queries.concat()
}

/// T5: a root that belongs to another tenant has no name.
#[tokio::test]
async fn conditions_on_roots_are_forwarded_as_conditions_on_the_callers_own_roots() {
    let door = Door::open().await;
    let root = "{ nestedSetParent < 0 && (name = \"x\") } && {}";
    let ask = |path: &str, query: &str| Ask::get(path, &[("q", query)]);
    for (ask, expected) in [
        (
            ask("/api/search", "{ rootName = \"x\" && .n > 1 }"),
            format!("{STAGE} | {root} | {{ true && .n > 1 }}"),
        ),
        (
            ask(
                "/api/metrics/query_range",
                "{ rootName = \"x\" } | rate() by(.n)",
            ),
            format!("{STAGE} | {root} | {{ true }} | rate() by(.n)"),
        ),
        (
            ask("/api/search", "{ trace:rootService != \"w\" }"),
            format!(
                "({STAGE} | {{ nestedSetParent < 0 && (resource.service.name != \"w\") }} && {{}} | \
                 {{ true }}) || ({STAGE} | min(nestedSetParent) >= 0 | {{ true }})"
            ),
        ),
        (
            Ask::get("/api/search", &[("tags", "root.name=x")]),
            format!(
                "{STAGE} | {} | {{ true }}",
                root.replace("= \"x\"", "=~ \".*x.*\"")
            ),
        ),
    ] {
        let answer = door.ask(&ask).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(only_query(&door.took_first()), expected);
    }
}

#[tokio::test]
async fn search_is_forwarded_confined_with_its_own_parameters_only() {
    let door = Door::open().await;
    let query = r#"{resource.service.name="web" && status=error} | select(name)"#;
    let params = [
        ("q", query),
        ("limit", "20"),
        ("spss", "3"),
        ("start", "1795226473"),
        ("end", "1795230078"),
        ("skip_ast_transformations", "all"),
        ("nonsense", "x"),
    ];
    let ask = Ask::get("/api/search", &params)
        .with_header("accept", "application/json, text/plain, */*")
        .with_header("accept-encoding", "gzip")
        .with_header("x-scope-orgid", "B")
        .with_header("x-grafana-user", "admin")
        .with_header("cookie", "session=1")
        .with_header("recent-data-target", "x");
    let answer = door.ask(&ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = door.took_first();
    assert_eq!((seen.method.as_str(), seen.path()), ("GET", "/api/search"));
    let expected = format!("{STAGE} | {query}");
    let sent: Vec<(String, String)> = [
        ("q", expected.as_str()),
        ("limit", "20"),
        ("spss", "3"),
        ("start", "1795226473"),
        ("end", "1795230078"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    assert_eq!(seen.params(), sent);
    assert_eq!(seen.header("accept"), Some("application/json"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    for name in [
        "authorization",
        "x-scope-orgid",
        "x-grafana-user",
        "cookie",
        "recent-data-target",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn ownership_query_covers_the_pages_traces_and_range() {
    let door = Door::verifying().await;
    door.search(&[("q", "{}"), ("start", "10"), ("end", "20")])
        .await;
    let seen = door.upstream.take();
    let ownership_queries: Vec<&Seen> = seen
        .iter()
        .filter(|seen| is_ownership_query(seen))
        .collect();
    assert_eq!((seen.len(), ownership_queries.len()), (2, 1), "{seen:#?}");
    let query = only_query(ownership_queries[0]);
    for end in ["1", "3", "4", "7", "8", "8a", "c"] {
        let id = trace_id(end);
        assert!(query.contains(id.trim_start_matches('0')), "{id}: {query}");
    }
    assert!(query.ends_with("| by(resource.tenant_id)"), "{query}");
    assert_eq!(ownership_queries[0].param("limit"), ["8"]);
    assert_eq!(ownership_queries[0].param("start"), ["10"]);
    assert_eq!(ownership_queries[0].param("end"), ["20"]);
    assert_eq!(
        ownership_queries[0].header("accept"),
        Some("application/protobuf")
    );
    assert_eq!(ownership_queries[0].header("authorization"), None);
}

/// T16: values of a whole trace's root are those of the tenant's own root spans.
#[tokio::test]
async fn values_of_roots_are_looked_for_among_the_tenants_root_spans() {
    let door = Door::open().await;
    let roots = r#"{ resource.tenant_id = "A" && nestedSetParent < (0) }"#;
    for (path, tag, query) in [
        ("/api/v2/search/tag/rootName/values", "name", roots),
        ("/api/v2/search/tag/trace:rootName/values", "name", roots),
        (
            "/api/v2/search/tag/trace%3ArootName/values?q=%7B%7D",
            "name",
            roots,
        ),
        (
            "/api/v2/search/tag/rootServiceName/values?q=%7B%20span.x%20%3D%201%20%7D",
            "resource.service.name",
            roots,
        ),
        (
            "/api/v2/search/tag/trace:rootService/values",
            "resource.service.name",
            roots,
        ),
        ("/api/search/tag/root.name/values", "name", roots),
        (
            "/api/search/tag/rootServiceName/values",
            "resource.service.name",
            roots,
        ),
        ("/api/v2/search/tag/traceDuration/values", "duration", STAGE),
    ] {
        let answer = door.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let seen = door.upstream.take_one();
        assert_eq!(seen.path(), format!("/api/v2/search/tag/{tag}/values"));
        assert_eq!(only_query(&seen), query, "{path}");
    }
}

/// T4: whatever the shape, the tenants' stage comes first in every pipeline.
#[tokio::test]
async fn every_pipeline_of_a_query_is_confined() {
    let door = Door::open().await;
    for (query, pipelines) in [
        ("{} || { .a = 1 }", 1),
        ("{} && {}", 1),
        ("{} !>> {}", 1),
        ("{} &>> {}", 1),
        ("by(name)", 1),
        ("count() > 0", 1),
        ("select(name)", 1),
        ("{ .a = \"} || {\" } // } || {", 1),
        ("{} /* } | { */ with (most_recent=true)", 1),
        ("({} | count() > 1) || ({} | by(name))", 2),
        ("({} | count() > 1) >> ({} | by(name)) ~ (count() > 1)", 3),
    ] {
        let answer = door.search(&[("q", query)]).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let sent = only_query(&door.took_first());
        assert_eq!(sent.matches(STAGE).count(), pipelines, "{query}: {sent}");
        if pipelines == 1 {
            assert_eq!(sent, format!("{STAGE} | {query}"));
        }
    }
    for (query, pipelines) in [
        ("{} | rate()", 1),
        ("({} | rate()) / ({ .a = 1 } | count_over_time())", 2),
        ("{} | compare({ status = error })", 1),
    ] {
        door.ask(&Ask::get("/api/metrics/query_range", &[("q", query)]))
            .await;
        let sent = only_query(&door.took_first());
        assert_eq!(sent.matches(STAGE).count(), pipelines, "{query}: {sent}");
    }
}

/// T6.
#[tokio::test]
async fn tag_searches_are_forwarded_as_one_query() {
    let door = Door::open().await;
    for params in [
        &[("tags", "service.name=b-web")][..],
        &[
            ("tags", "service.name=b-web"),
            ("minDuration", "300ms"),
            ("limit", "5"),
        ],
        &[("minDuration", "300ms")],
        &[("maxDuration", "1s"), ("start", "1"), ("end", "9")],
        // Every parameter is a tag where there is nothing else.
        &[("service.name", "b-web")],
        &[("limit", "5")],
        &[("start", "1"), ("end", "9")],
        &[("q", "")],
        &[],
    ] {
        let answer = door.search(params).await;
        assert_eq!(answer.status, 200, "{params:?}: {}", answer.text());
        let seen = door.took_first();
        let query = only_query(&seen);
        assert!(query.starts_with(STAGE), "{params:?}: {query}");
        for name in names(&seen) {
            let known = ["q", "limit", "start", "end"];
            assert!(
                known.contains(&name.as_str()),
                "{params:?}: {name} was forwarded"
            );
        }
        let is_tag =
            |(name, value): &&(&str, &str)| name.contains("service") || value.contains("b-web");
        if params.iter().any(|pair| is_tag(&pair)) {
            assert!(query.contains("resource.service.name"), "{query}");
        }
    }
    for params in [
        &[("q", "{}"), ("tags", "service.name=b-web")][..],
        &[("q", "{}"), ("q", "{ }")],
        &[("tags", "a=1"), ("tags", "b=1")],
        &[("tags", "a=\"")],
        &[("minDuration", "soon")],
        &[("limit", "0")],
    ] {
        assert_plain(&format!("{params:?}"), &door.search(params).await, 400);
        door.assert_nothing_forwarded(&format!("{params:?}"));
    }
}

/// T7: Tempo answers for all tenants when it cannot use a condition, so only those are forwarded that it
/// can.
#[tokio::test]
async fn tag_calls_are_forwarded_as_v2_with_supported_conditions_only() {
    let door = Door::open().await;
    let narrowed = r#"{ resource.tenant_id = "A" && resource.service.name = "web" }"#;
    for (query, expected) in [
        ("", STAGE),
        ("{}", STAGE),
        ("{ resource.service.name = \"web\" }", narrowed),
        ("{ .n = 1 && resource.service.name = \"web\" }", narrowed),
        ("{ resource.service.name = \"web\" && span.n = }", narrowed),
        ("{ .n = 1 }", STAGE),
        ("{ true || true }", STAGE),
        ("{ resource.service.name = \"web\" || true }", STAGE),
        ("{} && {}", STAGE),
        ("{} >> { resource.service.name = \"web\" }", STAGE),
        ("by(name)", STAGE),
        ("garbage", STAGE),
        ("{ parent.n = 1 }", STAGE),
        ("{ resource.tenant_id = \"B\" }", STAGE),
    ] {
        for path in [
            "/api/v2/search/tags",
            "/api/search/tags",
            "/api/v2/search/tag/span.n/values",
            "/api/search/tag/http.method/values",
        ] {
            let ask = Ask::get(
                path,
                &[("q", query), ("start", "1"), ("end", "9"), ("x", "y")],
            );
            let answer = door.ask(&ask).await;
            assert_eq!(answer.status, 200, "{path} {query}: {}", answer.text());
            let seen = door.took_first();
            assert!(
                seen.path().starts_with("/api/v2/search/tag"),
                "{}",
                seen.target
            );
            assert_eq!(only_query(&seen), expected, "{path} {query}");
            assert_eq!(names(&seen), ["q", "start", "end"], "{path} {query}");
        }
    }
}

#[tokio::test]
async fn tags_are_parsed_once_and_rebuilt() {
    let door = Door::open().await;
    for (path, expected) in [
        (
            "/api/v2/search/tag/resource.service.name/values",
            "resource.service.name",
        ),
        (
            "/api/v2/search/tag/resource%2Eservice.name/values",
            "resource.service.name",
        ),
        (
            "/api/search/tag/service.name/values",
            "resource.service.name",
        ),
        // Of an attribute without a scope, first that of resources.
        ("/api/search/tag/n/values", "resource.n"),
        (
            "/api/v2/search/tag/span.%22with%20blank%22/values",
            "span.%22with%20blank%22",
        ),
        ("/api/v2/search/tag/.a%23b/values", "resource.a%23b"),
        // As Go writes them.
        ("/api/v2/search/tag/.a/b;c/values", "resource.a%2Fb%3Bc"),
        ("/api/v2/search/tag/.a/b%23c/values", "resource.a%2Fb%23c"),
        (
            "/api/v2/search/tag/span.a;b%3Fc%25/values",
            "span.a%3Bb%3Fc%25",
        ),
        ("//api/v2/search/tag/name/values", "name"),
        ("/api/v2/search/tag/name/values/", "name"),
        ("/api/v2/search/tag/name/values", "name"),
    ] {
        let answer = door.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let seen = door.took_first();
        assert_eq!(
            seen.path(),
            format!("/api/v2/search/tag/{expected}/values"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn of_a_metrics_query_and_its_alias_one_is_forwarded() {
    let door = Door::open().await;
    let range = [
        ("start", "1795229473"),
        ("end", "1795230073"),
        ("step", "60s"),
    ];
    for (params, expected) in [
        (&[("q", "{} | rate()")][..], "{} | rate()"),
        (&[("query", "{} | rate()")], "{} | rate()"),
        (
            &[("query", "{.b} | rate()"), ("q", "{.a} | rate()")],
            "{.a} | rate()",
        ),
    ] {
        for path in ["/api/metrics/query_range", "/api/metrics/query"] {
            let mut all = params.to_vec();
            all.extend(range);
            all.extend([("skip_ast_transformations", "all"), ("nonsense", "1")]);
            let answer = door.ask(&Ask::get(path, &all)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let seen = door.upstream.take_one();
            assert_eq!(only_query(&seen), format!("{STAGE} | {expected}"));
            assert_eq!(seen.param("query"), Vec::<String>::new());
            let mut known = vec!["q", "start", "end"];
            if path.ends_with("query_range") {
                known.push("step");
            }
            assert_eq!(names(&seen), known);
            assert_eq!(
                (seen.path(), seen.header("accept")),
                (path, Some("application/json"))
            );
        }
    }
}

#[tokio::test]
async fn a_trace_is_asked_for_without_a_filter() {
    let door = Door::open().await;
    let id = trace_id("1");
    let answer = door
        .get(&format!("/api/traces/{id}?start=10&end=20&x=y"))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        door.upstream.take_one().target,
        format!("/api/traces/{id}?start=10&end=20")
    );
    let answer = door
        .get(&format!(
            "/api/v2/traces/{id}?keep_hierarchy=true&match_depth=-1"
        ))
        .await;
    assert_eq!(answer.status, 200);
    let target = door.upstream.take_one().target;
    assert_eq!(target, format!("/api/v2/traces/{id}?span_pruning=false"));
}

/// Paths that Tempo's router cleans up, and so reads otherwise than a proxy might.
#[tokio::test]
async fn odd_path_is_forwarded_as_parsed_or_refused() {
    let door = Door::open().await;
    let id = trace_id("2");
    for path in [
        format!("/api//traces/{id}"),
        format!("/api/./traces/{id}"),
        format!("//api/traces/{id}"),
        format!("/api/traces/{id}/"),
    ] {
        let answer = door.get(&path).await;
        assert_eq!(answer.status, 404, "another's trace, {path}");
        let seen = door.upstream.take_one();
        assert_eq!(seen.path(), format!("/api/traces/{id}"), "{path}");
    }
    for path in [
        format!("/api/tr%61ces/{id}"),
        format!("/api%2Ftraces%2F{id}"),
        format!("/api/search/../traces/{id}"),
        format!("/api/search/%2e%2e/traces/{id}"),
        format!("/api/traces/{id}%00"),
        format!("/api/traces/{id};x"),
        format!("/api\\traces\\{id}"),
        format!("/API/traces/{id}"),
        format!("/querier/api/traces/{id}"),
        format!("/tempo/api/traces/{id}"),
        "/api/v2/search/tag/x%2Fvalues".to_owned(),
        "/api/v2/search/tag/../../traces/values".to_owned(),
    ] {
        let authorization = format!("Bearer {}", door.proxy.signer.tenant("A"));
        let request = raw::request("GET", &path, &[("Authorization", &authorization)], b"");
        let answer = raw::exchange(door.proxy.authority(), &request).await;
        assert!(
            !answer.text().contains("SECRET"),
            "{path}: {}",
            answer.text()
        );
        assert!(
            [400, 403, 404].contains(&answer.status),
            "{path}: {}",
            answer.head
        );
        for seen in door.upstream.take() {
            assert_eq!(seen.path(), format!("/api/traces/{id}"), "{path}");
        }
    }
}

#[tokio::test]
async fn other_methods_are_those_of_tempo_and_bodies_never_read() {
    // Of pages nothing is looked up, so that the number of requests is always the same.
    let mask = "traces:\n  search_metadata: mask\n";
    let door = Door::with(|config| config.rest = mask.to_owned()).await;
    let bearer = format!("Bearer {}", door.proxy.signer.tenant("A"));
    let id = trace_id("1");
    for path in [
        "/api/search?q=%7B%7D",
        "/api/v2/search/tags",
        &format!("/api/traces/{id}"),
        "/api/metrics/query_range?q=%7B%7D%20%7C%20rate()",
    ] {
        // Tempo answers any method as if it were GET; clients use these.
        let get = door.get(path).await;
        // Some are sent at once.
        let taken = || {
            let mut seen = door.upstream.take();
            seen.sort_by(|one, other| one.target.cmp(&other.target));
            seen
        };
        let asked = taken();
        for method in ["POST", "HEAD"] {
            let headers = [
                ("Authorization", bearer.as_str()),
                ("Content-Type", "application/x-www-form-urlencoded"),
            ];
            let body = if method == "POST" {
                &b"q=x&tags=y"[..]
            } else {
                b""
            };
            let request = raw::request(method, path, &headers, body);
            let answer = raw::exchange(door.proxy.authority(), &request).await;
            assert_eq!(
                answer.status,
                get.status.as_u16(),
                "{method} {path}: {}",
                answer.head
            );
            let seen = taken();
            assert_eq!(seen.len(), asked.len(), "{method} {path}");
            for (seen, asked) in seen.iter().zip(&asked) {
                assert_eq!((&seen.method, &seen.target), (&asked.method, &asked.target));
                assert!(seen.body.is_empty(), "{method} {path}");
            }
            assert_eq!(answer.body.is_empty(), method == "HEAD", "{method} {path}");
        }
        let request = raw::request("PUT", path, &[("Authorization", &bearer)], b"");
        let answer = raw::exchange(door.proxy.authority(), &request).await;
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"));
        door.assert_nothing_forwarded(path);
    }
}

#[tokio::test]
async fn first_of_several_parameters_counts_as_in_tempo() {
    let door = Door::open().await;
    for (target, expected) in [
        ("/api/search?q=%7B%7D&limit=5&limit=x&q=", "limit=5"),
        ("/api/search?q=%7B%7D&x=1;y=2&limit=5;", ""),
        (
            "/api/metrics/query_range?q=%7B%7D%20%7C%20rate()&step=60s&step=1s",
            "step=60s",
        ),
    ] {
        let answer = door.get(target).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let seen = door.took_first();
        let rest: Vec<String> = seen
            .params()
            .into_iter()
            .filter(|(name, _)| name != "q")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(rest.join("&"), expected, "{target}");
    }
    for target in ["/api/search?q=%7B%7D&q=%7B.a%7D", "/api/search?q=%7B%7D;"] {
        let answer = door.get(target).await;
        assert_plain(target, &answer, 400);
        door.assert_nothing_forwarded(target);
    }
}

#[tokio::test]
async fn several_tenants_are_one_stage() {
    let door = Door::open().await;
    let token = door.proxy.signer.tenants(&["A", "b\"x"]);
    let ask = Ask::get("/api/search", &[("q", "{ .a = 1 || .b = 2 }")]);
    let answer = door.client.ask(&door.proxy.url, &ask, Some(&token)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        only_query(&door.took_first()),
        r#"{ resource.tenant_id =~ "^(?:A\x7cb\"x)$" } | { .a = 1 || .b = 2 }"#
    );
}

#[tokio::test]
async fn all_tenants_are_not_confined() {
    let door = Door::open().await;
    let token = door.proxy.signer.admin();
    let ask = Ask::get("/api/search", &[("q", "{ .a = 1 }"), ("limit", "5")]);
    let answer = door.client.ask(&door.proxy.url, &ask, Some(&token)).await;
    assert!(
        answer.text().contains("B-ROOT-OF-MIXED-SECRET"),
        "{}",
        answer.text()
    );
    let seen = door.upstream.take_one();
    assert_eq!(only_query(&seen), "{ .a = 1 }");
    let foreign = format!("/api/traces/{}", trace_id("2"));
    let answer = door
        .client
        .ask(&door.proxy.url, &Ask::get(&foreign, &[]), Some(&token))
        .await;
    assert!(answer.text().contains("SECRET"), "{}", answer.text());
}

#[tokio::test]
async fn public_endpoints_are_passed() {
    let door = Door::open().await;
    for (path, expected) in [("/api/echo", "echo"), ("/ready", "ready\n")] {
        let answer = door.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text().as_str()),
            (200, expected),
            "{path}"
        );
    }
    let answer = door.get("/api/status/buildinfo").await;
    assert_eq!(answer.json()["version"], "3.0.3");
}
