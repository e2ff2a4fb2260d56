#!/usr/bin/env bash
# Label names and values come from whole blocks, series from the window that was asked for.
#
# Expected: `/api/v1/series`, `/api/v1/labels` and `/api/v1/label/NAME/values` with the same selector, `start` and
#   `end` describe the same series.
# Happens (Prometheus 2.42.0): `series` names one series. `labels` and `values` also name a label and a tenant whose
#   last sample is 50 minutes older than `start`: they read the index of every block that overlaps the window and
#   never look at the times of its chunks. A selector does not change that.
# Who meets it: a drop-down of tenants, jobs or pods lists what no query of that window can return, for as long as the
#   block lasts (two hours at first, weeks once compacted). A proxy that answers "which labels may this caller see
#   now" from `values` and one that answers from `series` disagree.
# Source: prometheus/prometheus tsdb/querier.go: `blockBaseQuerier.LabelValues` takes no times and asks
#   the block's index; `populateWithDelSeriesIterator` and `blockSeriesSet`, behind `series`, drop chunks outside the window.
set -euo pipefail

missing=()
for tool in prometheus curl; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
version=$(prometheus --version 2>&1 | head -1)
echo "$version"
case $version in *" 2.42.0"*) ;; *) echo "CHANGED: this finding is about Prometheus 2.42.0 of Debian 12"; exit 1 ;; esac

work=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
pid=
start=1700006400 # a multiple of two hours: everything below goes into one block
{
  echo '# TYPE room_temperature gauge'
  for ((i = 0; i < 7200; i += 60)); do
    if ((i < 600)); then echo "room_temperature{tenant_id=\"moved-out\",floor=\"3\"} 20 $((start + i))"; fi
  done
  for ((i = 0; i < 7200; i += 60)); do echo "room_temperature{tenant_id=\"still-here\"} 21 $((start + i))"; done
  echo '# EOF'
} >"$work/in.om"
promtool tsdb create-blocks-from openmetrics "$work/in.om" "$work/data" >/dev/null
echo 'global: {}' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --storage.tsdb.retention.time=100y \
  --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
api=http://127.0.0.1:$port
for _ in $(seq 100); do curl -fs -o "$work/ready" "$api/-/ready" && break; sleep 0.2; done

ask() { # PATH: the selector, and a window of five minutes an hour into the block
  curl -fsS -G "$api/api/v1/$1" --data-urlencode 'match[]=room_temperature' \
    -d "start=$((start + 3600))" -d "end=$((start + 3900))" |
    python3 -c 'import json,sys; print(json.dumps(json.load(sys.stdin)["data"], sort_keys=True))'
}
seen="series: $(ask series)
labels: $(ask labels)
values: $(ask label/tenant_id/values)"
echo "$seen"
want='series: [{"__name__": "room_temperature", "tenant_id": "still-here"}]
labels: ["__name__", "floor", "tenant_id"]
values: ["moved-out", "still-here"]'
[ "$seen" = "$want" ] || { echo "CHANGED: labels, values and series no longer differ as described; expected:"; echo "$want"; exit 1; }
echo "as described"
