#!/usr/bin/env bash
# A matcher that is valid in PromQL and in Alertmanager and names two different values.
#
# Expected: Alertmanager's matchers are PromQL's: `tenant_id='T2'` matches the value T2, or is an error.
# Happens (Alertmanager and amtool 0.25.0): only double quotes are quotes. `tenant_id='T2'` and the form with backticks
#   pass `check-config` and match the value with the quotes in it, so no alert takes the route. A backslash differs as well:
#   `"web\.[0-9]+"`, an error in PromQL ("unknown escape sequence"), is taken as it stands, and `"a\tb"` is the text
#   a, backslash, t, b where PromQL reads a tab.
# Who meets it: whoever routes a tenant's alerts with the matcher that stands in the rule, the query or
#   the configuration of a proxy. Alerts of that tenant go to the default receiver, which is often everybody's.
#   Alertmanager 0.27 added a second parser and a flag; both read single quotes as characters of an unquoted value or
#   refuse them, so none of them reads PromQL's.
# Source: prometheus/alertmanager pkg/labels/parse.go of 0.25 (the regular expression `re` of a matcher, and its comment on
#   quotes and escapes); Prometheus documentation, "Querying basics", "String literals".
set -euo pipefail

missing=()
command -v amtool >/dev/null || missing+=(prometheus-alertmanager)
for tool in prometheus curl; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
amtool --version 2>&1 | head -1
prometheus --version 2>&1 | head -1
amtool --version 2>&1 | grep -q ' 0\.25\.0 ' && prometheus --version 2>&1 | grep -q ' 2\.42\.0' ||
  { echo "CHANGED: this finding is about Alertmanager 0.25.0 and Prometheus 2.42.0 of Debian 12"; exit 1; }

work=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
pid=
{
  printf '# TYPE login gauge\n'
  printf 'login{tenant_id="%s"} 1 1700006400\n' T1 T2 T3
  printf '# EOF\n'
} >"$work/in.om"
promtool tsdb create-blocks-from openmetrics "$work/in.om" "$work/data" >/dev/null
echo 'global: {}' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --storage.tsdb.retention.time=100y \
  --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 100); do curl -fs -o "$work/ready" "http://127.0.0.1:$port/-/ready" && break; sleep 0.2; done

seen=$(while IFS='|' read -r matcher label; do
  # As JSON the matcher is a YAML string of exactly these characters.
  python3 - "$matcher" >"$work/am.yml" <<'PY'
import json, sys
print(json.dumps({"route": {"receiver": "everybody", "routes": [{"receiver": "team", "matchers": [sys.argv[1]]}]},
                  "receivers": [{"name": "everybody"}, {"name": "team"}]}))
PY
  amtool check-config "$work/am.yml" >/dev/null
  receiver=$(amtool config routes test --config.file="$work/am.yml" "$label" 2>/dev/null)
  answer=$(curl -sS -G "http://127.0.0.1:$port/api/v1/query" -d time=1700006400 --data-urlencode "query=login{$matcher}" |
    python3 -c 'import json,sys; a=json.load(sys.stdin); print(len(a["data"]["result"]) if "data" in a else a["error"].split(": ")[-1])')
  echo "$matcher: an alert with $label goes to $receiver; series in Prometheus: $answer"
done <<'MATCHERS'
tenant_id="T1"|tenant_id=T1
tenant_id='T2'|tenant_id=T2
tenant_id='T2'|tenant_id='T2'
tenant_id=`T3`|tenant_id=T3
tenant_id=~"T\d"|tenant_id=T1
MATCHERS
)
echo "$seen"
want='tenant_id="T1": an alert with tenant_id=T1 goes to team; series in Prometheus: 1
tenant_id='\''T2'\'': an alert with tenant_id=T2 goes to everybody; series in Prometheus: 1
tenant_id='\''T2'\'': an alert with tenant_id='\''T2'\'' goes to team; series in Prometheus: 1
tenant_id=`T3`: an alert with tenant_id=T3 goes to everybody; series in Prometheus: 1
tenant_id=~"T\d": an alert with tenant_id=T1 goes to team; series in Prometheus: unknown escape sequence U+0064 '\''d'\'''
[ "$seen" = "$want" ] || { echo "CHANGED: the two no longer differ as described; expected:"; echo "$want"; exit 1; }
echo "as described"
