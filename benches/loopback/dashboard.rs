//! What Grafana sends while dashboards are open.

use bytes::Bytes;
use partywall::prometheus::form::Form;

/// An endpoint, and the query or selector that it is asked with.
#[derive(Clone, Copy)]
pub(crate) enum Panel {
    /// A graph: `query_range` by POST.
    Graph(&'static str),
    /// A single number or a table: `query` by POST.
    Number(&'static str),
    /// A dashboard's variable: the values of this label in the series that match, by GET.
    Variable(&'static str, &'static str),
    /// The query editor's look at series, by GET.
    Series(&'static str),
}

use Panel::{Graph, Number, Series, Variable};

/// In the manner of the Kubernetes mixin's, the node exporter's and a service's own dashboards.
/// All hold [`NAMESPACE`], to be made distinct.
pub(crate) const PANELS: [Panel; 30] = [
    Variable("pod", r#"kube_pod_info{namespace="shop"}"#),
    Variable("job", r#"up{namespace="shop"}"#),
    Variable(
        "instance",
        r#"node_uname_info{job="node",namespace="shop"}"#,
    ),
    Series(r#"http_requests_total{namespace="shop",job=~"checkout|cart"}"#),
    Number(r#"count(up{namespace="shop"} == 1)"#),
    Number(r#"sum(kube_pod_container_status_restarts_total{namespace="shop"})"#),
    Number(r#"max(kube_deployment_status_replicas_unavailable{namespace="shop"}) or vector(0)"#),
    Number(
        r#"sum(rate(http_requests_total{namespace="shop",code=~"5.."}[5m])) / sum(rate(http_requests_total{namespace="shop"}[5m]))"#,
    ),
    Number(r#"topk(10, sum by (handler) (rate(http_requests_total{namespace="shop"}[5m])))"#),
    Number(r#"1 - avg(avg_over_time((up{namespace="shop",job="api"} == bool 1)[30d:5m])) / 0.999"#),
    Number(r#"sort_desc(sum by (namespace, pod) (ALERTS{alertstate="firing",namespace="shop"}))"#),
    Graph(r#"sum by (job) (rate(http_requests_total{namespace="shop"}[5m]))"#),
    Graph(
        r#"histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{namespace="shop",handler!="/metrics"}[5m])))"#,
    ),
    Graph(
        r#"histogram_quantile(0.50, sum by (le, job) (rate(http_request_duration_seconds_bucket{namespace="shop"}[5m])))"#,
    ),
    Graph(r#"sum by (code) (rate(http_requests_total{namespace="shop",job="checkout"}[1m])) > 0"#),
    Graph(
        r#"sum by (pod) (rate(container_cpu_usage_seconds_total{namespace="shop",container!="",image!=""}[5m]))"#,
    ),
    Graph(
        r#"sum by (pod) (container_memory_working_set_bytes{namespace="shop",container!="",image!=""})"#,
    ),
    Graph(
        r#"sum(node_namespace_pod_container:container_cpu_usage_seconds_total:sum_irate{namespace="shop"}) by (pod) / sum(kube_pod_container_resource_requests{namespace="shop",resource="cpu"}) by (pod)"#,
    ),
    Graph(
        r#"sum by (pod) (increase(container_cpu_cfs_throttled_periods_total{namespace="shop",container!=""}[5m])) / sum by (pod) (increase(container_cpu_cfs_periods_total{namespace="shop"}[5m]))"#,
    ),
    Graph(
        r#"sum by (pod) (rate(container_network_receive_bytes_total{namespace="shop",pod=~"checkout-.*"}[5m])) * 8"#,
    ),
    Graph(
        r#"sum by (pod) (rate(container_network_transmit_packets_dropped_total{namespace="shop"}[5m]))"#,
    ),
    Graph(
        r#"1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle",namespace="shop"}[2m]))"#,
    ),
    Graph(
        r#"100 - (node_memory_MemAvailable_bytes{namespace="shop"} * 100 / node_memory_MemTotal_bytes{namespace="shop"})"#,
    ),
    Graph(
        r#"predict_linear(node_filesystem_avail_bytes{namespace="shop",fstype!~"tmpfs|overlay"}[6h], 24 * 3600) < 0"#,
    ),
    Graph(
        r#"label_replace(sum by (instance) (rate(node_disk_io_time_seconds_total{namespace="shop"}[5m])), "host", "$1", "instance", "(.*):.*")"#,
    ),
    Graph(
        r#"sum by (topic) (kafka_consumergroup_lag{namespace="shop",group=~"orders-.+"}) and on (topic) kafka_topic_partitions{namespace="shop"}"#,
    ),
    Graph(r#"rate(go_gc_duration_seconds_sum{namespace="shop"}[5m])"#),
    Graph(r#"go_goroutines{namespace="shop"} offset 1w"#),
    Graph(r#"max_over_time(process_resident_memory_bytes{namespace="shop"}[1h]) / 1024 / 1024"#),
    Graph(
        r#"(sum by (job) (rate(grpc_server_handled_total{namespace="shop",grpc_code!="OK"}[5m])) / sum by (job) (rate(grpc_server_handled_total{namespace="shop"}[5m]))) unless on (job) absent(up{namespace="shop"})"#,
    ),
];

/// In each of [`PANELS`].
const NAMESPACE: &str = r#"namespace="shop"#;

impl Panel {
    /// The request, by a user of this token.
    pub(crate) fn request(self, token: &str) -> Bytes {
        self.written(token, str::to_owned)
    }

    /// The same, but with a query that differs from that of any other number.
    pub(crate) fn distinct_request(self, number: usize, token: &str) -> Bytes {
        let distinct = format!("{NAMESPACE}-{number:07}");
        self.written(token, |query| query.replace(NAMESPACE, &distinct))
    }

    fn written(self, token: &str, write: impl Fn(&str) -> String) -> Bytes {
        const START: (&str, &str) = ("start", "1795229745");
        const END: (&str, &str) = ("end", "1795233345");
        match self {
            Graph(query) => post(
                "/api/v1/query_range",
                &[("query", &*write(query)), START, END, ("step", "15")],
                token,
            ),
            Number(query) => post(
                "/api/v1/query",
                &[("query", &*write(query)), ("time", "1795233345.605")],
                token,
            ),
            Variable(label, series) => get(
                &format!("/api/v1/label/{label}/values"),
                &[("match[]", &*write(series)), START, END],
                token,
            ),
            Series(series) => get(
                "/api/v1/series",
                &[("match[]", &*write(series)), START, END],
                token,
            ),
        }
    }
}

/// A graph of this query.
pub(crate) fn graph(query: &str, token: &str) -> Bytes {
    let params = [
        ("query", query),
        ("start", "1795229745"),
        ("end", "1795233345"),
        ("step", "15"),
    ];
    post("/api/v1/query_range", &params, token)
}

/// A GET that wants JSON.
pub(crate) fn get(path: &str, params: &[(&str, &str)], token: &str) -> Bytes {
    get_as("application/json", path, params, token)
}

/// A GET that wants this media type.
pub(crate) fn get_as(accept: &str, path: &str, params: &[(&str, &str)], token: &str) -> Bytes {
    let target = match form(params) {
        form if form.is_empty() => path.to_owned(),
        form => format!("{path}?{form}"),
    };
    let head = format!("GET {target} HTTP/1.1\r\n{}", headers(accept, token));
    format!("{head}\r\n").into()
}

fn post(path: &str, params: &[(&str, &str)], token: &str) -> Bytes {
    let (headers, form) = (headers("application/json", token), form(params));
    format!(
        "POST {path} HTTP/1.1\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .into()
}

fn form(params: &[(&str, &str)]) -> String {
    let mut form = Form::default();
    for (name, value) in params {
        form.push(*name, *value);
    }
    form.encode()
}

/// Those of Grafana with *Forward OAuth Identity* on.
fn headers(accept: &str, token: &str) -> String {
    format!(
        "Host: thanos.monitoring.svc\r\nUser-Agent: Grafana/12.3.0\r\nAccept: {accept}\r\n\
         Accept-Encoding: gzip\r\nAuthorization: Bearer {token}\r\nX-Grafana-Org-Id: 1\r\n\
         Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
    )
}
