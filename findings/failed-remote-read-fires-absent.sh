#!/usr/bin/env bash
# A refused remote read is an empty answer with status 200, and alerts on missing data fire.
#
# Expected: a query that can't be answered because the remote store refuses is an error; a rule with such a query has health
#   "err" and its alert stays as it was.
# Happens (Prometheus 2.42.0 with `remote_read` from a store that answers 403): the query is a success with what is stored
#   locally, here nothing, and a text in `warnings`. For the rule it is a result like any other: `absent(…)` fires, the
#   rule's health is "ok" and `lastError` is not there. A rule that needs a value becomes inactive. The log has no line,
#   prometheus_rule_evaluation_failures_total stays 0. promtool prints the result and the warning, and exits with 0.
# Who meets it: a Prometheus (or a ruler) that evaluates rules over a remote store behind a proxy that checks tokens. When its
#   token expires, is revoked or lacks a tenant, nobody sees an error: "data is missing" pages and "too many errors"
#   goes silent. Watch prometheus_remote_storage_read_queries_total by `code`. Partywall's 403 is such an answer.
# Source: prometheus/prometheus storage/fanout.go (errors of secondary queriers become warnings) and rules/alerting.go,
#   `Eval`; Prometheus documentation, "HTTP API", "Format overview" (`warnings`).
set -euo pipefail

missing=()
for tool in prometheus curl python3; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
version=$(prometheus --version 2>&1 | head -1)
echo "$version"
case $version in *" 2.42.0"*) ;; *) echo "CHANGED: this finding is about Prometheus 2.42.0 of Debian 12"; exit 1 ;; esac

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
port=$((20000 + RANDOM % 10000))
store=$((port + 1))
python3 - "$store" <<'PY' &
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Store(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b"token expired\n"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Store).serve_forever()
PY
pids+=($!)
cat >"$work/rules.yml" <<'YAML'
groups:
- name: lifts
  interval: 1s
  rules:
  - {alert: NoLift, expr: absent(lift_rides)}
  - {alert: LiftStuck, expr: lift_rides < 1}
YAML
cat >"$work/p.yml" <<YAML
rule_files: [rules.yml]
remote_read: [{url: "http://127.0.0.1:$store/", read_recent: true}]
scrape_configs: [{job_name: self, scrape_interval: 1s, static_configs: [{targets: ["127.0.0.1:$port"]}]}]
YAML
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pids+=($!)
api=http://127.0.0.1:$port
for _ in $(seq 100); do curl -fs "$api/api/v1/rules" 2>/dev/null | grep -q '"state":"firing"' && break; sleep 0.2; done
sleep 3

seen=$(curl -sS -w '\n%{http_code}\n' --data-urlencode 'query=lift_rides' "$api/api/v1/query" | sed "s/:$store/:PORT/g"
  set +e
  promtool query instant "$api" lift_rides >"$work/out" 2>&1
  echo "promtool: exit $?"
  set -e
  curl -fsS "$api/api/v1/rules" | python3 -c '
import json, sys
for rule in json.load(sys.stdin)["data"]["groups"][0]["rules"]:
    error = rule.get("lastError", "none")
    print(rule["name"] + ": " + rule["state"] + ", health " + rule["health"] + ", error " + error)'
  curl -fsS "$api/metrics" | sed -n 's/^\(prometheus_rule_evaluation_failures_total\){.*} /\1 /p'
  curl -fsS "$api/metrics" | sed -n 's/^prometheus_remote_storage_read_queries_total{\(code="[0-9]*"\).*/counted: \1/p'
  echo "lines of the log with warnings or errors: $(grep -cE 'level=(warn|error)' "$work/log" || true)")
echo "$seen"
want='{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["remote_read: remote server http://127.0.0.1:PORT/ returned HTTP status 403 Forbidden: token expired"]}
200
promtool: exit 0
NoLift: firing, health ok, error none
LiftStuck: inactive, health ok, error none
prometheus_rule_evaluation_failures_total 0
counted: code="403"
lines of the log with warnings or errors: 0'
[ "$seen" = "$want" ] || { echo "CHANGED: a refused remote read is treated otherwise; expected:"; echo "$want"; exit 1; }
echo "as described"
