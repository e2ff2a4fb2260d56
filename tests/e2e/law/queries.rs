//! Queries over the dataset: every selector form, function class and modifier.

use std::path::PathBuf;

use serde_json::Value;

/// Each as it stands and inside every wrapper of [`WRAPPERS`] in turn.
const SELECTORS: &[&str] = &[
    "up",
    "http_requests_total",
    "up{}",
    "up { job = \"api\" , }",
    "up{job='api'}",
    "up{job=`api`}",
    "http_requests_total{code=\"200\"}",
    "http_requests_total{code!=\"200\"}",
    "http_requests_total{code=~\"2..\"}",
    "http_requests_total{code!~\"2..\"}",
    "http_requests_total{code=\"\"}",
    "http_requests_total{job=\"api\",code=~\".+\",instance!~\"h2.*\"}",
    "{__name__=\"up\"}",
    "{__name__=~\"http_.*_total\"}",
    "{__name__=~\"up|memory_.*\"}",
    "{__name__!=\"up\",job=\"api\"}",
    "{job=\"api\"}",
    "memory_bytes",
    "gappy",
    "special_values",
    "scale_factor",
    "queue_depth",
    "queue_depth{queue=\"queue-of-acme\"}",
    "queue_depth{queue=\"queue-of-beta\"}",
    "odd_labels{name=\"ünï ☃ {x}\"}",
    "odd_labels{path=\"C:\\\\dir\\n\\\"quoted\\\"\"}",
    "odd_labels{re=~\"a\\\\.\\\\*.*\"}",
    "odd_labels{name=\"\\u00fcn\\u00ef ☃ {x}\"}",
    "shard_load{tenant=\"beta\"}",
    "target_info",
    "secret",
    "ALERTS{alertstate=\"firing\"}",
    "nonexistent",
    // Names that are words of the language.
    "offset",
    "sum",
    "bool",
    "start",
    "by",
    // The tenant label in the caller's own hand.
    "up{tenant_id=\"acme\"}",
    "up{tenant_id=\"beta\"}",
    "up{tenant_id='gamma.io'}",
    "up{tenant_id=\"nobody-has-this\"}",
    "up{tenant_id!=\"acme\"}",
    "up{tenant_id!=\"beta\"}",
    "up{tenant_id=~\".+\"}",
    "up{tenant_id=~\".*\"}",
    "up{tenant_id=\"\"}",
    "up{tenant_id!=\"\"}",
    "up{tenant_id=~\"acme|beta\"}",
    "up{tenant_id=~\"acme|\"}",
    "up{tenant_id=~\"a.*|b.*\"}",
    "up{tenant_id!~\"acme\"}",
    "up{tenant_id!~\"beta|gamma.*\"}",
    "up{tenant_id=\"acme\",tenant_id=\"beta\"}",
    "up{tenant_id=\"acme\",tenant_id=\"acme\"}",
    "up{tenant_id=~\"a.*\",tenant_id!=\"acme\"}",
    "{tenant_id=\"acme\"}",
    "{tenant_id=\"beta\",job=\"api\"}",
    "{tenant_id=~\".+\",__name__=\"up\"}",
    "{__name__=\"up\",tenant_id=\"\"}",
    // White space and comments where the grammar takes them.
    " up ",
    "up\t{\n  job=\"api\" # a } in a comment\n}",
    "up # {tenant_id=\"beta\"}",
];

/// `$` is a selector. Two in three take an instant vector of any shape.
const WRAPPERS: &[&str] = &[
    "sum($)",
    "count($)",
    "min by (job) ($)",
    "max($) by (instance)",
    "avg without (instance) ($)",
    "sum by (tenant_id) ($)",
    "count by (tenant_id, __name__) ($)",
    "sum without (tenant_id) ($)",
    "group by (job) ($)",
    "stddev(\n$\n)",
    "stdvar by () ($)",
    "topk(2, $)",
    "bottomk by (job) (1, $)",
    "quantile(0.9, $)",
    "count_values(\"value\", $)",
    "count_values by (job) (\"tenant_id\", $)",
    "abs($)",
    "ceil(sqrt(abs($)))",
    "exp(-($ > bool 0))",
    "ln($) or log2($) or log10($)",
    "round($, 0.5)",
    "sgn($ - 1)",
    "clamp($, 1, 1000)",
    "clamp_min($, 5) + clamp_max($, 7)",
    "timestamp($)",
    "hour(timestamp($))",
    "day_of_week($) + month($) + year($)",
    "sort($)",
    "sort_desc($)",
    "scalar($)",
    "vector(scalar($))",
    "absent($)",
    "label_replace($, \"copy\", \"$1-x\", \"job\", \"(.*)\")",
    "label_replace($, \"tenant_id\", \"beta\", \"job\", \".*\")",
    "label_join($, \"joined\", \"/\", \"tenant_id\", \"job\")",
    "deg($) + rad($)",
    "sin($) + cos($) * tanh($)",
    "rate($[5m])",
    "irate($[5m])",
    "increase($[10m])",
    "delta($[10m])",
    "idelta($[10m])",
    "deriv($[10m])",
    "predict_linear($[30m], 3600)",
    "holt_winters($[10m], 0.5, 0.5)",
    "changes($[30m]) + resets($[30m])",
    "avg_over_time($[5m])",
    "min_over_time($[5m]) or max_over_time($[5m])",
    "sum_over_time($[5m]) / count_over_time($[5m])",
    "quantile_over_time(0.5, $[10m])",
    "stddev_over_time($[10m]) + stdvar_over_time($[10m])",
    "last_over_time($[1h])",
    "present_over_time($[1h])",
    "absent_over_time($[5m])",
    "$ offset 10m",
    "$ offset -5m",
    "rate($[5m] offset 1h)",
    "$ @ end()",
    "$ @ start()",
    "sum($ offset 5m) - sum($ @ start() offset -1m)",
    "max_over_time($[30m:1m])",
    "rate($[5m:])",
    "avg_over_time(rate($[5m])[20m:2m] offset 5m)",
    "sum_over_time(sum by (job) ($)[10m:1m] @ end())",
    "-$",
    "+$ + -$",
    "($)",
    "(($))",
    "$ + 1",
    "2 ^ $ % 5",
    "$ > 1",
    "$ >= bool 1",
    "1 < bool $",
    "$ == $",
    "$ and $",
    "$ or vector(1)",
    "$ unless on (job) $",
    "$ * on (job, instance, tenant_id, __name__) group_left $",
    "atan2($, $)",
    "$ atan2 $",
];

/// What does not come from wrapping one selector.
const SINGLES: &[&str] = &[
    // No selector at all.
    "1",
    "1+1",
    "\"text\"",
    "time()",
    "vector(1)",
    "vector(time()) > 5",
    "pi()",
    "1 == bool 2",
    "-Inf",
    "0x1F + 1e3",
    "scalar(vector(2)) ^ 3",
    "day_of_month()",
    "vector(1) or vector(2)",
    "absent(vector(1))",
    // Selectors in parameters of aggregations.
    "topk(scalar(scale_factor), up)",
    "topk(scalar(count(up)), http_requests_total)",
    "bottomk(scalar(up{tenant_id=\"beta\",instance=\"h1:9090\",job=\"db\"}) + 1, memory_bytes)",
    "quantile(scalar(small_quantile), memory_bytes)",
    "quantile by (instance) (scalar(small_quantile{tenant_id=\"beta\"}), memory_bytes)",
    "quantile(scalar(secret{job=\"s\"}) / 1e9, memory_bytes)",
    "topk(scalar(count(nonexistent) or vector(2)), memory_bytes)",
    "quantile_over_time(scalar(small_quantile), memory_bytes[10m])",
    "round(memory_bytes, scalar(scale_factor))",
    "clamp_max(memory_bytes, scalar(sum(memory_bytes{instance=\"h1:9090\"})))",
    "predict_linear(memory_bytes[10m], scalar(scale_factor) * 60)",
    "count_values(\"v\", steps)",
    "count_values without (queue) (\"v\", steps)",
    // Vector matching.
    "memory_bytes / memory_limit_bytes",
    "memory_bytes / on (instance) memory_limit_bytes",
    "memory_bytes / ignoring (job) memory_limit_bytes",
    "memory_bytes * on (tenant_id) group_left scale_factor",
    "memory_bytes * on () group_left scale_factor",
    "memory_bytes * ignoring (instance) group_left scale_factor",
    "scale_factor * on (tenant_id) group_right memory_bytes",
    "memory_bytes * on (tenant_id) group_left (version) build_info",
    "up * on (job, instance) group_left (owner) target_info",
    "up{job=\"api\"} and on (instance) memory_bytes",
    "up unless on (instance) up{job=\"db\"}",
    "up or on (tenant_id) nonexistent",
    "http_requests_total / ignoring (code) group_left sum without (code) (http_requests_total)",
    "up + on (instance) up",
    "memory_bytes > on (instance) group_left () memory_limit_bytes",
    "memory_bytes > bool memory_limit_bytes",
    "up == 1 and up offset 5m == 1",
    // Histograms.
    "histogram_quantile(0.9, request_duration_seconds_bucket)",
    "histogram_quantile(0.5, rate(request_duration_seconds_bucket[5m]))",
    "histogram_quantile(0.99, sum by (le) (rate(request_duration_seconds_bucket[5m])))",
    "histogram_quantile(0.9, sum by (le, job) (rate({__name__=~\".+_bucket\"}[5m])))",
    "histogram_quantile(scalar(small_quantile), testhistogram_bucket)",
    "request_duration_seconds_sum / request_duration_seconds_count",
    "request_duration_seconds_bucket{le=\"+Inf\"}",
    "request_duration_seconds_bucket{le=~\"0.1|1\"}",
    // Everything, counted.
    "count({__name__=~\".+\"})",
    "count by (__name__) ({__name__=~\".+\"})",
    "count by (tenant_id) ({__name__=~\".+\"})",
    "count({tenant_id=~\".*\",__name__=~\".+\"})",
    "count({tenant_id!=\"acme\",__name__=~\".+\"})",
    "group by (owner) (target_info)",
    "count by (queue) (queue_depth)",
    "sum by (service) (ALERTS)",
    "absent(up{tenant_id=\"beta\"})",
    "absent(up{tenant_id=\"acme\"})",
    "absent(nonexistent{job=\"x\",instance=~\".*\"})",
    "absent(sum(nonexistent))",
    "sum(absent(nonexistent))",
    "absent_over_time(nonexistent[5m])",
    "absent_over_time(nonexistent{job=\"x\"}[5m])",
    "absent(nonexistent) or up",
    // Selectors that match the empty series.
    "{}",
    "{tenant_id=\"\"}",
    "{tenant_id=~\".*\"}",
    "{tenant_id!=\"beta\"}",
    "{job=~\".*\"}",
    "{job=\"\"}",
    "count({tenant_id=\"\"})",
    "{__name__=~\"\"}",
    // Nested and chained.
    "sum(sum by (job) (rate(http_requests_total[5m]))) / sum(rate(http_requests_total[5m]))",
    "max_over_time(sum by (job) (rate(http_requests_total[1m]))[10m:1m])",
    "sum(rate(http_requests_total{code=\"500\"}[5m])) / sum(rate(http_requests_total[5m])) > 0.01",
    "min_over_time((up + up offset 1m)[10m:30s] offset 1m)",
    "max(last_over_time((memory_bytes * on (tenant_id) group_left scale_factor)[5m:1m]))",
    "up + up + up + up + up * up / up - up % up ^ up",
    "((((((((((up))))))))))",
    "label_replace(label_replace(up, \"a\", \"$1\", \"job\", \"(.*)\"), \"b\", \"$1\", \"a\", \"(.*)\")",
    "label_replace(up, \"tenant_id\", \"\", \"\", \"\")",
    "sum by (tenant_id) (label_replace(up, \"tenant_id\", \"beta\", \"\", \"\"))",
    "sort(sum by (instance) (memory_bytes))",
    "sort_desc(topk(3, memory_bytes))",
    "up @ 1000",
    "up @ -1",
    "up offset 100y",
    "rate(http_requests_total[1ms])",
    "count_over_time(up[6h])",
    "sum(count_over_time({__name__=~\".+\"}[1h]))",
    "changes(gappy[6h])",
    "memory_bytes[5m]",
    "memory_bytes[5m:1m]",
    "{__name__=~\"memory.*\"}[2m] offset 1m",
    "up == NaN",
    "special_values == special_values",
    "sum(special_values)",
    "max(special_values{kind!=\"nan\"})",
    // Errors of type and of evaluation.
    "rate(up)",
    "up[5m] + 1",
    "sum(1)",
    "abs(\"x\")",
    "(\"\")",
    "memory_bytes * scale_factor * on () group_left up",
    "memory_bytes / on () memory_limit_bytes",
    "up * on (tenant_id) group_left target_info * on (tenant_id) up",
    "label_replace(up, \"x y\", \"$1\", \"job\", \"(.*)\")",
    "label_replace(up, \"x\", \"$1\", \"job\", \"(\")",
    "label_replace(up, \"job\", \"same\", \"job\", \".*\")",
    "count_values(\"not a label\", up)",
    "holt_winters(up[5m], 2, 0.5)",
    "histogram_quantile(2, request_duration_seconds_bucket)",
    "up{job=~\"(\"}",
    "up{job=~\"*\"}",
    "nosuchfunction(up)",
    "up{",
    "up}",
    "up{job=\"api\"",
    "up{job}",
    "up{job=\"api\" instance=\"x\"}",
    "up{job==\"api\"}",
    "up[5m",
    "up offset",
    "up offset 5",
    "sum by job (up)",
    "sum(up) by",
    "up +",
    "* up",
    "up up",
    "up, up",
    "(up",
    "\"unterminated",
    "up{job=\"unterminated}",
    "up{__name__=\"other\"}",
    "up{\"job\"=\"api\"}",
    "up @ foo",
    "sum",
    "",
    " ",
    "# nothing but a comment",
    ";",
    "up; up",
    "☃",
    "up{job=\"api\" or job=\"db\"}",
];

/// Every template, all of them different.
pub fn templates() -> Vec<String> {
    let mut queries: Vec<String> = SELECTORS
        .iter()
        .chain(SINGLES)
        .map(|q| (*q).to_owned())
        .collect();
    // Each wrapper with eight selectors and so each selector with several wrappers.
    for (n, wrapper) in WRAPPERS.iter().enumerate() {
        for i in 0..8 {
            let selector = SELECTORS[(n * 3 + i * 8) % SELECTORS.len()];
            queries.push(fill(wrapper, selector));
        }
    }
    queries.sort();
    queries.dedup();
    queries
}

/// A comment would swallow what follows it; a line end stops that.
fn fill(wrapper: &str, selector: &str) -> String {
    let selector = if selector.contains('#') {
        format!("{selector}\n")
    } else {
        selector.to_owned()
    };
    // `$1` of a label_replace is no place for a selector.
    let wrapper = wrapper.replace("$1", "\u{1}");
    wrapper.replace('$', &selector).replace('\u{1}', "$1")
}

/// The queries of Prometheus' own tests, or `None` where the corpus is not there.
pub fn corpus() -> Option<Vec<String>> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/promql.jsonl");
    let file = std::env::var_os("PARTYWALL_CORPUS").map_or(beside, PathBuf::from);
    let text = std::fs::read_to_string(file).ok()?;
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON lines"));
    let valid = lines.filter(|line| line["valid_without_flags"] == true);
    let mut queries: Vec<String> = valid
        .filter_map(|line| line["query"].as_str().map(str::to_owned))
        .collect();
    queries.sort();
    queries.dedup();
    Some(queries)
}
