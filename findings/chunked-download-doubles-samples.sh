#!/usr/bin/env bash
# Downloading a metric in chunks doubles the samples where two chunks meet.
#
# Expected: `get_metric_range_data` of prometheus-api-client gives the same samples whether it downloads them at once or
#   in chunks; the parameter `chunk_size` is there to keep each request small.
# Happens (PyPI prometheus-api-client 0.7.2, Prometheus 2.42.0): an hour of one sample a minute in chunks of 20 minutes
#   has 63 samples, two of them twice. The library asks for `metric[1200s]` at the end of each chunk, and a
#   range of Prometheus 2 contains both of its ends. The same holds for each bound on which a sample falls.
# Who meets it: scrapes are seldom on a whole second, so tests with real data miss it; results of recording rules and
#   of back-filled blocks are on the step, and then every chunk doubles one sample. Sums, counts and training data are
#   off by it. Prometheus 3 leaves the left end out, so the same call gives other numbers after an upgrade
#   ("Range selectors and lookback exclude samples coinciding with the left boundary", its migration guide). Partywall
#   sends each range on as it came: what a tenant gets depends on the store's version.
# Source: 4n4nd/prometheus-api-client-python prometheus_api_client/prometheus_connect.py, `get_metric_range_data`;
#   Prometheus 3.0 migration guide, "Range selectors".
set -euo pipefail

missing=()
for tool in prometheus curl; do command -v "$tool" >/dev/null || missing+=("$tool"); done
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
version=$(prometheus --version 2>&1 | head -1)
echo "$version"
case $version in *" 2.42.0"*) ;; *) echo "CHANGED: this finding is about Prometheus 2.42.0 of Debian 12"; exit 1 ;; esac

work=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
pid=
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q prometheus-api-client==0.7.2
start=1700006400
{
  echo '# TYPE door_openings gauge'
  for ((i = 0; i <= 3600; i += 60)); do echo "door_openings $i $((start + i))"; done
  echo '# EOF'
} >"$work/in.om"
promtool tsdb create-blocks-from openmetrics "$work/in.om" "$work/data" >/dev/null
echo 'global: {}' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --storage.tsdb.retention.time=100y \
  --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 100); do curl -fs -o "$work/ready" "http://127.0.0.1:$port/-/ready" && break; sleep 0.2; done

seen=$(TZ=UTC "$work/v/bin/python" - "$port" "$start" <<'PY'
import sys
from collections import Counter
from datetime import datetime, timedelta
from prometheus_api_client import PrometheusConnect

client, start = PrometheusConnect(url=f"http://127.0.0.1:{sys.argv[1]}"), int(sys.argv[2])
for chunk in (None, timedelta(minutes=20), timedelta(minutes=12)):
    answer = client.get_metric_range_data(
        "door_openings",
        start_time=datetime.fromtimestamp(start),
        end_time=datetime.fromtimestamp(start + 3600),
        chunk_size=chunk,
    )
    times = Counter(time - start for series in answer for time, _ in series["values"])
    twice = [int(time) for time, n in times.items() if n > 1]
    print(f"chunk {chunk}: {times.total()} samples, {len(times)} times, twice at {twice}")
PY
)
echo "$seen"
want='chunk None: 61 samples, 61 times, twice at []
chunk 0:20:00: 63 samples, 61 times, twice at [1200, 2400]
chunk 0:12:00: 65 samples, 61 times, twice at [720, 1440, 2160, 2880]'
[ "$seen" = "$want" ] || { echo "CHANGED: chunks no longer overlap as described; expected:"; echo "$want"; exit 1; }
echo "as described"
