#!/usr/bin/env bash
# `promtool test rules` passes for an alert that never fires in Prometheus.
#
# Expected: a unit test evaluates each group of rules as often as the group's `interval` says, as the server does; a test
#   that passes tells what the server will do.
# Happens (promtool and Prometheus 2.42.0): the test evaluates every group at the test file's `evaluation_interval`; the
#   group's own `interval` has no effect. A recording rule whose group runs less often than the lookback reaches has gaps
#   between its samples on the server. The alert on it becomes pending again and again and never fires. In the test it has
#   a sample at each step, and the alert fires.
# Who meets it: expensive aggregations, per tenant for example, run every 10 or 15 minutes to save work; the lookback is
#   5 minutes, so their alerts with a `for` are dead, and the unit test in CI is green. Here all times are 60 times shorter.
#   Use `last_over_time(metric[20m])` in rules on such a metric, or an interval below the lookback.
# Source: prometheus/prometheus cmd/promtool/unittest.go, `testGroup.test` (one loop over time evaluates all groups);
#   Prometheus documentation, "Unit testing for rules" (`evaluation_interval`) and "Querying basics", "Staleness".
set -euo pipefail

missing=()
for tool in prometheus curl python3; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
version=$(prometheus --version 2>&1 | head -1)
echo "$version"
case $version in *" 2.42.0"*) ;; *) echo "CHANGED: this finding is about Prometheus 2.42.0 of Debian 12"; exit 1 ;; esac

work=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
pid=
cat >"$work/rules.yml" <<'YAML'
groups:
- name: expensive
  interval: 15s
  rules:
  - {record: tenant:rides:count, expr: count(vector(1))}
- name: alerts
  interval: 1s
  rules:
  - {alert: RidesRunning, expr: 'tenant:rides:count > 0', for: 7s}
YAML
cat >"$work/test.yml" <<'YAML'
rule_files: [rules.yml]
evaluation_interval: 1s
tests:
- interval: 1s
  input_series: []
  alert_rule_test:
  - {eval_time: 35s, alertname: RidesRunning, exp_alerts: [{exp_labels: {}}]}
  promql_expr_test:
  - {expr: 'count_over_time(tenant:rides:count[31s])', eval_time: 35s, exp_samples: [{value: 32}]}
YAML
seen=$(promtool test rules "$work/test.yml" 2>&1 | sed -n 's/^ *SUCCESS/unit test: passed/p')

echo 'rule_files: [rules.yml]' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --query.lookback-delta=5s \
  --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
api=http://127.0.0.1:$port
for _ in $(seq 100); do curl -fs -o "$work/ready" "$api/-/ready" && break; sleep 0.2; done
sleep 50
ask() {
  curl -fsS --data-urlencode "query=$1" "$api/api/v1/query" | python3 -c '
import json, sys
print(sum(float(series["value"][1]) for series in json.load(sys.stdin)["data"]["result"]))'
}
pending=$(ask 'count_over_time(ALERTS{alertstate="pending"}[45s])')
firing=$(ask 'count_over_time(ALERTS{alertstate="firing"}[45s])')
recorded=$(ask 'count_over_time(tenant:rides:count[45s])')
echo "server, 45 s: recorded $recorded times, alert pending $pending times, firing $firing times"
seen+="
server: recorded $( (( ${recorded%.*} <= 4 )) && echo rarely), alert pending $( (( ${pending%.*} > 5 )) && echo often), firing $firing times"
echo "$seen"
want='unit test: passed
server: recorded rarely, alert pending often, firing 0 times'
[ "$seen" = "$want" ] || { echo "CHANGED: expected:"; echo "$want"; exit 1; }
echo "as described"
