#!/usr/bin/env bash
# The flag for native histograms changes the label `le` of classic buckets, and two series are not joined any more.
#
# Expected: `--enable-feature=native-histograms` adds something; programs that have no native histograms are scraped as
#   before, and `http_request_duration_seconds_bucket{le="1"}` stays what it is.
# Happens (Prometheus 2.42.0, node exporter 1.5.0 and Prometheus itself as targets): with the flag, Prometheus asks for
#   protobuf first, where bounds are numbers, and writes them as `1.0`. Without the flag they are the text of the page,
#   `1`. So le="1" becomes le="1.0" and quantile="0" becomes "0.0", for these targets, as for each that
#   speaks protobuf. 0.25 and +Inf stay.
# Who meets it: matchers such as `{le="1"}` of service level objectives and recording rules find nothing from the restart on:
#   the ratio of fast requests is empty, so is its alert. Each such series starts anew, and sums by `le` over a range
#   that spans the restart, or over two servers of which one has the flag, count a bucket under two names. Use
#   `le=~"1|1.0"`. Prometheus 3 writes `1.0` for all targets (its migration guide).
# Source: prometheus/prometheus scrape/scrape.go (Accept header by feature flag), model/textparse/protobufparse.go,
#   `formatOpenMetricsFloat`; Prometheus 3.0 migration guide, "le and quantile label values".
set -euo pipefail

missing=()
for tool in prometheus curl python3 prometheus-node-exporter; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if ((${#missing[@]})); then apt-get update -qq; RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
versions=$(prometheus --version 2>&1 | sed -n 1p; prometheus-node-exporter --version 2>&1 | sed -n 1p)
echo "$versions"
case $versions in *" 2.42.0"*"version 1.5.0"*) ;; *) echo "CHANGED: other versions than Debian 12's"; exit 1 ;; esac

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
base=$((20000 + RANDOM % 10000))
prometheus-node-exporter --collector.disable-defaults --web.listen-address="127.0.0.1:$base" >"$work/node.log" 2>&1 & pids+=($!)
cat >"$work/p.yml" <<YAML
global: {scrape_interval: 1s}
scrape_configs:
- {job_name: node, static_configs: [{targets: ["127.0.0.1:$base"]}]}
- {job_name: prometheus, static_configs: [{targets: ["127.0.0.1:$((base + 1))"]}]}
YAML
for number in 1 2; do
  flags=()
  ((number == 1)) || flags=(--enable-feature=native-histograms)
  prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data$number" --web.listen-address="127.0.0.1:$((base + number))" \
    "${flags[@]}" >"$work/$number.log" 2>&1 & pids+=($!)
done

ask() {
  curl -fsS --data-urlencode "query=$2" "http://127.0.0.1:$1/api/v1/query" | python3 -c '
import json, sys
print(", ".join(sorted(value for series in json.load(sys.stdin)["data"]["result"] for value in series["metric"].values())) or "nothing")'
}
gc='count by (quantile) (go_gc_duration_seconds{job="node"})'
slow='count by (le) (prometheus_tsdb_compaction_duration_seconds_bucket)'
one='count by (le) (prometheus_tsdb_compaction_duration_seconds_bucket{le="1"})'
seen=$(for number in 1 2; do
  for _ in $(seq 100); do
    [ "$(ask $((base + number)) "$gc" 2>/dev/null)" != nothing ] && [ "$(ask $((base + number)) "$slow")" != nothing ] && break
    sleep 0.2
  done
  echo "$( ((number == 1)) && echo "without the flag" || echo "with the flag"):"
  echo "  quantile of the node exporter: $(ask $((base + number)) "$gc")"
  echo "  le of Prometheus: $(ask $((base + number)) "$slow")"
  echo "  le=\"1\" finds: $(ask $((base + number)) "$one")"
done)
echo "$seen"
want='without the flag:
  quantile of the node exporter: 0, 0.25, 0.5, 0.75, 1
  le of Prometheus: +Inf, 1, 1024, 128, 16, 2, 2048, 256, 32, 4, 4096, 512, 64, 8, 8192
  le="1" finds: 1
with the flag:
  quantile of the node exporter: 0.0, 0.25, 0.5, 0.75, 1.0
  le of Prometheus: +Inf, 1.0, 1024.0, 128.0, 16.0, 2.0, 2048.0, 256.0, 32.0, 4.0, 4096.0, 512.0, 64.0, 8.0, 8192.0
  le="1" finds: nothing'
[ "$seen" = "$want" ] || { echo "CHANGED: the labels are written otherwise; expected:"; echo "$want"; exit 1; }
echo "as described"
