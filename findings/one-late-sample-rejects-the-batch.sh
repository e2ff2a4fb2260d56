#!/usr/bin/env bash
# Remote write with one late sample: Prometheus stores nothing of the request, VictoriaMetrics all of it.
#
# Expected: a receiver stores the valid samples and says 400 because of the others, as the specification allows; then
#   only the late sample is lost.
# Happens (Prometheus 2.42.0 with --web.enable-remote-write-receiver, VictoriaMetrics 1.79.5): Prometheus answers 400 "out of
#   order sample" and rolls the whole request back. Series with nothing wrong before and behind the late sample are lost
#   too. The same holds for one sample older than the head ("out of bounds"). VictoriaMetrics answers 204 and has them all.
# Who meets it: senders batch hundreds of series in one request and, as the protocol demands, do not repeat a 400. Two agents
#   that send one series in common (a pair for high availability, a job listed twice) make each other late, and each lost
#   batch takes unrelated series along, other tenants' too. Graphs have gaps here and there, and what is in
#   the log names only one series. Remove doubles before sending, or set `out_of_order_time_window`.
# Source: prometheus/prometheus storage/remote/write_handler.go, `write` (`Rollback` in the deferred function); Prometheus
#   Remote-Write 1.0 specification, "Labels" (a receiver may store the valid samples, and says 400) and "Retries & Backoff"
#   (4xx other than 429 is not retried).
set -euo pipefail

missing=()
for tool in prometheus curl; do command -v "$tool" >/dev/null || missing+=("$tool"); done
command -v victoria-metrics >/dev/null || missing+=(victoria-metrics)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then apt-get update -qq; RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
versions=$(prometheus --version 2>&1 | sed -n 1p; dpkg-query -W -f '${Package} ${Version}\n' victoria-metrics)
echo "$versions"
case $versions in *" 2.42.0"*"victoria-metrics 1.79.5"*) ;; *) echo "CHANGED: other versions than Debian 12's"; exit 1 ;; esac

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q cramjam==2.14.0 protobuf==7.36.2
echo 'global: {}' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --web.enable-remote-write-receiver \
  --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 & pids+=($!)
victoria-metrics -storageDataPath="$work/vm" -httpListenAddr="127.0.0.1:$((port + 1))" >"$work/vm.log" 2>&1 & pids+=($!)
for url in "http://127.0.0.1:$port/-/ready" "http://127.0.0.1:$((port + 1))/health"; do
  for _ in $(seq 100); do curl -fs -o "$work/ready" "$url" && break; sleep 0.2; done
done

seen=$("$work/v/bin/python" - "$port" <<'PY'
import json, sys, time, urllib.error, urllib.parse, urllib.request
import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# The messages of remote write 1.0: labels are field 1 of a series and samples field 2.
file = descriptor_pb2.FileDescriptorProto(name="write.proto", package="write", syntax="proto3")
def message(name, *fields):
    made = file.message_type.add(name=name)
    for number, (field, kind, repeated, of) in enumerate(fields, 1):
        made.field.add(name=field, number=number, type=kind, label=3 if repeated else 1, type_name=of)
message("Label", ("name", 9, False, None), ("value", 9, False, None))
message("Sample", ("value", 1, False, None), ("timestamp", 3, False, None))
message("TimeSeries", ("labels", 11, True, ".write.Label"), ("samples", 11, True, ".write.Sample"))
message("WriteRequest", ("timeseries", 11, True, ".write.TimeSeries"))
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
WriteRequest = message_factory.GetMessageClass(pool.FindMessageTypeByName("write.WriteRequest"))

def write(base, **samples):
    request = WriteRequest()
    for name, age in samples.items():
        series = request.timeseries.add()
        series.labels.add(name="__name__", value=name)
        series.samples.add(value=1, timestamp=now - age * 1000)
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"}
    body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
    try:
        return str(urllib.request.urlopen(urllib.request.Request(base + "/api/v1/write", body, headers)).status)
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode().strip()}"

def stored(base):
    query = urllib.parse.urlencode({"query": 'last_over_time({__name__=~".+_rides"}[1d])', "time": now / 1000 + 1})
    for _ in range(50):
        answer = json.load(urllib.request.urlopen(f"{base}/api/v1/query?{query}"))["data"]["result"]
        names = sorted(series["metric"]["__name__"] for series in answer)
        if len(names) >= wanted[base]:
            break
        time.sleep(0.2)
    return ", ".join(names)

now = int(time.time() * 1000) - 60_000
for number, name in enumerate(["Prometheus", "VictoriaMetrics"]):
    base = f"http://127.0.0.1:{int(sys.argv[1]) + number}"
    wanted = {base: 1 if number == 0 else 7}
    print(name, "first:", write(base, bus_rides=0))
    print(name, "one out of order:", write(base, lift_rides=0, bus_rides=5, taxi_rides=0))
    print(name, "one out of bounds:", write(base, tram_rides=0, old_rides=36_000, boat_rides=0))
    print(name, "with nothing late:", write(base, bike_rides=0))
    print(name, "has:", stored(base))
PY
)
echo "$seen"
want='Prometheus first: 204
Prometheus one out of order: 400 out of order sample
Prometheus one out of bounds: 400 out of bounds
Prometheus with nothing late: 204
Prometheus has: bike_rides, bus_rides
VictoriaMetrics first: 204
VictoriaMetrics one out of order: 204
VictoriaMetrics one out of bounds: 204
VictoriaMetrics with nothing late: 204
VictoriaMetrics has: bike_rides, boat_rides, bus_rides, lift_rides, old_rides, taxi_rides, tram_rides'
[ "$seen" = "$want" ] || { echo "CHANGED: late samples are treated otherwise; expected:"; echo "$want"; exit 1; }
echo "as described"
