//! The search API of Prometheus 3.13 and later (`web/api/v1/search.go`): confined by `match[]`, with the
//! metadata of the tenant's own targets. The answers are those that its source writes.

use crate::kit::door::Door;
use crate::kit::upstream::Reply;

const METRIC_NAMES: &str = "/api/v1/search/metric_names";
const LABEL_NAMES: &str = "/api/v1/search/label_names";
const LABEL_VALUES: &str = "/api/v1/search/label_values";
/// For each of the API's paths, a call with all that it needs.
const CALLS: [&str; 3] = [
    "/api/v1/search/metric_names?search%5B%5D=a",
    "/api/v1/search/label_names?search%5B%5D=a",
    "/api/v1/search/label_values?search%5B%5D=a&label=job",
];
const TRAILER: &str = "{\"status\":\"success\",\"has_more\":false}\n";
/// In Prometheus the metadata of any target that has the metric, were they asked for.
const TARGETS: &str = r#"{"status":"success","data":[{"target":{"tenant_id":"globex"},"metric":"load","type":"gauge","help":"of globex","unit":""},{"target":{"tenant_id":"acme"},"metric":"jobs","type":"counter","help":"of acme","unit":""}]}"#;

fn lines(body: &str) -> Reply {
    Reply {
        status: 200,
        headers: vec![(
            "content-type",
            "application/x-ndjson; charset=utf-8".to_owned(),
        )],
        body: body.to_owned().into(),
    }
}

fn results(results: &str) -> Reply {
    lines(&format!("{{\"results\":[{results}]}}\n{TRAILER}"))
}

#[tokio::test]
async fn search_is_confined_by_its_selectors() {
    let door = Door::open().await;
    let tenant = r#"{tenant_id="acme"}"#;
    for path in [METRIC_NAMES, LABEL_NAMES, LABEL_VALUES] {
        door.upstream
            .reply(results(r#"{"name":"jobs","score":0.5}"#));
        // Without a selector the upstream searches all series.
        let without = door.get(&format!("{path}?search[]=jo&label=job")).await;
        let seen = door.assert_sent(path, &without);
        assert_eq!(seen.path(), path);
        assert_eq!(seen.param("match[]"), [tenant], "{path}");
        assert_eq!(seen.param("search[]"), ["jo"], "{path}");
        assert_eq!(
            without.header("content-type"),
            Some("application/x-ndjson; charset=utf-8")
        );
        assert_eq!(
            without.text(),
            format!("{{\"results\":[{{\"name\":\"jobs\",\"score\":0.5}}]}}\n{TRAILER}")
        );
        let form = "match[]=up&match[]={job=\"a\"}&search[]=a&search[]=b&fuzz_threshold=50&\
                    fuzz_alg=jarowinkler&case_sensitive=false&include_score=true&sort_by=alpha&\
                    sort_dir=dsc&start=1&end=2&limit=3&batch_size=4&label=job&cluster_of=globex";
        let posted = door.post(path, form).await;
        let seen = door.assert_sent(path, &posted);
        assert_eq!(seen.method, "POST", "{path}");
        assert_eq!(
            seen.param("match[]"),
            [r#"up{tenant_id="acme"}"#, r#"{tenant_id="acme",job="a"}"#],
            "{path}"
        );
        assert_eq!(seen.param("search[]"), ["a", "b"], "{path}");
        for (name, value) in [
            ("fuzz_threshold", "50"),
            ("fuzz_alg", "jarowinkler"),
            ("case_sensitive", "false"),
            ("include_score", "true"),
            ("sort_by", "alpha"),
            ("sort_dir", "dsc"),
            ("start", "1"),
            ("end", "2"),
            ("limit", "3"),
            ("batch_size", "4"),
        ] {
            assert_eq!(seen.param(name), [value], "{path}");
        }
        assert!(seen.param("cluster_of").is_empty(), "{path}");
        let is_of_values = path == LABEL_VALUES;
        assert_eq!(seen.param("label").len(), usize::from(is_of_values));
    }
    let union = door
        .get(&format!("{METRIC_NAMES}?match[]=a%20or%20b"))
        .await;
    door.assert_refused("a union", &union, &[400, 422]);
    let put = door.send("PUT", METRIC_NAMES, &[], b"").await;
    door.assert_refused("PUT", &put, &[405]);
}

#[tokio::test]
async fn search_shows_metadata_of_own_targets_alone() {
    let door = Door::open().await;
    door.upstream
        .reply_at("/api/v1/targets/metadata", Reply::json(TARGETS));
    door.upstream.reply_at(
        METRIC_NAMES,
        results(r#"{"name":"jobs"},{"name":"load","type":"gauge","help":"of globex"}"#),
    );
    let with = door
        .get(&format!("{METRIC_NAMES}?include_metadata=true"))
        .await;
    assert_eq!(
        with.text(),
        format!(
            "{{\"results\":[{{\"name\":\"jobs\",\"type\":\"counter\",\"help\":\"of acme\"}},{{\"name\":\"load\"}}]}}\n{TRAILER}"
        )
    );
    let seen = door.upstream.take();
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert!(
        seen.iter()
            .all(|seen| seen.param("include_metadata").is_empty())
    );
    assert_eq!(seen[1].param("match_target"), [r#"{tenant_id="acme"}"#]);
    for without in ["", "?include_metadata=0", "?include_metadata="] {
        let answer = door.get(&format!("{METRIC_NAMES}{without}")).await;
        door.assert_sent(without, &answer);
        assert!(!answer.text().contains("help"), "{}", answer.text());
    }
    let invalid = door
        .get(&format!("{METRIC_NAMES}?include_metadata=x"))
        .await;
    door.assert_refused("no boolean", &invalid, &[400]);
    assert!(
        invalid
            .text()
            .contains(r#"invalid include_metadata \"x\": must be boolean"#),
        "{}",
        invalid.text()
    );
}

#[tokio::test]
async fn texts_of_the_store_in_a_search_are_scrubbed() {
    let door = Door::open().await;
    let body = "{\"results\":[{\"name\":\"a\"}],\"warnings\":[\"block of globex\"]}\n\
                {\"status\":\"error\",\"errorType\":\"internal\",\"error\":\"block of globex\"}\n";
    for call in CALLS {
        door.upstream.reply(lines(body));
        let answer = door.get(call).await;
        door.assert_sent(call, &answer);
        let text = answer.text();
        assert!(!text.contains("globex"), "{call}: {text}");
        assert!(
            text.contains(r#"{"status":"error","errorType":"internal""#),
            "{text}"
        );
    }
}

#[tokio::test]
async fn errors_before_a_search_are_those_of_the_store() {
    let door = Door::open().await;
    for (status, kind, text, shown) in [
        (503, "unavailable", "search API disabled", true),
        (422, "execution", "unavailable with Prometheus Agent", true),
        (
            400,
            "bad_data",
            "too many search[] terms: got 33, maximum is 32",
            true,
        ),
        (
            400,
            "bad_data",
            "invalid fuzz_threshold \\\"x\\\": must be 0-100",
            true,
        ),
        (
            400,
            "bad_data",
            "limit 9 exceeds the configured maximum (5, see --web.search.max-limit)",
            true,
        ),
        (
            400,
            "bad_data",
            "missing required parameter \\\"label\\\"",
            true,
        ),
        (500, "internal", "block of globex", false),
    ] {
        let body = format!(r#"{{"status":"error","errorType":"{kind}","error":"{text}"}}"#);
        door.upstream.reply(Reply {
            status,
            ..Reply::json(&body)
        });
        for call in CALLS {
            let answer = door.get(call).await;
            assert_eq!(answer.status, status, "{call}: {text}");
            assert_eq!(
                answer.text().contains(text),
                shown,
                "{call}: {}",
                answer.text()
            );
        }
    }
    // Thanos, and Prometheus before 3.13.
    door.upstream.reply(Reply {
        status: 404,
        headers: vec![("content-type", "text/plain".to_owned())],
        body: "404 page not found\n".into(),
    });
    for call in CALLS {
        let answer = door.get(call).await;
        assert_eq!(answer.status, 404, "{call}");
        assert_eq!(answer.json().unwrap()["errorType"], "not_found", "{call}");
    }
}

#[tokio::test]
async fn search_answer_of_another_form_is_not_passed_on() {
    let door = Door::open().await;
    for reply in [
        Reply::json("{\"results\":[{\"name\":\"globex\"}]}"),
        lines("<html>globex"),
        lines(""),
        lines("{\"results\":[{\"globex\":1}]}\n"),
        lines("{\"results\":[]}\n{\"status\":\"globex"),
    ] {
        door.upstream.reply(reply.clone());
        for call in CALLS {
            let answer = door.get(call).await;
            assert_eq!(answer.status, 502, "{call}: {reply:?}");
            assert!(!answer.text().contains("globex"), "{call}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn search_of_a_tenant_with_a_range_limit_is_of_an_hour_by_default() {
    for (limit, is_sent) in [("30m", false), ("2h", true)] {
        let door = Door::with(|setup| {
            setup.rest = format!("tenant_limits: {{default: {{max_range: {limit}}}}}\n");
        })
        .await;
        door.upstream.reply(results(""));
        for call in CALLS {
            let answer = door.get(call).await;
            if is_sent {
                door.assert_sent(call, &answer);
            } else {
                door.assert_refused(call, &answer, &[422]);
            }
            let given = door.get(&format!("{call}&start=1000&end=1060")).await;
            door.assert_sent(call, &given);
        }
    }
}
