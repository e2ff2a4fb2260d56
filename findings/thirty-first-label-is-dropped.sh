#!/usr/bin/env bash
# The thirty-first label is dropped without an error, and that may be the tenant's.
#
# Expected: a store takes a series with all its labels or refuses it with 400, so that the sender knows.
# Happens (VictoriaMetrics 1.79.5, remote write as Prometheus and vmagent send it): of more than 30 labels, the name
#   included, the first 30 in the order of their names stay and the answer is 204. With 29 labels in front of it,
#   `tenant_id` is gone: the series of two tenants become one, which belongs to nobody, and their samples mix. Prometheus
#   2.42.0 keeps all labels.
# Who meets it: Kubernetes' pod labels, copied by a `labelmap`, easily make 30. Names in alphabetical order put `tenant_id`,
#   `team` and `zone` last. A query by tenant finds nothing, sums over all tenants are wrong, and the only traces are a
#   line in the store's log and the counter vm_metrics_with_dropped_labels_total. Raise -maxLabelsPerTimeseries, or drop
#   labels first; in a store with such a limit, name the tenant's label so that it sorts early.
# Source: VictoriaMetrics, flag -maxLabelsPerTimeseries (30 by default) and lib/storage/metric_name.go,
#   `SetMaxLabelsPerTimeseries`; Prometheus Remote-Write 1.0 specification, "Labels" (receivers may limit the number).
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
import json, sys, time, urllib.parse, urllib.request
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
headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"}
for number, store in enumerate(["Prometheus", "VictoriaMetrics"]):
    base = f"http://127.0.0.1:{int(sys.argv[1]) + number}"
    for further in (28, 29):
        metric = f"rides_{further}"
        request = WriteRequest()
        for step, tenant in enumerate(["T1", "T2"]):
            series = request.timeseries.add()
            series.labels.add(name="__name__", value=metric)
            for label in range(further):
                series.labels.add(name=f"label_{label:02}", value="x")
            series.labels.add(name="tenant_id", value=tenant)
            series.samples.add(value=step + 1, timestamp=(now + step) * 1000)
        body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
        status = urllib.request.urlopen(urllib.request.Request(base + "/api/v1/write", body, headers)).status
        def ask(selector):
            query = urllib.parse.urlencode({"query": f"{metric}{selector}[1m]", "time": now + 30})
            return json.load(urllib.request.urlopen(f"{base}/api/v1/query?{query}"))["data"]["result"]
        for _ in range(50):
            if sum(len(series["values"]) for series in ask("")) == 2:
                break
            time.sleep(0.2)
        found = [f"{series['metric'].get('tenant_id', 'nobody')} has {', '.join(value for _, value in series['values'])}" for series in ask("")]
        print(f"{store}, {further + 2} labels: {status}; {'; '.join(sorted(found))}; a query for T1 finds", len(ask('{tenant_id="T1"}')))
PY
)
echo "$seen"
want='Prometheus, 30 labels: 204; T1 has 1; T2 has 2; a query for T1 finds 1
Prometheus, 31 labels: 204; T1 has 1; T2 has 2; a query for T1 finds 1
VictoriaMetrics, 30 labels: 204; T1 has 1; T2 has 2; a query for T1 finds 1
VictoriaMetrics, 31 labels: 204; nobody has 1, 2; a query for T1 finds 0'
[ "$seen" = "$want" ] || { echo "CHANGED: many labels are treated otherwise; expected:"; echo "$want"; exit 1; }
echo "as described"
