#!/usr/bin/env bash
# A large value in a series turns its small values into 0.
#
# Expected: a store for float64 samples gives back each sample as it was written, or rounds each in its last digits.
# Happens (VictoriaMetrics 1.79.5, remote write as Prometheus and vmagent send it): samples become whole numbers with one
#   decimal exponent for a whole block of a series. Beside 2^63 in the same block 0.25 is 0, beside 2^53 0.0004 is,
#   beside 5e10 a billionth is. Alone, they are exact. 0.1 + 0.2 and pi lose their last digits
#   in any company. Prometheus 2.42.0 gives back the same bits in each case.
# Who meets it: a gauge that is a ratio most of the time and a sentinel at times (the greatest integer for "no limit", a
#   timestamp in nanoseconds): the ratio is 0 before and after the sentinel, as far as the block
#   reaches, and right elsewhere. Prometheus and its long-term store differ by more than rounding, and only there.
# Source: VictoriaMetrics lib/decimal, `AppendFloatToDecimal` (one exponent for the values of a block; those that don't
#   fit lose digits).
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
import json, math, struct, sys, time, urllib.parse, urllib.request
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

now = int(time.time()) - 60
cases = {
    "ratio alone": [0.25], "ratio, then 2^63": [0.25, 2.0**63],
    "small ratio alone": [0.0004], "small ratio, then 2^53": [0.0004, 2.0**53],
    "millionth alone": [1e-6], "millionth, then 5e10": [1e-6, 5e10],
    "billionth alone": [1e-9], "billionth, then 5e10": [1e-9, 5e10],
    "pi": [math.pi], "sum": [0.1 + 0.2],
}
request = WriteRequest()
for number, values in enumerate(cases.values()):
    series = request.timeseries.add()
    series.labels.add(name="__name__", value="quota_used")
    series.labels.add(name="case", value=str(number))
    for step, value in enumerate(values):
        series.samples.add(value=value, timestamp=(now + step) * 1000)
headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"}
body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
for number, store in enumerate(["Prometheus", "VictoriaMetrics"]):
    base = f"http://127.0.0.1:{int(sys.argv[1]) + number}"
    urllib.request.urlopen(urllib.request.Request(base + "/api/v1/write", body, headers))
    query = urllib.parse.urlencode({"query": "quota_used[1m]", "time": now + 30})
    for _ in range(50):
        answer = json.load(urllib.request.urlopen(f"{base}/api/v1/query?{query}"))["data"]["result"]
        if len(answer) == len(cases):
            break
        time.sleep(0.2)
    for series in sorted(answer, key=lambda series: int(series["metric"]["case"])):
        name, written = list(cases.items())[int(series["metric"]["case"])]
        read = float(series["values"][0][1])
        print(f"{store}, {name}: {written[0]!r} =>", "the same" if struct.pack("d", read) == struct.pack("d", written[0]) else repr(read))
PY
)
echo "$seen"
want='Prometheus, ratio alone: 0.25 => the same
Prometheus, ratio, then 2^63: 0.25 => the same
Prometheus, small ratio alone: 0.0004 => the same
Prometheus, small ratio, then 2^53: 0.0004 => the same
Prometheus, millionth alone: 1e-06 => the same
Prometheus, millionth, then 5e10: 1e-06 => the same
Prometheus, billionth alone: 1e-09 => the same
Prometheus, billionth, then 5e10: 1e-09 => the same
Prometheus, pi: 3.141592653589793 => the same
Prometheus, sum: 0.30000000000000004 => the same
VictoriaMetrics, ratio alone: 0.25 => the same
VictoriaMetrics, ratio, then 2^63: 0.25 => 0.0
VictoriaMetrics, small ratio alone: 0.0004 => the same
VictoriaMetrics, small ratio, then 2^53: 0.0004 => 0.0
VictoriaMetrics, millionth alone: 1e-06 => the same
VictoriaMetrics, millionth, then 5e10: 1e-06 => the same
VictoriaMetrics, billionth alone: 1e-09 => the same
VictoriaMetrics, billionth, then 5e10: 1e-09 => 0.0
VictoriaMetrics, pi: 3.141592653589793 => 3.141592653589
VictoriaMetrics, sum: 0.30000000000000004 => 0.3'
[ "$seen" = "$want" ] || { echo "CHANGED: values are stored otherwise; expected:"; echo "$want"; exit 1; }
echo "as described"
