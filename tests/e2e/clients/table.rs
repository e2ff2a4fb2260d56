//! The requests, by client. To add one, add a row.

use super::row::Row;

/// What the HTTP/2 library refuses.
const NOT_HTTP2: &str = "not a valid HTTP/2 request; percent-encode";

/// The requests, about this moment (Unix seconds).
pub fn rows(time: i64) -> Vec<Row> {
    let mut rows = bodies_that_say_nothing(time);
    rows.extend(given_twice(time));
    rows.extend(form_types(time));
    rows.extend(raw_characters(time));
    rows.extend(unreadable_parameters(time));
    rows.extend(paths(time));
    rows.extend(refused(time));
    rows
}

fn query(time: i64) -> String {
    format!("/api/v1/query?query=up&time={time}")
}

fn range(time: i64) -> String {
    let (start, end) = (time - 3600, time);
    format!("/api/v1/query_range?query=up&start={start}&end={end}&step=60")
}

/// A body that Go ignores is ignored.
fn bodies_that_say_nothing(time: i64) -> Vec<Row> {
    let (query, range) = (query(time), range(time));
    let json = "application/json";
    vec![
        Row::get("any client", &query),
        Row::get("nginx in front: GET in chunks", &query).chunked(""),
        Row::get("nginx in front: GET in chunks", &range).chunked(""),
        Row::get("a GET with an empty body", &query).sized(""),
        Row::get("axios: a GET with JSON", &query).typed(json, "{}"),
        Row::get("axios: a GET with JSON", "/api/v1/labels").typed(json, "null"),
        Row::get("a GET with a form", &query).typed(
            "application/x-www-form-urlencoded",
            "query=nonexistent&time=1",
        ),
        Row::get("a GET with compressed JSON", &query)
            .typed(json, "\u{1}\u{2}")
            .header("Content-Encoding", "gzip"),
        Row::get("a GET with a type and no body", &query).header("Content-Type", json),
        Row::post("vmalert: all in the URL", &query).sized(""),
        Row::post("OpenCost: no body", &query),
        Row::post("OpenCost behind a hop: chunks", &query).chunked(""),
        Row::post("OpenCost behind a hop: chunks", &range).chunked(""),
        Row::post("fetch: JSON and a URL", &query).typed(json, "{}"),
        Row::post("fetch: JSON and a URL", &query)
            .header("Content-Type", json)
            .chunked("{}"),
        Row::post("curl -d with text", &query).typed("text/plain", "hello"),
        Row::post("no type", &query).sized("query=nonexistent"),
        Row::post("an empty type", &query).typed("", "query=nonexistent"),
        Row::post("an octet stream", &range).typed("application/octet-stream", "\u{0}\u{1}"),
        Row::post("labels with JSON", "/api/v1/labels").typed(json, "{}"),
        Row::post(
            "series with JSON",
            &format!("/api/v1/series?match[]=up&end={time}"),
        )
        .typed(json, "{}"),
        Row::form("an empty form", &query, ""),
        Row::form("a form of separators", &query, "&&"),
    ]
}

/// Of what is given twice, the form's counts before the URL's, and then the first.
fn given_twice(time: i64) -> Vec<Row> {
    let (query, range) = (query(time), range(time));
    let mut rows = vec![
        Row::form(
            "Grafana: custom parameters beside a query timeout",
            "/api/v1/query_range?max_source_resolution=5m&timeout=60s",
            &format!(
                "query=up&start={}&end={time}&step=60&timeout=30s",
                time - 3600
            ),
        ),
        Row::form(
            "time twice",
            "/api/v1/query?time=1",
            &format!("query=up&time={time}"),
        ),
        Row::form(
            "step twice",
            "/api/v1/query_range?step=7",
            &format!("query=up&start={}&end={time}&step=60", time - 3600),
        ),
        Row::form(
            "an empty query beside a full one",
            "/api/v1/query?query=",
            &format!("query=up&time={time}"),
        ),
        Row::get(
            "an empty query behind a full one",
            &format!("{query}&query="),
        ),
        Row::get("the same query twice", &format!("{query}&query=up")),
        Row::form(
            "Grafana's repetition: all of it twice",
            &query,
            &format!("query=up&time={time}"),
        ),
        Row::get(
            "match[] twice",
            &format!("/api/v1/series?match[]=up&match[]=up&end={time}"),
        ),
        Row::form(
            "match[] in the URL and the form",
            "/api/v1/series?match[]=up",
            &format!("match[]=queue_depth&end={time}"),
        ),
        Row::get("a step twice", &format!("{range}&step=30")),
        Row::get("a start twice", &format!("{range}&start=1")),
        Row::get(
            "a limit of labels twice",
            &format!("/api/v1/labels?limit=2&limit=x&end={time}"),
        ),
        Row::get(
            "a limit of metadata twice",
            "/api/v1/metadata?limit=2&limit=1",
        ),
    ];
    for (name, first, second) in [
        ("timeout", "30s", "60s"),
        ("timeout", "30s", ""),
        ("limit", "2", "x"),
        ("stats", "", "all"),
        ("lookback_delta", "5m", "1m"),
        ("dedup", "true", "false"),
        ("partial_response", "true", "false"),
        ("nocache", "1", "2"),
    ] {
        rows.push(Row::get(
            "twice in the URL",
            &format!("{query}&{name}={first}&{name}={second}"),
        ));
        rows.push(Row::form(
            "in the URL and the form",
            &format!("/api/v1/query?{name}={second}"),
            &format!("query=up&time={time}&{name}={first}"),
        ));
    }
    rows
}

/// What a form is called, and how it is written.
fn form_types(time: i64) -> Vec<Row> {
    let form = format!("query=up&time={time}");
    let parts = |lines: &[(&str, &str)]| {
        let part = |(head, value): &(&str, &str)| format!("--x\r\n{head}\r\n\r\n{value}\r\n");
        let parts: String = lines.iter().map(part).collect();
        format!("{parts}--x--\r\n")
    };
    let time = time.to_string();
    let curl = parts(&[
        ("Content-Disposition: form-data; name=\"query\"", "up"),
        ("Content-Disposition: form-data; name=\"time\"", &time),
    ]);
    let mut rows = Vec::new();
    for parameters in [
        ";",
        "; ",
        "; charset=utf-8",
        ";charset=UTF-8",
        "; charset=utf8",
        "; charset=\"utf-8\"",
        "; charset=ISO-8859-1",
        "; charset=us-ascii",
        "; charset=windows-1252;",
        "; charset=utf-8; boundary=x",
        "; charset",
    ] {
        let form_type = format!("application/x-www-form-urlencoded{parameters}");
        rows.push(Row::post("Java's and .NET's clients", "/api/v1/query").typed(&form_type, &form));
    }
    for coding in ["", "identity", "Identity", "identity, identity"] {
        rows.push(
            Row::form("a proxy that names no coding", "/api/v1/query", &form)
                .header("Content-Encoding", coding),
        );
    }
    let multipart = "multipart/form-data; boundary=x";
    rows.extend([
        Row::form("a form in chunks", "/api/v1/query", "")
            .chunked(&form),
        Row::post("any case", "/api/v1/query")
            .typed("Application/X-WWW-Form-URLEncoded", &form),
        Row::post("two types, the same", "/api/v1/query")
            .typed("application/x-www-form-urlencoded", &form)
            .header("Content-Type", "application/x-www-form-urlencoded"),
        Row::form("UTF-8 as it is", "/api/v1/query", &format!("query=odd_labels{{name=\"ünï ☃ {{x}}\"}}&time={time}")),
        Row::post("curl -F", "/api/v1/query").typed(multipart, &curl),
        Row::post("curl -F in chunks", "/api/v1/query")
            .header("Content-Type", multipart)
            .chunked(&curl),
        Row::post("curl -F to labels", "/api/v1/labels").typed(
            multipart,
            &parts(&[("Content-Disposition: form-data; name=\"match[]\"", "queue_depth")]),
        ),
        Row::post("a quoted boundary", "/api/v1/query")
            .typed("multipart/form-data; boundary=\"x\"", &curl),
        Row::post("a part with a type", "/api/v1/query?time=1").typed(
            multipart,
            &parts(&[(
                "Content-Disposition: form-data; name=\"query\"\r\nContent-Type: text/plain; charset=utf-8",
                "vector(1)",
            )]),
        ),
        Row::post("parts behind a URL", &query(time.parse().expect("a number"))).typed(
            multipart,
            &parts(&[("Content-Disposition: form-data; name=\"time\"", "1")]),
        ),
        Row::post("series in parts, which it does not read", "/api/v1/series")
            .typed(multipart, &parts(&[("Content-Disposition: form-data; name=\"match[]\"", "up")]))
            .refused(415, "send them as application/x-www-form-urlencoded"),
    ]);
    rows
}

/// `curl -g`, shells, `fmt.Sprintf`.
fn raw_characters(time: i64) -> Vec<Row> {
    let window = format!("time={time}");
    let mut rows = Vec::new();
    for query in [
        "up{job=\"api\"}",
        "up{job=~\"a|b.*\"}",
        "up>0",
        "up<bool(2)",
        "up>=bool+0",
        "{__name__=\"up\"}",
        "\"text\"",
    ] {
        let target = format!("/api/v1/query?query={query}&{window}");
        let row = Row::get("curl -g", &target);
        rows.push(if query.contains(['"', '<', '>']) {
            row.refused_on_http2(400, NOT_HTTP2)
        } else {
            row
        });
    }
    rows.extend([
        Row::get(
            "curl -g",
            &format!("/api/v1/query?{window}&query=up{{job=\"api\"}}"),
        )
        .refused_on_http2(400, NOT_HTTP2),
        Row::get(
            "curl -g",
            "/api/v1/label/job/values?match[]=up{job=\"api\"}",
        )
        .refused_on_http2(400, NOT_HTTP2),
        Row::get("curl -g", "/federate?match[]={__name__=\"nonexistent\"}")
            .refused_on_http2(400, NOT_HTTP2),
        Row::post(
            "curl -g -X POST",
            &format!("/api/v1/query?query=up{{job=\"api\"}}&{window}"),
        )
        .refused_on_http2(400, NOT_HTTP2),
        Row::get(
            "a comment",
            &format!("/api/v1/query?{window}&query=up#+all"),
        )
        .on_http1_only(),
        Row::get(
            "curl -g",
            &format!("/api/v1/query?query=up[5m]|`^\\&{window}"),
        ),
        Row::get(
            "curl -g",
            &format!("/api/v1/query?query=rate(metric_total{{}}[5m])&{window}"),
        ),
        Row::get(
            "UTF-8 as it is",
            &format!("/api/v1/query?query=odd_labels{{name='ünï+☃+{{x}}'}}&{window}"),
        ),
        Row::get(
            "brackets, escaped and not",
            &format!("/api/v1/series?match%5B%5D=up&match[]=queue_depth&end={time}"),
        ),
    ]);
    rows
}

/// Go drops what it cannot read, and most handlers go on.
fn unreadable_parameters(time: i64) -> Vec<Row> {
    let query = query(time);
    vec![
        Row::get("a semicolon behind it", &format!("{query}&;")),
        Row::get("another's parameter", &format!("{query}&x=1;y=2")),
        Row::get("a bad escape elsewhere", &format!("{query}&x=%zz")),
        Row::get("no text elsewhere", &format!("{query}&x=%ff")),
        Row::get("no value", &format!("{query}&x&&=&y=")),
        Row::get(
            "a bad escape in labels",
            &format!("/api/v1/labels?end={time}&x=%zz"),
        ),
        Row::get(
            "a bad escape in series",
            &format!("/api/v1/series?match[]=up&end={time}&x=%zz"),
        )
        .refused(400, "two hexadecimal digits"),
    ]
}

/// A base address that ends in a slash.
fn paths(time: i64) -> Vec<Row> {
    let query = query(time);
    let behind = |path: &str| query.replace("/api/v1/query", path);
    let form = format!("query=up&time={time}");
    vec![
        Row::get("KEDA: a base address with a slash", &format!("/{query}")).answered_as(&query),
        Row::get("two of them", &behind("/api//v1//query")).answered_as(&query),
        Row::get("a dot", &behind("/./api/v1/query")).answered_as(&query),
        Row::get("a slash behind it", &behind("/api/v1/query/")).answered_as(&query),
        Row::get("both", &behind("//api/v1/query//")).answered_as(&query),
        Row::form("a form", "//api/v1/query", &form).answered_as(&query),
        Row::form("a form", "/api/v1/query/", &form).answered_as(&query),
        Row::get("labels", "/api/v1/labels/").answered_as("/api/v1/labels"),
        Row::get("values", "//api/v1/label/job/values/").answered_as("/api/v1/label/job/values"),
        Row::get("an escaped letter", &behind("/api/v1/%71uery")),
    ]
}

/// What is refused, and says what to do.
fn refused(time: i64) -> Vec<Row> {
    let query = query(time);
    let form = format!("query=up&time={time}");
    vec![
        Row::get("two queries", &format!("{query}&query=queue_depth"))
            .refused(400, "more than once, with different values; give it once"),
        Row::form("two queries", &query, "query=queue_depth")
            .refused(400, "more than once, with different values; give it once"),
        Row::get(
            "a semicolon in a query",
            &format!("/api/v1/query?time={time}&query=up;"),
        )
        .refused(400, "%3B"),
        Row::form("a compressed form", "/api/v1/query", &form)
            .header("Content-Encoding", "gzip")
            .refused(415, "without Content-Encoding"),
        Row::post("JSON alone", "/api/v1/query")
            .typed("application/json", "{\"query\":\"up\"}")
            .refused(415, "send them as application/x-www-form-urlencoded"),
        Row::get(
            "a space in the URL",
            &format!("/api/v1/query?query=up + up&time={time}"),
        )
        .refused(400, "not valid HTTP/1.1; percent-encode")
        .on_http1_only(),
    ]
}
