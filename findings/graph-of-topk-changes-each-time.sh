#!/usr/bin/env bash
# The graph of `topk` over equal values shows other series each time it is loaded.
#
# Expected: the same query over the same stored samples has the same answer. Which of several equal series `topk` takes is
#   not said, but it stays with its choice, as its instant queries do.
# Happens (Prometheus 2.42.0, blocks that nobody writes to): `topk(1, sum by (pod) (x))` over eight pods of equal
#   value is another pod from one range query to the next, and so is `topk(1, x + 0)`, `topk(1, exp(x))` and `bottomk`. Over a
#   selector, `topk(1, x)`, it is always the same, and instant queries are always alike.
# Who meets it: a panel "top pods" flickers between refreshes while nothing changes: values such as restarts, errors and
#   queue lengths are equal most of the time. Answers of two replicas, or of a cache and its store, can't be compared.
#   Take the list of series from an instant query.
# Source: prometheus/prometheus promql/engine.go, `rangeEval`: the series of an operator or aggregation come out of a map,
#   in Go's random order, `topk` takes equals in the order in which they come, and only the last result is sorted.
set -euo pipefail

missing=()
for tool in prometheus promtool curl python3; do command -v "$tool" >/dev/null || missing+=("${tool/promtool/prometheus}"); done
if ((${#missing[@]})); then apt-get update -qq; RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
versions=$(prometheus --version 2>&1 | sed -n 1p)
echo "$versions"
case $versions in *" 2.42.0"*) ;; *) echo "CHANGED: another version than Debian 12's"; exit 1 ;; esac

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
end=$(($(date +%s) / 60 * 60 - 7200))
{
  echo '# TYPE restarts gauge'
  for pod in $(seq 8); do
    for minute in $(seq 30); do echo "restarts{pod=\"$pod\"} 5 $((end - 1800 + 60 * minute))"; done
  done
  echo '# EOF'
} >"$work/samples"
promtool tsdb create-blocks-from openmetrics "$work/samples" "$work/data" >"$work/made"
echo 'global: {}' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --storage.tsdb.retention.time=10y \
  --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 & pids+=($!)
for _ in $(seq 100); do curl -fs -o "$work/ready" "http://127.0.0.1:$port/-/ready" && break; sleep 0.2; done

seen=$(python3 - "$port" "$end" <<'PY'
import json, sys, urllib.parse, urllib.request

port, end = sys.argv[1], int(sys.argv[2])
ways = {"query": {"time": end}, "query_range": {"start": end - 600, "end": end, "step": 60}}
for query in ["topk(1, restarts)", "topk(1, restarts + 0)", "topk(1, exp(restarts))", "topk(1, sum by (pod) (restarts))",
              "bottomk(1, sum by (pod) (restarts))", "max(restarts)"]:
    for way, parameters in ways.items():
        url = f"http://127.0.0.1:{port}/api/v1/{way}?" + urllib.parse.urlencode({"query": query, **parameters})
        answers = set()
        for _ in range(60):
            result = json.load(urllib.request.urlopen(url))["data"]["result"]
            assert result
            answers.add(json.dumps(sorted(result, key=json.dumps)))
        print(f"{query}, {way}:", "one answer" if len(answers) == 1 else "several answers")
PY
)
echo "$seen"
want='topk(1, restarts), query: one answer
topk(1, restarts), query_range: one answer
topk(1, restarts + 0), query: one answer
topk(1, restarts + 0), query_range: several answers
topk(1, exp(restarts)), query: one answer
topk(1, exp(restarts)), query_range: several answers
topk(1, sum by (pod) (restarts)), query: one answer
topk(1, sum by (pod) (restarts)), query_range: several answers
bottomk(1, sum by (pod) (restarts)), query: one answer
bottomk(1, sum by (pod) (restarts)), query_range: several answers
max(restarts), query: one answer
max(restarts), query_range: one answer'
[ "$seen" = "$want" ] || { echo "CHANGED: other queries are alike each time; expected:"; echo "$want"; exit 1; }
echo "as described"
