#!/usr/bin/env bash
# "Which silences hold for tenant T2?" Alertmanager: none. Its alerts are silenced all the same.
#
# Expected: the filter of `GET /api/v2/silences` and `amtool silence query` finds the silences that concern what it names; amtool's
#   help says that regular expressions can be used ("alertname=~foo.*").
# Happens (Alertmanager and amtool 0.25.0): a silence is found if one of its matchers is the filter, letter by letter: same
#   name, operator and text. A silence with `tenant_id=~"T1|T2"`, one with `tenant_id=~"T."`, one for an alert's name
#   without a tenant all hold for T2, and `tenant_id="T2"` finds none of them. `tenant_id=~"T.*"` finds no silence of
#   `tenant_id="T1"`: it looks for a silence with just that expression. The same parameter on alerts matches values.
# Who meets it: who is asked why a tenant's pages don't come, filters the silences by tenant and sees none; scripts that
#   expire "all silences of T1" with a regular expression expire nothing and succeed. Look at `silencedBy` of the alerts
#   instead. Partywall gives a tenant the silences that name it alone, whatever the filter.
# Source: prometheus/alertmanager api/v2/api.go, `CheckSilenceMatchesFilterLabels`; `amtool silence query --help`.
set -euo pipefail

missing=()
command -v amtool >/dev/null || missing+=(prometheus-alertmanager)
for tool in curl python3; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if ((${#missing[@]})); then apt-get update -qq; RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
amtool --version 2>&1 | head -1
amtool --version 2>&1 | grep -q ' 0\.25\.0 ' || { echo "CHANGED: this finding is about Alertmanager 0.25.0 of Debian 12"; exit 1; }

work=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
echo '{route: {receiver: nobody}, receivers: [{name: nobody}]}' >"$work/a.yml"
port=$((20000 + RANDOM % 10000))
prometheus-alertmanager --config.file="$work/a.yml" --storage.path="$work/data" --web.listen-address="127.0.0.1:$port" \
  --cluster.listen-address= >"$work/log" 2>&1 &
pid=$!
api=http://127.0.0.1:$port
for _ in $(seq 100); do curl -fs -o "$work/ready" "$api/-/ready" && break; sleep 0.2; done

silence() {
  amtool --alertmanager.url="$api" silence add --author=somebody --comment="$1" --duration=1h "${@:2}" >/dev/null
}
silence 'of T1' tenant_id=T1
silence 'of T1 and T2' 'tenant_id=~"T1|T2"'
silence 'of T and a letter' 'tenant_id=~"T."'
silence 'of lifts' 'alertname=~"Lift.*"'
curl -fsS -H 'Content-Type: application/json' "$api/api/v2/alerts" \
  -d '[{"labels": {"alertname": "LiftStuck", "tenant_id": "T1"}}, {"labels": {"alertname": "LiftStuck", "tenant_id": "T2"}}]'
show() {
  python3 -c '
import json, sys
items = json.load(sys.stdin)
if "silencedBy" in str(items):
    print(sys.argv[1], "=>", ", ".join(sorted("{tenant_id} silenced by {count}".format(count=len(item["status"]["silencedBy"]), **item["labels"]) for item in items)) or "nothing")
else:
    print(sys.argv[1], "=>", ", ".join(sorted(item["comment"] for item in items)) or "nothing")' "$1"
}
for _ in $(seq 50); do curl -fsS "$api/api/v2/alerts" | grep -q '"silencedBy":\["' && break; sleep 0.2; done
seen=$(for filter in 'tenant_id="T1"' 'tenant_id="T2"' 'tenant_id=~"T.*"' 'tenant_id=~"T1|T2"'; do
  curl -fsSG --data-urlencode "filter=$filter" "$api/api/v2/alerts" | show "alerts, $filter"
  curl -fsSG --data-urlencode "filter=$filter" "$api/api/v2/silences" | show "silences, $filter"
  amtool --alertmanager.url="$api" silence query -o json "$filter" | show "amtool, $filter"
done)
echo "$seen"
want='alerts, tenant_id="T1" => T1 silenced by 4
silences, tenant_id="T1" => of T1
amtool, tenant_id="T1" => of T1
alerts, tenant_id="T2" => T2 silenced by 3
silences, tenant_id="T2" => nothing
amtool, tenant_id="T2" => nothing
alerts, tenant_id=~"T.*" => T1 silenced by 4, T2 silenced by 3
silences, tenant_id=~"T.*" => nothing
amtool, tenant_id=~"T.*" => nothing
alerts, tenant_id=~"T1|T2" => T1 silenced by 4, T2 silenced by 3
silences, tenant_id=~"T1|T2" => of T1 and T2
amtool, tenant_id=~"T1|T2" => of T1 and T2'
[ "$seen" = "$want" ] || { echo "CHANGED: silences are found otherwise; expected:"; echo "$want"; exit 1; }
echo "as described"
