//! What is asked: every endpoint, and every kind of query over the dataset.

use super::ask::{Question, Subject, Version};
use super::generated;
use crate::kit::tempo_data::{Traces, Window};

/// Filters. What acme must not see is named in some: in a private store they are simply empty.
const FILTERS: &[&str] = &[
    "{}",
    "{ }",
    "{ true }",
    "{ false }",
    r#"{ name = "checkout" }"#,
    r#"{ name =~ "GET.*|POST.*" }"#,
    r#"{ name !~ ".*cart" }"#,
    r#"{ span:name = "render" }"#,
    "{ .n > 20 }",
    "{ span.n = 3 || span.n = 4 }",
    "{ span.n >= 3 && span.n < 9 }",
    "{ .n = 3 || .n = 4 && .n = 5 }",
    "{ .n = .rows }",
    "{ .n + 1000 > 1015 }",
    "{ .n * 2 - 1 = 5 }",
    "{ .n % 2 = 0 && .n / 2 > 5 }",
    "{ .n ^ 2 > 400 }",
    "{ -.n < -30 }",
    "{ !(.n > 3) }",
    "{ .n != nil }",
    "{ .missing != nil }",
    "{ .missing = nil }",
    r#"{ resource.service.name = "web" }"#,
    r#"{ resource.service.name =~ ".*database" }"#,
    r#"{ resource.service.name !~ "a.*" }"#,
    r#"{ resource.service.name != "web" }"#,
    r#"{ resource.service.name = "beta-database" }"#,
    r#"{ .service.name = "api" }"#,
    r#"{ resource.k8s.namespace.name = "ns-web" }"#,
    r#"{ resource.deployment.environment = "production" }"#,
    "{ resource.res.replicas = 3 }",
    r#"{ resource.acme.only = "acme secret" }"#,
    r#"{ resource.beta.only = "beta secret" }"#,
    "{ resource.beta.only != nil }",
    r#"{ resource.tenant_id = "acme" }"#,
    r#"{ resource.tenant_id = "beta" }"#,
    r#"{ resource.tenant_id != "acme" }"#,
    r#"{ resource.tenant_id != "beta" }"#,
    r#"{ resource.tenant_id =~ ".*" }"#,
    r#"{ resource.tenant_id =~ "(?i)ACME" }"#,
    "{ resource.tenant_id = nil }",
    "{ resource.tenant_id != nil }",
    r#"{ .tenant_id = "acme" }"#,
    r#"{ .tenant_id = "beta" }"#,
    r#"{ span.tenant_id = "acme" }"#,
    r#"{ event.tenant_id = "acme" }"#,
    r#"{ resource.tenant_id = "acme" || resource.tenant_id = "beta" }"#,
    r#"{ resource.tenant_id = "acme" || resource.tenant_id = "beta" } | { .n % 2 = 0 }"#,
    "{ .n = 3 || true }",
    r#"{ .user = "acme-user-1" }"#,
    r#"{ .user = "beta-user-1" }"#,
    r#"{ .user =~ ".*-user-[12]" }"#,
    r#"{ .user != "acme-user-1" }"#,
    "{ status = error }",
    "{ status != error }",
    "{ status = ok || status = unset }",
    "{ kind = server }",
    "{ kind != client && kind != internal }",
    "{ duration > 100ms }",
    "{ duration < 30ms && .n >= 1000 }",
    "{ duration >= 0.1s && duration <= 1m }",
    "{ span.http.status_code >= 400 }",
    "{ span.http.status_code = 500 && status = error }",
    r#"{ span.http.method = "GET" }"#,
    r#"{ span.http.url =~ "https://acme.*" }"#,
    r#"{ span.http.url =~ "https://beta.*" }"#,
    r#"{ .db.system = "postgresql" }"#,
    r#"{ .db.statement =~ ".*_orders" }"#,
    r#"{ statusMessage = "acme failed" }"#,
    r#"{ statusMessage =~ ".*failed" }"#,
    r#"{ span."with blank" = "a b" }"#,
    r#"{ ."quo\"ted" = "a \"b\" \\ c" }"#,
    r#"{ span."bra{ce}" = "} | { true" }"#,
    r#"{ .ümlaut = "é💥" }"#,
    "{ .plus+minus-star* > 5 }",
    "{ .plus+minus-star*/*a name*/ = 5 }",
    r#"{ .tags = "one" }"#,
    r#"{ .tags = "beta" }"#,
    r#"{ .tags =~ "ac.*" }"#,
    "{ .numbers = 1 }",
    r#"{ .empty = "" }"#,
    r#"{ .name = "no intrinsic" }"#,
    "{ .ratio > 1.5 }",
    "{ .ratio = 2 }",
    "{ .cached = true }",
    "{ .cached }",
    "{ !.cached }",
    "{ .acme.span.only }",
    "{ .beta.span.only }",
    r#"{ event:name = "retry" }"#,
    r#"{ event:name =~ "done.*" }"#,
    r#"{ event:name = "done by beta" }"#,
    "{ event.attempt = 2 }",
    "{ event:timeSinceStart > 1ms }",
    r#"{ link.why = "acme" }"#,
    r#"{ link.why = "beta" }"#,
    r#"{ link:spanID = "00000000000000aa" }"#,
    r#"{ instrumentation:name = "lib.web" }"#,
    r#"{ instrumentation:version = "1.2.3" }"#,
    r#"{ instrumentation.scope.owner = "api" }"#,
    "{ nestedSetParent < 0 }",
    "{ nestedSetParent < 0 && status = error }",
    "{ nestedSetParent >= 0 }",
    "{ nestedSetLeft > 2 }",
    "{ nestedSetRight > 5 }",
    "{ span:childCount > 1 }",
    r#"{ span:parentID != "" }"#,
    // Tempo answers an error when an expression fails on any span it looks at.
    "{ (1 / (.n - 5) = 1) || .n >= 0 }",
    "{ (1 % (.n - 5) = 1) || true }",
    r#"{ .user = "a // b" } // a comment"#,
    "/* { resource.tenant_id = \"beta\" } */ { name = \"checkout\" /* } */ }",
    "{ .n > 3 }\n// the end",
];

/// Every operator between span sets.
const STRUCTURE: [&str; 17] = [
    "&&", "||", ">", "<", ">>", "<<", "~", "!>", "!<", "!>>", "!<<", "!~", "&>", "&<", "&>>",
    "&<<", "&~",
];

const OPERANDS: &[(&str, &str)] = &[
    (r#"{ name = "checkout" }"#, "{ .n > 1000 }"),
    (
        r#"{ resource.service.name = "web" }"#,
        "{ .db.system != nil }",
    ),
    ("{}", "{}"),
    ("{ status = error }", r#"{ name =~ ".*" }"#),
    ("{ .mixed }", "{ .n >= 2 }"),
    (r#"{ resource.tenant_id = "beta" }"#, "{}"),
    ("{}", r#"{ resource.tenant_id = "beta" }"#),
    (
        r#"{ name = "render" }"#,
        r#"({ name = "checkout" } > { name = "price" })"#,
    ),
];

const PIPELINES: &[&str] = &[
    "{} | count() > 3",
    "{} | count() = 5",
    "count() > 3",
    "count() > 0",
    "{} | count() < 5",
    "{ .n > 3 } | count() >= 2",
    "{} | avg(duration) > 50ms",
    "{} | max(.n) >= 1020",
    "{} | min(span.n) < 3",
    "{} | sum(.rows) > 100",
    "avg(.n) > 500",
    "by(resource.service.name)",
    "by(.user)",
    "by(name) | count() > 0",
    "{} | by(resource.service.name)",
    "{} | by(name) | count() > 1",
    "{} | by(status) | max(duration) > 20ms",
    "{} | by(resource.tenant_id)",
    "{} | by(.tenant_id)",
    "{} | by(.n)",
    "{} | by(kind) | coalesce()",
    "{} | by(resource.service.name) | coalesce() | count() > 2",
    "{} | select(span.n)",
    "select(name, span.n)",
    "{} | select(rootName, trace:rootService, traceDuration)",
    "{ .n > 3 } | select(span.user, resource.service.name, status, kind)",
    "{} | select(event:name, event.attempt, link.why, instrumentation:name)",
    "{} | select(resource.tenant_id)",
    "{} | select(.tenant_id, span.tenant_id)",
    "{} | select(nestedSetParent, nestedSetLeft, nestedSetRight)",
    "{} | select(.tags, .numbers, .cached, .ratio)",
    r#"{} | select(span."with blank", ."quo\"ted", .ümlaut)"#,
    r#"{ name = "checkout" } | { .n > 10 }"#,
    "{} | { .n > 1000 } | count() > 0",
    "({ .n > 3 } | count() > 1) && ({ status = error } | count() > 0)",
    "({ .n > 3 } | count() > 1) || ({ status = error } | count() > 0)",
    "({ name = \"checkout\" } | count() > 0) >> ({ .n > 1000 } | count() > 0)",
    "({ true } | count() > 0) || ({ true } | count() > 100)",
    "({} | by(name)) && (count() > 3)",
    "{ .n > 3 } with (most_recent=true)",
    "{} | count() > 3 with (most_recent = true)",
];

/// Conditions on the roots of traces.
const ROOTS: &[&str] = &[
    r#"{ rootName = "x" }"#,
    r#"{ rootServiceName = "web" }"#,
    r#"{ trace:rootName = "x" && .n > 1 }"#,
    r#"{ .n = 2 && trace:rootService = "web" }"#,
    r#"{ rootName = "r" && rootServiceName = "api" }"#,
    r#"{ rootName = "x" && .n > 1 && rootServiceName = "web" }"#,
    r#"{ rootName = "x" && rootServiceName = "api" }"#,
    r#"{ "x" = rootName }"#,
    r#"{ rootName = "beta step 1" }"#,
    r#"{ rootServiceName =~ "acme.*" }"#,
    r#"{ rootServiceName =~ "beta.*" && .n > 0 }"#,
    r#"{ rootName =~ "x|r" && .n < 3 }"#,
    r#"{ rootName =~ "GET.*" && status = error }"#,
    r#"{ rootName =~ ".*" && .n = 1 }"#,
    r#"{ rootName !~ "x|GET.*" }"#,
    r#"{ rootName !~ ".+" }"#,
    r#"{ rootName != "x" }"#,
    r#"{ rootName != "" }"#,
    r#"{ rootServiceName != "web" && .n > 1 }"#,
    r#"{ rootName = "" }"#,
    r#"{ rootServiceName = "" }"#,
    r#"{ rootName > "r" }"#,
    r#"{ rootName <= "r" }"#,
    r#"{ rootName = "x" || rootName = "r" }"#,
    r#"{ (rootName = "x" || rootServiceName = "api") && .n > 1 }"#,
    r#"{ rootName = "x" || .n = 2 }"#,
    r#"{ .n = 2 || rootServiceName = "web" && rootName = "x" }"#,
    r#"{ (.n = 1 && rootName = "x") || (.n = 2 && rootServiceName = "api") }"#,
    r#"{ .n = 3 || (.n = 2 && rootName != "x") }"#,
    r#"{ rootName = "x" && nestedSetParent < 0 }"#,
    r#"{ rootName = "x" && name = "x" }"#,
    r#"{ rootServiceName = "web" && resource.service.name = "web" }"#,
    r#"{ rootName = "x" } && { .n = 2 }"#,
    r#"{ rootName = "x" && .n = 3 } || { rootName = "r" && .n = 2 }"#,
    r#"{ rootName = "x" } | { .n > 1 }"#,
    r#"{ .n > 1 } | { rootServiceName = "web" }"#,
    r#"{ rootName != "x" } | { .n > 1 } | select(name)"#,
    r#"{ .n = 1 || rootName = "x" } | select(resource.service.name, span.n)"#,
    r#"{ rootName = "x" } | by(resource.service.name)"#,
    r#"{ rootName = "x" } | by(name) | count() > 0"#,
    r#"{ rootServiceName = "web" } | count() > 2"#,
    r#"{ rootServiceName =~ "web|api" && .n > 1 } | max(duration) < 1s"#,
    r#"{ rootName = "x" } | by(name) | coalesce()"#,
    r#"({ rootName = "x" } | count() > 1) || ({ .n = 2 } | count() > 0)"#,
    r#"({ rootName != "x" } | { .n > 1 }) && ({ .n > 0 } | { .n > 1 })"#,
    r#"{ rootName = "x" } with (most_recent=true)"#,
    r#"{ rootName /* = "y" } */ = "x" } // the end"#,
];

const ROOTS_STRUCTURE: &[&str] = &[
    r#"{ rootName = "x" } >> { .n > 1 }"#,
    r#"{ rootName = "x" && .n = 1 } > { rootServiceName = "web" }"#,
    r#"{ .n = 3 } !>> { rootName = "x" && .n > 1 }"#,
    r#"{ rootName = "x" && .n = 1 } !> {}"#,
];

const ROOTS_METRICS: &[&str] = &[
    r#"{ rootName = "x" } | rate()"#,
    r#"{ rootServiceName = "web" && .n > 1 } | count_over_time() by(name)"#,
    r#"{ rootName =~ "x|GET.*" && rootServiceName = "web" } | count_over_time() by(resource.service.name)"#,
    r#"{ rootName = "x" || rootName = "r" } | count_over_time()"#,
    r#"{ rootServiceName = "web" } | quantile_over_time(duration, .9)"#,
    r#"({ rootServiceName = "web" } | count_over_time()) / ({} | count_over_time())"#,
    r#"{ rootServiceName = "web" } | by(name) | count() > 1 | rate()"#,
    r#"{ rootName =~ "acme.*" } | compare({ .n = 1 }, 1000)"#,
    r#"{ rootName = "x" } | rate() by(name) | topk(1)"#,
];

/// For the refusals: trace-level intrinsics, and what Tempo refuses as well.
const REFUSED: &[&str] = &[
    "{ rootName = name }",
    "{ rootServiceName != \"web\" } | count() > 1",
    "{ traceDuration > 100ms }",
    "{ trace:duration > 100ms }",
    "{} | by(rootName)",
    "{} | avg(traceDuration) > 0",
];

const BAD: &[&str] = &[
    "{",
    "{ nope }",
    "{ nothing.here = 1 }",
    "{ 1 = \"a\" }",
    "{ .n > }",
    "{ parent.n = 1 }",
    "{ name = 'x' }",
    "{ .n = 1 } | foo()",
    "{} | count() > count()",
    "{} }",
    "",
];

const OLD_SEARCHES: &[&[(&str, &str)]] = &[
    &[("tags", "service.name=web")],
    &[("tags", "service.name=beta-database")],
    &[("tags", "http.method=GET http.status_code=500")],
    &[("tags", "user=acme-user-1")],
    &[("tags", "user=beta-user-1")],
    &[("tags", "service.name=api db.system=postgresql")],
    &[("tags", "name=checkout")],
    &[("tags", "tenant_id=beta")],
    &[("minDuration", "200ms")],
    &[("maxDuration", "100ms")],
    &[("minDuration", "100ms"), ("maxDuration", "200ms")],
    &[("tags", "service.name=web"), ("minDuration", "300ms")],
];

const RANGES: &[&str] = &[
    "{} | rate()",
    "{} | count_over_time()",
    "{ status = error } | rate()",
    "{} | rate() by(name)",
    "{} | count_over_time() by(resource.service.name)",
    "{} | count_over_time() by(resource.service.name, status)",
    "{} | count_over_time() by(span.user)",
    "{} | count_over_time() by(resource.tenant_id)",
    "{} | count_over_time() by(.tenant_id)",
    "{} | count_over_time() by(kind)",
    "{} | count_over_time() by(.cached)",
    "{} | count_over_time() by(.missing)",
    "{} | count_over_time() by(.acme.only, .beta.only)",
    "{} | min_over_time(duration)",
    "{} | max_over_time(duration) by(resource.service.name)",
    "{} | avg_over_time(duration) by(name)",
    "{} | sum_over_time(span.n)",
    "{} | sum_over_time(.rows) by(status)",
    "{} | max_over_time(.n)",
    "{} | quantile_over_time(duration, .5, .9, .99)",
    "{} | quantile_over_time(duration, .9) by(resource.service.name)",
    "{} | histogram_over_time(duration)",
    "{} | histogram_over_time(duration) by(kind)",
    "{ nestedSetParent < 0 } | rate() by(resource.service.name)",
    "{ nestedSetParent < 0 && status = error } | count_over_time()",
    "{ .n > 10 } | rate() | topk(3)",
    "{} | rate() by(name) | topk(1)",
    "{} | rate() by(resource.service.name) | bottomk(1)",
    "{} | count_over_time() by(name) > 5",
    "{} | compare({ status = error }, 1000)",
    r#"{} | compare({ resource.service.name = "web" }, 1000)"#,
    r#"{ .n > 3 } | compare({ resource.tenant_id = "beta" }, 1000)"#,
    "({} | rate()) + ({ status = error } | rate())",
    "({ status = error } | count_over_time()) / ({} | count_over_time())",
    "({} | count_over_time() by(name)) - ({ status = error } | count_over_time() by(name))",
    "({} | count_over_time()) * 2",
    r#"{ resource.tenant_id = "beta" } | rate()"#,
    r#"{ resource.tenant_id != "acme" } | rate() by(resource.tenant_id)"#,
    r#"{ name = "checkout" } >> {} | rate()"#,
    "{ resource.service.name = \"web\" } > {} | count_over_time() by(name)",
    "{ status = error } !>> {} | count_over_time()",
    "{} | by(name) | count() > 1 | rate()",
    "{} | select(name) | rate()",
    "{ (1 / (.n - 5) = 1) || .n >= 0 } | rate()",
];

const BAD_METRICS: &[&str] = &["{}", "{} | rate", "{} | nope()", "{ bad } | rate()", ""];

const REFUSED_METRICS: &[&str] = &[
    "{} | count_over_time() by(rootName)",
    "{} | rate() by(rootServiceName, traceDuration)",
    "{} | max_over_time(traceDuration)",
    "{ rootServiceName != \"web\" } | rate()",
    "{ rootServiceName = \"web\" } | compare({ .n = 1 }, 1000)",
];

const TAGS: &[&str] = &[
    ".n",
    ".user",
    ".service.name",
    ".tenant_id",
    ".beta.only",
    ".cached",
    ".ratio",
    ".tags",
    ".numbers",
    "span.n",
    "span.user",
    "span.http.method",
    "span.http.status_code",
    "span.http.url",
    "span.tenant_id",
    "span.acme.span.only",
    "span.beta.span.only",
    "span.%22with%20blank%22",
    "span.%22bra%7Bce%7D%22",
    "span.%C3%BCmlaut",
    "resource.service.name",
    "resource.k8s.namespace.name",
    "resource.tenant_id",
    "resource.acme.only",
    "resource.beta.only",
    "resource.res.replicas",
    "event.attempt",
    "event.tenant_id",
    "link.why",
    "instrumentation.scope.owner",
    "name",
    "status",
    "kind",
    "statusMessage",
    "span:name",
    "span:status",
    "event:name",
    "instrumentation:name",
    "instrumentation:version",
    "duration",
    "trace:id",
    "span:id",
];

const TAGS_OF_TRACES: &[&str] = &[
    "rootName",
    "rootServiceName",
    "trace:rootName",
    "trace:duration",
];

const TAGS_V1: &[&str] = &[
    "n",
    "user",
    "service.name",
    "tenant_id",
    "http.method",
    "http.status_code",
    "beta.only",
    "acme.only",
    "name",
    "status.code",
    "k8s.namespace.name",
    "missing",
];

/// Conditions that narrow tag answers. Tempo cannot use some of them, and answers for all.
const TAG_FILTERS: &[&str] = &[
    "",
    "{}",
    r#"{ resource.service.name = "web" }"#,
    r#"{ resource.service.name = "web" && span.http.method = "GET" }"#,
    r#"{ name = "checkout" }"#,
    r#"{ resource.service.name = "beta-database" }"#,
    r#"{ resource.tenant_id = "acme" }"#,
];

#[allow(clippy::unnecessary_wraps)] // As `question` takes it.
fn window(data: &Traces, window: Window) -> Option<(i64, i64)> {
    Some(data.range(window))
}

#[allow(clippy::unnecessary_wraps)] // As `question` takes it.
fn whole(data: &Traces) -> Option<(i64, i64)> {
    Some((data.anchor - 130, data.anchor + 1))
}

fn question(
    subject: Subject,
    params: &[(&'static str, &str)],
    window: Window,
    range: Option<(i64, i64)>,
) -> Question {
    let params = params
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    Question {
        subject,
        params: params.collect(),
        window,
        range,
    }
}

/// Searches, in the windows where the answers are beyond doubt.
pub fn searches(data: &Traces) -> Vec<Question> {
    let structural = OPERANDS.iter().flat_map(|(left, right)| {
        STRUCTURE
            .iter()
            .map(move |op| format!("{left} {op} {right}"))
    });
    let ids = [Window::Plain, Window::Mixed]
        .into_iter()
        .flat_map(|window| {
            let traces: Vec<_> = data.of(window).take(6).collect();
            traces
                .into_iter()
                .map(|trace| format!("{{ trace:id = \"{}\" }}", trace.short_id()))
        });
    let ids = ids.collect::<Vec<_>>();
    let literal = [FILTERS, PIPELINES, REFUSED, BAD].concat();
    let queries: Vec<String> = literal
        .into_iter()
        .map(str::to_owned)
        .chain(structural)
        .chain(ids)
        .collect();
    let mut all = Vec::new();
    for at in [Window::Plain, Window::Mixed] {
        for query in &queries {
            let params = [("q", query.as_str()), ("limit", "500"), ("spss", "50")];
            all.push(question(Subject::Search, &params, at, window(data, at)));
        }
        for old in OLD_SEARCHES {
            let mut params: Vec<(&'static str, &str)> = old.to_vec();
            params.extend([("limit", "500"), ("spss", "50")]);
            all.push(question(Subject::Search, &params, at, window(data, at)));
        }
    }
    for at in [Window::Plain, Window::Mixed, Window::Roots] {
        let all_roots = ROOTS.iter().chain(ROOTS_STRUCTURE);
        for query in all_roots {
            let params = [("q", *query), ("limit", "500"), ("spss", "50")];
            all.push(question(Subject::Search, &params, at, window(data, at)));
        }
    }
    // Limits, defaults, and bad ones.
    for params in [
        &[("q", "{}"), ("limit", "5")][..],
        &[("q", "{ status = error }"), ("limit", "3"), ("spss", "1")],
        &[("q", "{}"), ("limit", "500"), ("spss", "2")],
        &[("q", "{ .n > 3 } with (most_recent=true)"), ("limit", "4")],
        &[("q", "{}")],
        &[("q", "{}"), ("limit", "100000000")],
        &[("q", "{}"), ("limit", "x")],
    ] {
        let at = window(data, Window::Plain);
        all.push(question(Subject::Search, params, Window::Plain, at));
    }
    // Where a trace of both tenants has spans of the other alone.
    let late = data.late();
    let params = [("q", "{}"), ("limit", "500"), ("spss", "50")];
    all.push(question(
        Subject::Search,
        &params,
        Window::Mixed,
        Some(late),
    ));
    let reversed = window(data, Window::Plain).map(|(start, end)| (end, start));
    all.push(question(
        Subject::Search,
        &[("q", "{}")],
        Window::Plain,
        reversed,
    ));
    all
}

pub fn metrics(data: &Traces) -> Vec<Question> {
    let mut all = Vec::new();
    for at in [Window::Plain, Window::Mixed] {
        for query in RANGES.iter().chain(BAD_METRICS).chain(REFUSED_METRICS) {
            let params = [("q", *query), ("step", "5s")];
            all.push(question(Subject::Range, &params, at, window(data, at)));
            let instant = [("q", *query)];
            if !query.contains("compare") {
                all.push(question(Subject::Instant, &instant, at, window(data, at)));
            }
        }
    }
    for at in [Window::Plain, Window::Mixed, Window::Roots] {
        for query in ROOTS_METRICS {
            let params = [("q", *query), ("step", "1s"), ("exemplars", "5")];
            all.push(question(Subject::Range, &params, at, window(data, at)));
        }
    }
    let at = Window::Plain;
    let params = [
        ("q", "{} | rate() by(name)"),
        ("step", "1s"),
        ("exemplars", "20"),
    ];
    all.push(question(Subject::Range, &params, at, window(data, at)));
    all
}

/// Generated searches and metrics.
pub fn made_up(data: &Traces, seed: u64) -> Vec<Question> {
    let at = Window::Plain;
    let search = |query: &String| {
        let params = [("q", query.as_str()), ("limit", "500"), ("spss", "50")];
        question(Subject::Search, &params, at, window(data, at))
    };
    let metric = |query: &String| {
        let params = [("q", query.as_str()), ("step", "5s")];
        question(Subject::Range, &params, at, window(data, at))
    };
    let searches = generated::searches(seed, 150);
    let metrics = generated::metrics(seed, 50);
    let searches = searches.iter().map(search);
    searches.chain(metrics.iter().map(metric)).collect()
}

pub fn tags(data: &Traces) -> Vec<Question> {
    let (at, range) = (Window::Plain, whole(data));
    let mut all = Vec::new();
    for filter in TAG_FILTERS {
        let params: &[(&'static str, &str)] = match filter {
            &"" => &[],
            filter => &[("q", *filter)],
        };
        for version in [Version::V1, Version::V2] {
            // The first version ignores a query.
            if version == Version::V1 && !filter.is_empty() {
                continue;
            }
            all.push(question(Subject::Tags(version), params, at, range));
            for scope in [
                "resource",
                "span",
                "event",
                "link",
                "instrumentation",
                "intrinsic",
            ] {
                let mut params = params.to_vec();
                params.push(("scope", scope));
                all.push(question(Subject::Tags(version), &params, at, range));
            }
        }
        for tag in TAGS.iter().chain(TAGS_OF_TRACES) {
            let subject = Subject::Values(Version::V2, (*tag).to_owned());
            all.push(question(subject, params, at, range));
        }
    }
    for tag in TAGS_V1 {
        let subject = Subject::Values(Version::V1, (*tag).to_owned());
        all.push(question(subject, &[], at, range));
    }
    all.push(question(
        Subject::Tags(Version::V2),
        &[("scope", "bogus")],
        at,
        range,
    ));
    let subject = Subject::Values(Version::V2, "nope".to_owned());
    all.push(question(subject, &[], at, range));
    all
}

/// Every trace there is, and some that are not, by id.
pub fn traces(data: &Traces) -> Vec<Question> {
    let mut all = Vec::new();
    let nowhere = "deadbeefdeadbeefdeadbeefdeadbeef".to_owned();
    let mut ids: Vec<(Window, String)> = vec![(Window::Plain, nowhere)];
    for (n, trace) in data.traces.iter().enumerate() {
        ids.push((trace.window, trace.id.clone()));
        match n % 16 {
            0 => ids.push((trace.window, trace.short_id().to_owned())),
            1 => ids.push((trace.window, trace.id.to_ascii_uppercase())),
            _ => {}
        }
    }
    for (at, id) in ids {
        for version in [Version::V1, Version::V2] {
            all.push(question(Subject::Trace(version, id.clone()), &[], at, None));
        }
    }
    for bad in ["zzz", "0123456789abcdef0123456789abcdef0"] {
        let subject = Subject::Trace(Version::V2, bad.to_owned());
        all.push(question(subject, &[], Window::Plain, None));
    }
    all
}
