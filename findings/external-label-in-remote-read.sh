#!/usr/bin/env bash
# A matcher on the external label, true for every series, changes which series a query finds and how they are labelled.
#
# Expected: with `external_labels: {tenant_id: T1}` in two Prometheus servers, one reading from the other, `tenant_id="T1"` is
#   true for all their series or for none; `=` and a `=~` that matches the same value find the same.
# Happens (Prometheus 2.42.0 that reads from Prometheus 2.42.0 by remote read):
#   `up` finds local and remote series, none with `tenant_id`: the reader adds the matcher to the remote request and
#     removes the label from the answer.
#   `up{tenant_id="T1"}` finds the remote series only, and these have the label now. Local series never have it.
#   `up{tenant_id=~"T1|T2"}` finds nothing: the remote side takes off an equal matcher on its external label, leaves
#     another one in place and has no such label stored.
#   `up == on(instance) up{tenant_id="T1"}` joins; without `on` it does not, as the labels differ.
# Who meets it: whoever uses the label that distinguishes servers as the tenant label, and confines queries with a
#   matcher. With `read_recent` off, the default, the remote is asked only for what is older than the local data, so such a
#   query shows history and no present. A caller with one tenant gets that, a caller with two gets nothing. Use a label
#   that is stored with the series (relabelling, not `external_labels`) as the tenant label.
# Source: prometheus/prometheus storage/remote/read.go, `addExternalLabels` and `newSeriesSetFilter`; read_handler.go,
#   `filterExtLabelsFromMatchers`.
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
near=$((20000 + RANDOM % 10000))
far=$((near + 1))
for place in near far; do
  {
    echo 'global: {scrape_interval: 1s, external_labels: {tenant_id: T1}}'
    echo 'scrape_configs:'
    echo "- {job_name: $place, static_configs: [{targets: ['127.0.0.1:${!place}'], labels: {instance: $place}}]}"
    if [ $place = near ]; then echo "remote_read: [{url: 'http://127.0.0.1:$far/api/v1/read', read_recent: true}]"; fi
  } >"$work/$place.yml"
  prometheus --config.file="$work/$place.yml" --storage.tsdb.path="$work/$place" --web.listen-address="127.0.0.1:${!place}" \
    >"$work/$place.log" 2>&1 &
  pids+=($!)
done

ask() {
  curl -fsS --data-urlencode "query=$1" "http://127.0.0.1:$near/api/v1/query" | python3 -c '
import json, sys
found = []
for series in json.load(sys.stdin)["data"]["result"]:
    labels = series["metric"]
    found.append(labels["instance"] + (" with tenant_id=" + labels["tenant_id"] if "tenant_id" in labels else ""))
print(sys.argv[1], "=>", ", ".join(sorted(found)) or "nothing")' "$1"
}
for _ in $(seq 100); do ask up 2>/dev/null | grep -q 'far, near' && break; sleep 0.2; done
seen=$(for query in up 'up{tenant_id="T1"}' 'up{tenant_id=~"T1"}' 'up{tenant_id=~"T1|T2"}' 'up{tenant_id!="T2"}' \
  'up == on(instance) up{tenant_id="T1"}' 'up == up{tenant_id="T1"}'; do ask "$query"; done)
echo "$seen"
want='up => far, near
up{tenant_id="T1"} => far with tenant_id=T1
up{tenant_id=~"T1"} => nothing
up{tenant_id=~"T1|T2"} => nothing
up{tenant_id!="T2"} => far with tenant_id=T1, near
up == on(instance) up{tenant_id="T1"} => far
up == up{tenant_id="T1"} => nothing'
[ "$seen" = "$want" ] || { echo "CHANGED: matchers on the external label act otherwise; expected:"; echo "$want"; exit 1; }
echo "as described"
