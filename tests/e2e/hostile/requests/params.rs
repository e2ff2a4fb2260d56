//! Q and L: parameters and bodies, and the queries in them.

use std::fmt::Write as _;

use crate::kit::client::{encode_form, escape};
use crate::kit::door::{Door, FORM, REFUSALS};

const CONFINED: &str = r#"up{tenant_id="acme"}"#;
const KNOWN: [&str; 9] = [
    "query", "match[]", "time", "start", "end", "step", "timeout", "limit", "dedup",
];

#[tokio::test]
async fn q1_q2_query_is_forwarded_once_in_one_parameter() {
    let door = Door::open().await;
    let answer = door.get("/api/v1/query?query=up&query=secret").await;
    door.assert_refused("Q1 GET", &answer, &[400]);
    let answer = door.post("/api/v1/query", "query=up&query=secret").await;
    door.assert_refused("Q1 POST", &answer, &[400]);
    let answer = door.get("/api/v1/query?query=up&%71uery=secret").await;
    door.assert_refused("Q1 escaped name", &answer, &[400]);
    // What only bounds the answer is read as Go reads it: the form's, then the first.
    let answer = door
        .get("/api/v1/query_range?query=up&start=1&start=2&end=3&step=1")
        .await;
    let seen = door.assert_sent("Q1 start", &answer);
    assert_eq!(seen.param("start"), ["1"]);
    let answer = door
        .post("/api/v1/query?timeout=60s", "query=up&timeout=30s")
        .await;
    let seen = door.assert_sent("Q2 timeout", &answer);
    assert_eq!(seen.param("timeout"), ["30s"]);
    let answer = door.post("/api/v1/query?query=", "query=up").await;
    let seen = door.assert_sent("Q2 an empty query", &answer);
    assert_eq!(seen.param("query"), [CONFINED]);
    let answer = door.post("/api/v1/query?query=secret", "query=up").await;
    door.assert_refused("Q2", &answer, &[400]);
    let answer = door.post("/api/v1/query?time=5", "query=up").await;
    let seen = door.assert_sent("Q2 split", &answer);
    assert_eq!(
        (seen.param("query"), seen.param("time")),
        (vec![CONFINED.into()], vec!["5".into()])
    );
    assert!(
        !seen.target.contains('?') || seen.body.is_empty(),
        "Q2: all parameters are to be in one place: {} {:?}",
        seen.target,
        seen.body
    );
    // Grafana repeats a request with its body merged into the URL.
    let answer = door.post("/api/v1/query?query=up", "query=up").await;
    let seen = door.assert_sent("Q2 the same twice", &answer);
    assert_eq!(seen.param("query"), [CONFINED]);
}

#[tokio::test]
async fn q3_q4_every_selector_is_confined_and_none_means_the_tenants() {
    let door = Door::open().await;
    door.upstream.reply(crate::kit::upstream::Reply::json(
        r#"{"status":"success","data":[]}"#,
    ));
    let own = r#"{tenant_id="acme"}"#;
    for path in ["/api/v1/labels", "/api/v1/label/job/values"] {
        let answer = door.get(path).await;
        assert_eq!(
            door.assert_sent(path, &answer).param("match[]"),
            [own],
            "Q3 {path}"
        );
        for other in [
            "match[0]=secret",
            "Match[]=secret",
            "match=secret",
            "match[][]=secret",
        ] {
            let answer = door.get(&format!("{path}?{other}")).await;
            let seen = door.assert_sent(other, &answer);
            assert_eq!(
                seen.params(),
                [("match[]".to_owned(), own.to_owned())],
                "Q4 {other}"
            );
        }
    }
    let answer = door
        .post("/api/v1/series?match[]=up", "match%5B%5D=secret&match[]=x")
        .await;
    let mut selectors = door
        .assert_sent("Q3 URL and body", &answer)
        .param("match[]");
    selectors.sort();
    let expected = [
        r#"secret{tenant_id="acme"}"#,
        CONFINED,
        r#"x{tenant_id="acme"}"#,
    ];
    assert_eq!(selectors, expected);
    for path in ["/api/v1/series", "/api/v1/series?start=1"] {
        let answer = door.get(path).await;
        for seen in door.upstream.take() {
            assert!(
                seen.param("match[]")
                    .iter()
                    .all(|selector| selector.contains(own)),
                "{path}"
            );
        }
        assert!(
            [200, 400].contains(&answer.status),
            "{path}: {}",
            answer.head
        );
    }
    let answer = door.get("/federate").await;
    for seen in door.upstream.take() {
        let selectors = seen.param("match[]");
        assert!(
            selectors
                .iter()
                .all(|selector| selector.contains("tenant_id")),
            "{selectors:?}"
        );
    }
    assert!([200, 400].contains(&answer.status), "{}", answer.head);
    for not_one in [
        "up,secret",
        "up secret",
        "up or secret",
        "sum(up)",
        "up[5m]",
        "up offset 5m",
        "1",
    ] {
        let answer = door
            .get(&format!("/api/v1/series?match[]={}", escape(not_one)))
            .await;
        door.assert_refused(&format!("Q3 match[]={not_one}"), &answer, &[400]);
    }
}

/// What it is, its headers, the body.
type OddBody<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table for each kind of body")]
async fn q5_q6_q7_q8_bodies_have_one_reading_or_none() {
    let door = Door::open().await;
    // A pair that Go drops, and that names nothing that matters under any reading, is dropped.
    for form in ["query=up&a=1;b=2", "query=up&;"] {
        let answer = door.post("/api/v1/query", form).await;
        let seen = door.assert_sent(form, &answer);
        assert_eq!(
            seen.params(),
            [("query".to_owned(), CONFINED.to_owned())],
            "Q5 {form}"
        );
    }
    for form in [
        "a=1;query=secret",
        "query=up;query=secret",
        "query=up;",
        "query=a;b",
    ] {
        let answer = door.post("/api/v1/query", form).await;
        door.assert_refused(&format!("Q5 POST {form}"), &answer, &[400]);
        let answer = door.get(&format!("/api/v1/query?{form}")).await;
        door.assert_refused(&format!("Q5 GET {form}"), &answer, &[400]);
    }
    let multipart =
        "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nsecret\r\n--b--\r\n";
    let types: [OddBody<'_>; 6] = [
        (
            "Q7 JSON",
            &[("Content-Type", "application/json")],
            "{\"query\":\"secret\"}",
        ),
        ("Q7 text", &[("Content-Type", "text/plain")], "query=secret"),
        ("Q7 missing", &[], "query=secret"),
        ("Q7 empty", &[("Content-Type", "")], "query=secret"),
        (
            "Q7 list",
            &[(
                "Content-Type",
                "application/x-www-form-urlencoded, text/plain",
            )],
            "query=secret",
        ),
        (
            "Q7 prefix",
            &[("Content-Type", "application/x-www-form-urlencoded-x")],
            "query=secret",
        ),
    ];
    // Go reads no parameters from such a body. Alone it is refused, beside a URL it is ignored.
    for (what, headers, body) in types {
        let answer = door
            .send("POST", "/api/v1/query", headers, body.as_bytes())
            .await;
        door.assert_refused(what, &answer, &[415]);
        let target = "/api/v1/query?query=up";
        let answer = door.send("POST", target, headers, body.as_bytes()).await;
        let seen = door.assert_sent(&format!("{what}, with a query in the URL"), &answer);
        assert_eq!(
            seen.params(),
            [("query".to_owned(), CONFINED.to_owned())],
            "{what}"
        );
    }
    let twice = [FORM, ("Content-Type", "text/plain")];
    let parts = [("Content-Type", "multipart/form-data; boundary=b")];
    let charset = [(
        "Content-Type",
        "application/x-www-form-urlencoded; charset=utf-16",
    )];
    for (what, headers, body) in [
        ("Q6", &parts[..], multipart),
        ("Q7 the first of two types", &twice, "query=secret"),
        (
            "Q7 a charset that is not the form's",
            &charset,
            "query=secret",
        ),
    ] {
        let answer = door
            .send("POST", "/api/v1/query", headers, body.as_bytes())
            .await;
        let seen = door.assert_sent(what, &answer);
        let confined = CONFINED.replace("up", "secret");
        assert_eq!(seen.params(), [("query".to_owned(), confined)], "{what}");
    }
    let answer = door
        .send(
            "POST",
            "/api/v1/query",
            &charset,
            b"q\0u\0e\0r\0y\0=\0u\0p\0",
        )
        .await;
    assert!(answer.status == 400 || door.upstream.take_one().param("query").is_empty());
    for encoding in ["gzip", "zstd", "br", "deflate", "identity, gzip"] {
        let headers = [FORM, ("Content-Encoding", encoding)];
        let answer = door
            .send("POST", "/api/v1/query", &headers, b"query=up")
            .await;
        door.assert_refused(&format!("Q8 {encoding}"), &answer, &[400, 415]);
    }
    let odd_but_good = [
        "application/x-www-form-urlencoded; charset=UTF-8",
        "Application/X-WWW-Form-Urlencoded",
    ];
    for kind in odd_but_good {
        let answer = door
            .send(
                "POST",
                "/api/v1/query",
                &[("Content-Type", kind)],
                b"query=up",
            )
            .await;
        assert_eq!(door.assert_sent(kind, &answer).param("query"), [CONFINED]);
    }
}

#[tokio::test]
async fn q9_methods_are_those_of_the_endpoint() {
    let door = Door::open().await;
    let answer = door
        .send("GET", "/api/v1/query?query=up", &[FORM], b"query=secret")
        .await;
    let seen = door.assert_sent("Q9 GET with a body", &answer);
    assert_eq!(seen.params(), [("query".to_owned(), CONFINED.to_owned())]);
    assert!(seen.body.is_empty(), "Q9: the body was sent on");
    for method in ["PUT", "PATCH", "DELETE", "TRACE", "QUERY", "get", "POSTX"] {
        let answer = door
            .send(method, "/api/v1/query?query=up", &[FORM], b"query=up")
            .await;
        door.assert_refused(&format!("Q9 {method}"), &answer, &[400, 405]);
        if answer.status == 405 {
            assert!(
                answer
                    .header("allow")
                    .is_some_and(|allow| allow.contains("POST"))
            );
        }
    }
    let answer = door.post("/api/v1/rules", "type=alert").await;
    door.assert_refused("Q9 POST rules", &answer, &[405]);
    let answer = door.post("/federate", "match[]=up").await;
    door.assert_refused("Q9 POST federate", &answer, &[405]);
    for header in [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
    ] {
        let headers = [FORM, (header, "DELETE")];
        let target = "/api/v1/query?_method=DELETE";
        let answer = door.send("POST", target, &headers, b"query=up").await;
        let seen = door.assert_sent(header, &answer);
        assert!(["GET", "POST"].contains(&seen.method.as_str()), "{header}");
        assert_eq!(
            (seen.header(header), seen.param("_method")),
            (None, vec![]),
            "Q9 {header}"
        );
    }
}

#[tokio::test]
async fn q10_too_much_is_refused() {
    let door = Door::open().await;
    let long = format!("query=up&x={}", "x".repeat(3 << 20));
    let answer = door.post("/api/v1/query", &long).await;
    door.assert_refused("Q10 body over the limit", &answer, &[413]);
    let chunked = [("Transfer-Encoding", "chunked"), FORM];
    let body = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    let answer = door
        .send("POST", "/api/v1/query", &chunked, body.as_bytes())
        .await;
    door.assert_refused("Q10 chunked body over the limit", &answer, &[413]);
    let many = format!("query=up{}", "&a=b".repeat(400_000));
    let answer = door.post("/api/v1/query", &many).await;
    door.assert_refused("Q10 many parameters", &answer, &[400, 413]);
    let big = format!(
        "query={}",
        escape(&format!("up{{a=\"{}\"}}", "x".repeat(1 << 20)))
    );
    let answer = door.post("/api/v1/query", &big).await;
    door.assert_refused("Q10 a megabyte of query", &answer, &[422]);
    let answer = door.get(&format!("/api/v1/query?{big}")).await;
    door.assert_refused("Q10 a megabyte of URL", &answer, &REFUSALS);
    for (open, close) in [
        ("(", ")"),
        ("sum(", ")"),
        ("-", ""),
        ("{", "}"),
        ("[", "]"),
        ("\"", ""),
    ] {
        let deep = format!("{}up{}", open.repeat(10_000), close.repeat(10_000));
        let answer = door
            .post("/api/v1/query", &format!("query={}", escape(&deep)))
            .await;
        door.assert_refused(&format!("Q10 10 000 times {open}"), &answer, &[422]);
    }
    let wide = vec!["up"; 5000].join("+");
    let answer = door
        .post("/api/v1/query", &format!("query={}", escape(&wide)))
        .await;
    door.assert_refused("Q10 5000 selectors", &answer, &[422]);
    let answer = door.get("/api/v1/query?query=up").await;
    door.assert_sent("it lives", &answer);
}

#[tokio::test]
async fn q11_bad_escapes_and_bad_text_are_refused() {
    let door = Door::open().await;
    for form in [
        "query=%zz",
        "query=up%",
        "query=up%f",
        "query=%ff%fe",
        "query=%C3%28",
        "query=up%00",
        "query=up&time=%00",
        "query=up&timeout=1%00s",
        "query=%ED%A0%80",
    ] {
        let answer = door.post("/api/v1/query", form).await;
        door.assert_refused(&format!("Q11 POST {form}"), &answer, &[400]);
        let answer = door.get(&format!("/api/v1/query?{form}")).await;
        door.assert_refused(&format!("Q11 GET {form}"), &answer, &[400]);
    }
    let answer = door
        .send("POST", "/api/v1/query", &[FORM], b"query=\xff")
        .await;
    door.assert_refused("Q11 raw bytes", &answer, &[400]);
    // What is not read may hold anything.
    for form in ["%zz=1&query=up", "query=up&x=%zz", "query=up&x=%ff"] {
        let answer = door.post("/api/v1/query", form).await;
        let seen = door.assert_sent(form, &answer);
        assert_eq!(
            seen.params(),
            [("query".to_owned(), CONFINED.to_owned())],
            "Q11 {form}"
        );
    }
}

#[tokio::test]
async fn q12_other_parameters_are_dropped_or_refused() {
    let door = Door::open().await;
    for extra in [
        "extra_filters[]={tenant_id=\"beta\"}",
        "extra_label=tenant_id=beta",
        "storeMatch[]={tenant_id=\"beta\"}",
        "replicaLabels[]=tenant_id",
        "dedup=false",
        "engine=thanos",
        "X-Scope-OrgID=beta",
        "tenant=beta",
        "tenant_id=beta",
        "shard_info={}",
        "analyze=true",
        "explain=true",
        "Query=secret",
        "query[]=secret",
        "query.x=secret",
        "__proto__=1",
    ] {
        let (name, value) = extra.split_once('=').unwrap();
        let pairs = [("query", "up"), (name, value)].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let form = encode_form(&pairs);
        let mut known = KNOWN.to_vec();
        known.push("engine");
        let answer = door.get(&format!("/api/v1/query?{form}")).await;
        door.assert_refused_or_confined(&format!("Q12 {extra}"), &answer, &known);
        let answer = door.post("/api/v1/query", &form).await;
        door.assert_refused_or_confined(&format!("Q12 POST {extra}"), &answer, &known);
    }
}

#[tokio::test]
async fn l_queries_are_confined_everywhere_or_refused() {
    let door = Door::open().await;
    let confined = [
        ("L1", "a + b", "a{T} + b{T}"),
        ("L1", "topk(scalar(b), a)", "topk(scalar(b{T}), a{T})"),
        (
            "L1",
            "sum_over_time(b[5m:1m] offset 1m) @ 5",
            "sum_over_time(b{T}[5m:1m] offset 1m) @ 5",
        ),
        ("L7", "1+1", "1+1"),
        ("L7", "vector(1)", "vector(1)"),
        ("L7", "time()", "time()"),
        (
            "L8",
            r#"count_values("tenant_id", b)"#,
            r#"count_values("tenant_id", b{T})"#,
        ),
        (
            "L8",
            r#"label_replace(b,"tenant_id","x","","")"#,
            r#"label_replace(b{T},"tenant_id","x","","")"#,
        ),
    ];
    for (id, query, expected) in confined {
        let answer = door
            .post("/api/v1/query", &format!("query={}", escape(query)))
            .await;
        let seen = door
            .assert_sent(&format!("{id} {query}"), &answer)
            .param("query");
        assert_eq!(
            seen,
            [expected.replace("{T}", r#"{tenant_id="acme"}"#)],
            "{id} {query}"
        );
    }
    // Kept and intersected: whose value it is stays to be read, and ours is there as well.
    for (id, query) in [
        ("L2", r#"up or {tenant_id="beta"}"#),
        ("L2", r#"{tenant_id=~".+"}"#),
        ("L2", r#"up{tenant_id!="acme"}"#),
        ("L2", r#"up{tenant_id=""}"#),
        ("L3", r#"up{tenant_id="acme",tenant_id="beta"}"#),
        ("L3", r#"up{tenant_id="beta",tenant_id="acme"}"#),
        ("L4", r#"{"tenant_id"="beta"}"#),
        ("L4", r#"{"up","tenant_id"="beta"}"#),
        ("L4", r#"{__name__="up","tenant_id"=~".*"}"#),
    ] {
        let answer = door
            .post("/api/v1/query", &format!("query={}", escape(query)))
            .await;
        let seen = door
            .assert_sent(&format!("{id} {query}"), &answer)
            .param("query");
        let mut count = String::new();
        let selectors = if query.starts_with("up or") { 2 } else { 1 };
        let own = usize::from(query.contains(r#"tenant_id="acme""#));
        write!(count, "{}", seen[0].matches(r#"tenant_id="acme""#).count()).unwrap();
        assert_eq!(
            count,
            (selectors + own).to_string(),
            "{id} {query}: {}",
            seen[0]
        );
    }
    for (id, query) in [
        ("L5", r#"{a="x" or tenant_id="beta"}"#),
        ("L5", r#"up{a="x" or b="y"}"#),
        ("L6", "info(up)"),
        ("L6", "info (up)"),
        ("L6", "info # (\n(up)"),
        ("L6", "sum(info(rate(up[5m])))"),
        ("L9", "up{a"),
        ("L9", "up $ secret"),
        ("L9", "WITH (x = secret) x"),
        ("L9", "\u{feff}up"),
        ("L9", "up{a=\"\u{fffd}\"} \u{1}"),
        ("L9", "up\u{a0}+ secret"),
        ("L9", "'a' \"b"),
        ("L9", "up}"),
        ("L9", "up{a=~\"x\"}}"),
    ] {
        let answer = door
            .post("/api/v1/query", &format!("query={}", escape(query)))
            .await;
        door.assert_refused(&format!("{id} {query}"), &answer, &[400, 422]);
    }
}
